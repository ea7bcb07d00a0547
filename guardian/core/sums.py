"""Named figures of an arm beside its requests: how many, and their sum; so a rate, a mean and a count add up alike.

`mismatch` sums dual runs that differed, `migration_failure` and `fallback` migration events, `metric:NAME` what the
events themselves measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from guardian.core.inputs import Bucket
from guardian.core.rollout import NAMED_PREFIX

Sums = dict[str, list[float]]
"""By name: [how many, their sum]."""

MISMATCH = "mismatch"
MIGRATION_FAILURE = "migration_failure"
FALLBACK = "fallback"


def is_measured(name: str) -> bool:
    """Return whether the events themselves measured this figure; the others are counts."""
    return name.startswith(NAMED_PREFIX)


def sums_of(bucket: Bucket, tracked: Collection[str]) -> Sums:
    """Return the named figures of a bucket.

    Args:
        bucket: of an input batch.
        tracked: the names that a rule looks at; all others are left out.
    """
    found: Sums = {}
    if MISMATCH in tracked and bucket.pairs:
        found[MISMATCH] = [float(bucket.pairs[0]), float(bucket.pairs[1])]
    if bucket.migrations:
        success, failure, fallback = bucket.migrations
        # A fallback is told beside the failure of the same call, so it makes no call of its own.
        calls = float(success + failure)
        if MIGRATION_FAILURE in tracked and calls:
            found[MIGRATION_FAILURE] = [calls, float(failure)]
        if FALLBACK in tracked:
            found[FALLBACK] = [calls, float(fallback)]
    for name, figures in bucket.metrics.items():
        if (key := f"{NAMED_PREFIX}{name}") in tracked:
            found[key] = [float(figures[0]), float(figures[1])]
    return found


def added(parts: Iterable[Sums], only: str | None = None) -> Sums:
    """Return the sum of any number of parts.

    Args:
        only: the one name that is wanted; None for all.
    """
    total: Sums = {}
    if only is not None:
        found = [part[only] for part in parts if only in part]
        return {only: [sum(n for n, _ in found), sum(amount for _, amount in found)]} if found else {}
    for part in parts:
        for name, (n, amount) in part.items():
            mine = total.get(name)
            total[name] = [n, amount] if mine is None else [mine[0] + n, mine[1] + amount]
    return total
