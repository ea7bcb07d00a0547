"""Cells by second, summed exactly; what an event other than a plain request counts for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from guardian.core.events import MAX_NAME_BYTES, Assignment, fit_text
from guardian.core.histogram import HIGHEST_MS, bins_of
from guardian.core.inputs import MAX_SIGNATURES, OTHER, Bucket, Cell
from guardian.ingest import sizes
from guardian.ingest.columns import CellKey
from guardian.wire.events import MigrationEvent, TelemetryEvent

Buckets = dict[int, Bucket]
"""By Unix second."""

MAX_METRICS: Final = 64
"""Named figures in one bucket; the rest is left out and counted."""
_MIGRATIONS: Final = ("success", "failure", "fallback")
_DURATION: Final = "migration_duration"
_COUNTERS: Final = (
    "n", "ok", "error", "timeout", "crash", "hang", "latency_n", "latency_sum_us", "exposures", "cancelled_pairs",
)  # fmt: skip


def merge(into: Bucket, other: Bucket) -> None:
    """Add a bucket to another; both are of the same second, `other` came later."""
    for name in (
        "n",
        "ok",
        "error",
        "timeout",
        "crash",
        "hang",
        "latency_n",
        "latency_sum_us",
        "exposures",
        "cancelled_pairs",
    ):
        setattr(into, name, getattr(into, name) + getattr(other, name))
    into.deviation_sum += other.deviation_sum
    if other.bins:
        add_bins(into, other.bins, other.bin_counts)
    into.migrations = _added(into.migrations, other.migrations)
    into.pairs = _added(into.pairs, other.pairs)
    for severity, count in other.feedback.items():
        into.feedback[severity] = into.feedback.get(severity, 0) + count
    for name, figures in other.metrics.items():
        _add_figures(into, name, figures)
    for signature, count in other.signatures.items():
        into.signatures[signature] = into.signatures.get(signature, 0) + count


def add_bins(bucket: Bucket, bins: list[int], counts: list[int]) -> None:
    """Add a histogram to a bucket's; both rise."""
    if not bucket.bins:
        bucket.bins, bucket.bin_counts = list(bins), list(counts)
        return
    total = dict(zip(bucket.bins, bucket.bin_counts, strict=True))
    for index, count in zip(bins, counts, strict=True):
        total[index] = total.get(index, 0) + count
    bucket.bins = sorted(total)
    bucket.bin_counts = [total[index] for index in bucket.bins]


def _added(one: list[int], other: list[int]) -> list[int]:
    if not one or not other:
        return one or list(other)
    return [a + b for a, b in zip(one, other, strict=True)]


def _add_figures(bucket: Bucket, name: str, figures: list[float]) -> bool:
    """Add a named figure; false when the bucket has no room for one more name."""
    known = bucket.metrics.get(name)
    if known is not None:
        bucket.metrics[name] = [known[0] + figures[0], known[1] + figures[1], known[2] + figures[2], figures[3]]
    elif len(bucket.metrics) < MAX_METRICS:
        bucket.metrics[name] = list(figures)
    else:
        return False
    return True


class Cells:
    """The buckets of every cell of one range.

    `size` is a bound on the bytes of a record that they take, as far as events came by add_* (see sizes.py);
    `left_out` counts what had no room.
    """

    def __init__(self) -> None:
        self.by_key: dict[CellKey, Buckets] = {}
        self.left_out: Counter[str] = Counter()
        self.size = 0

    def bucket(self, key: CellKey, second: int) -> Bucket:
        """Return the bucket of a cell in a second, made when it is the first."""
        buckets = self.by_key.get(key)
        if buckets is None:
            buckets = self.by_key[key] = {}
            self.size += sizes.cell(key)
        found = buckets.get(second)
        if found is None:
            found = buckets[second] = Bucket(second)
            self.size += sizes.BUCKET + sizes.OTHER_KINDS
        return found

    def merge_cell(self, key: CellKey, buckets: Buckets) -> None:
        """Add the buckets of one cell to those of another."""
        for second, bucket in buckets.items():
            merge(self.bucket(key, second), bucket)

    def add_telemetry(self, event: TelemetryEvent) -> None:
        """Count a request, exposure or feedback event for each of its flags.

        Args:
            event: checked by wire.events.decode_telemetry; not a gauge, not a heartbeat.
        """
        variants = {flag: str(variant) for flag, variant in (event.flags or {}).items()}
        if event.flag is not None and event.variant is not None:
            variants[event.flag] = event.variant
        for flag, variant in variants.items():
            # `flag_version` belongs to `flag`; of the others the event does not say it.
            version = (event.flag_version or 0) if flag == event.flag or len(variants) == 1 else 0
            assignment = event.assignment or Assignment.UNATTRIBUTED.value
            key = CellKey(flag, version, variant, assignment, event.service or "")
            self._count(self.bucket(key, int(event.ts)), event)

    def add_migration(self, event: MigrationEvent, flag: str, variant: str) -> None:
        """Count a migration event.

        Args:
            event: checked by wire.events.decode_migration.
            flag: whose rollout it belongs to.
            variant: the variant that ran.
        """
        assignment = event.assignment or Assignment.UNATTRIBUTED.value
        service = event.service or event.component or ""
        key = CellKey(flag, event.flag_version or 0, variant, assignment, service)
        bucket = self.bucket(key, int(event.ts or 0.0))
        self.size += sizes.REQUEST
        if event.event_type == "dual_run":
            _count_pair(bucket, event)
        else:
            counts = [int(event.event_type == name) for name in _MIGRATIONS]
            bucket.migrations = _added(bucket.migrations, counts)
            if event.event_type == "failure" and event.error_type:
                self._sign(bucket, event.error_type)
        if event.duration is not None:
            seconds = min(event.duration, HIGHEST_MS)
            self._add_figure(bucket, _DURATION, seconds)
            if event.event_type != "dual_run":
                # A bucket of migrations has no requests, so this is never mixed with their latency; decide takes it
                # for latency only if the spec says `sources: [migrations]`.
                _add_latency(bucket, seconds * 1000)

    def _count(self, bucket: Bucket, event: TelemetryEvent) -> None:
        self.size += sizes.REQUEST
        if event.kind == "exposure":
            bucket.exposures += 1
        elif event.kind == "feedback":
            severity = event.severity or "info"
            bucket.feedback[severity] = bucket.feedback.get(severity, 0) + 1
        else:
            self._count_request(bucket, event)

    def _count_request(self, bucket: Bucket, event: TelemetryEvent) -> None:
        outcome = event.outcome or "ok"  # read_telemetry has insisted on it
        bucket.n += 1
        setattr(bucket, outcome, getattr(bucket, outcome) + 1)
        if event.latency_ms is not None:
            _add_latency(bucket, event.latency_ms)
        for name, figure in (event.metrics or {}).items():
            self._add_figure(bucket, name, figure)
        if event.error_type and outcome != "ok":
            self._sign(bucket, event.error_type)

    def _add_figure(self, bucket: Bucket, name: str, figure: float) -> None:
        self.size += 0 if name in bucket.metrics else sizes.metric(name)
        if not _add_figures(bucket, name, [1, figure, figure * figure, figure]):
            self.left_out["metrics"] += 1

    def _sign(self, bucket: Bucket, signature: str) -> None:
        self.size += 0 if signature in bucket.signatures else sizes.signature(signature)
        sign(bucket, signature, 1)


