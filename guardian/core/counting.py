"""What counts: a cell is always in the totals, and in the evidence when it is of the present flag document.

Control's past is the exception: it is control whatever the document said, and no flag change empties it.
"""

from __future__ import annotations

from typing import Final

from guardian.core.events import Assignment
from guardian.core.evidence_doubts import followed_ms
from guardian.core.inputs import Bucket, Cell
from guardian.core.instant import Instant
from guardian.core.samples import add_samples
from guardian.core.state import RolloutState
from guardian.core.sums import MISMATCH
from guardian.core.windows import OUTCOMES, Tally, is_late, tally_of

_MIGRATIONS: Final = ("success", "failure", "fallback")


def take_cell(state: RolloutState, cell: Cell, now: Instant) -> None:
    """Count a cell."""
    variants, settled_s = state.spec.variants, followed_ms(state) // 1_000
    known = cell.variant in (variants.control, variants.candidate)
    for bucket in cell.buckets:
        _total(state, cell.variant if known else "other", bucket)
        if not known:
            _take_unknown(state, cell, bucket, now)
            continue
        tally = _tally(state, bucket)
        if cell.variant == variants.control and state.past is not None:
            state.past.add(bucket.second, tally, now.watermark_ms // 1_000)
        if not _counts(state, cell.flag_version, bucket.second):
            state.stale_version_count += bucket.n + sum(bucket.migrations) + sum(bucket.pairs[:1])
            if cell.flag_version and state.attempt:
                state.fleet.take_older(cell.service, bucket.second * 1_000, now.log_ms)
        else:
            if bucket.signatures and not tally.is_empty:
                add_samples(state.samples.setdefault(cell.variant, {}), bucket.signatures)
            _take_exposure(state, cell, bucket, tally.n, settled_s)
            if not tally.is_empty:
                _take(state, cell, bucket.second, tally, now)
    state.touched = True


def _take_unknown(state: RolloutState, cell: Cell, bucket: Bucket, now: Instant) -> None:
    """Count what names no declared arm, by name."""
    n = bucket.n + sum(bucket.migrations[:2])
    if n and _counts(state, cell.flag_version, bucket.second):
        state.exposure.take_unknown(cell.variant, n, now.log_ms)


def _take_exposure(state: RolloutState, cell: Cell, bucket: Bucket, n: int, settled_s: int) -> None:
    """Count who was served what, whether or not a rule looks at it.

    Args:
        n: requests as the spec's sources count them.
        settled_s: event time from which everybody has had time to follow the flag change.
    """
    seen, is_candidate = state.exposure, cell.variant == state.spec.variants.candidate
    calls = sum(bucket.migrations[:2])
    seen.known += bucket.n + calls
    seen.pairs += bucket.pairs[0] if bucket.pairs else 0
    seen.calls += calls if is_candidate else 0
    if n or calls:
        seen.take_requests(cell.assignment, bucket.second, n or calls, is_candidate=is_candidate, settled_s=settled_s)


def _tally(state: RolloutState, bucket: Bucket) -> Tally:
    spec = state.spec
    return tally_of(
        bucket,
        count_telemetry=spec.count_telemetry,
        count_migrations=spec.count_migrations,
        tracked=state.tracked,
    )


def _take(state: RolloutState, cell: Cell, second: int, tally: Tally, now: Instant) -> None:
    """Put what a cell did in one second where rules look for it."""
    candidate = state.spec.variants.candidate
    if MISMATCH in tally.sums and cell.variant != candidate:
        # A dual run compares the two arms, whichever of them was served: it speaks of the candidate.
        pairs = Tally(sums={MISMATCH: tally.sums.pop(MISMATCH)})
        _add(state, candidate, second, pairs, now)
    if not tally.is_empty:
        _add(state, cell.variant, second, tally, now)
        if state.arms is not None and _by_split(state, cell.assignment):
            state.arms.add(cell.variant, second, tally, now.watermark_ms // 1_000)


def _add(state: RolloutState, variant: str, second: int, tally: Tally, now: Instant) -> None:
    state.step_tallies.setdefault(variant, Tally()).add(tally)
    watermark_s = now.watermark_ms // 1_000
    if is_late(second, watermark_s):
        state.late_count += tally.n or int(max(n for n, _ in tally.sums.values()))
    elif variant == state.spec.variants.candidate:
        state.series.add(second, tally, watermark_s)


def _by_split(state: RolloutState, assignment: str) -> bool:
    return assignment == Assignment.SPLIT or (state.spec.assume_split and assignment == Assignment.UNATTRIBUTED)


def _counts(state: RolloutState, flag_version: int, second: int) -> bool:
    """Events of an older document do not count; those that do not say count once the change has settled."""
    if flag_version:
        return flag_version >= state.content_version
    return second * 1_000 >= state.content_ms + state.spec.settle_ms


def _total(state: RolloutState, variant: str, bucket: Bucket) -> None:
    totals = state.totals
    totals[variant] = totals.get(variant, 0) + bucket.n
    for name in OUTCOMES:
        if count := getattr(bucket, name):
            key = f"{variant}:{name}"
            totals[key] = totals.get(key, 0) + count
    for name, count in zip(_MIGRATIONS, bucket.migrations, strict=False):
        if count:
            key = f"{variant}:{name}"
            totals[key] = totals.get(key, 0) + count