def _add_latency(bucket: Bucket, latency_ms: float) -> None:
    latency_ms = min(latency_ms, HIGHEST_MS)
    bucket.latency_n += 1
    bucket.latency_sum_us += round(latency_ms * 1000)
    add_bins(bucket, bins_of(np.array([latency_ms])).tolist(), [1])


def _count_pair(bucket: Bucket, event: MigrationEvent) -> None:
    if event.cancelled:
        bucket.cancelled_pairs += 1  # one side did not answer: neither a match nor a mismatch
        return
    deviated = event.deviation is not None
    pair = [
        1,
        int(event.match is False),
        round(min(event.control_ms or 0.0, HIGHEST_MS) * 1000),
        round(min(event.candidate_ms or 0.0, HIGHEST_MS) * 1000),
        int(deviated),
    ]
    bucket.pairs = _added(bucket.pairs, pair)
    bucket.deviation_sum += min(event.deviation or 0.0, 1e12)


def sign(bucket: Bucket, signature: str, count: int) -> None:
    """Count an error type; `cells_of` keeps the most frequent ones of each bucket."""
    short = fit_text(signature, MAX_NAME_BYTES) or ""
    bucket.signatures[short] = bucket.signatures.get(short, 0) + count


def cells_of(flag: str, mine: Sequence[tuple[CellKey, Buckets]], limit: int) -> tuple[list[Cell], int]:
    """Return a flag's cells, at most `limit` of them.

    Args:
        flag: the flag.
        mine: its cells.
        limit: at least 1.

    Returns:
        the cells, and how many were folded into others. The busiest keep their own; of the rest, those of one
        version, variant and assignment go together into the service `other`; what is too much even then goes
        into one cell whose variant is `other` too, so that no judgement takes it for an arm.
    """
    rest = sorted(mine, key=lambda item: item[0])
    if len(rest) <= limit:
        return [_cell(key, buckets) for key, buckets in rest], 0
    rest.sort(key=lambda item: -events_in(item[1]))
    own = max(0, limit - max(min(limit, 8), limit // 8))
    cells, others = [_cell(key, buckets) for key, buckets in rest[:own]], Cells()
    for key, buckets in rest[own:]:
        other = CellKey(flag, key.flag_version, key.variant, key.assignment, OTHER)
        if other not in others.by_key and len(others.by_key) >= limit - own - 1:
            other = CellKey(flag, 0, OTHER, Assignment.UNATTRIBUTED.value, OTHER)
        others.merge_cell(other, buckets)
    cells.extend(_cell(key, buckets, OTHER) for key, buckets in others.by_key.items())
    return cells, len(rest) - own


def events_in(buckets: Buckets) -> int:
    """Return how many events the buckets of a cell have counted."""
    total = 0
    for bucket in buckets.values():
        total += bucket.n + bucket.exposures + bucket.cancelled_pairs
        if bucket.feedback or bucket.migrations or bucket.pairs:
            total += sum(bucket.feedback.values()) + sum(bucket.migrations) + sum(bucket.pairs[:1])
    return total


def _cell(key: CellKey, buckets: Buckets, segment: str = "") -> Cell:
    rising = [buckets[second] for second in sorted(buckets)]
    for bucket in rising:
        if len(bucket.signatures) > MAX_SIGNATURES:
            most = sorted(bucket.signatures.items(), key=lambda item: (-item[1], item[0]))[:MAX_SIGNATURES]
            bucket.signatures = dict(most)
    return Cell(key.flag, key.flag_version, key.variant, key.assignment, key.service, segment, buckets=rising)
