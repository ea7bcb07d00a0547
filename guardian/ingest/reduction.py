"""The record of one input partition, made to fit: what is left out of one that is too large, in a declared order.

A range that this version has closed fits as it is (coalesce.py). One that another version has announced must be folded
exactly as it was announced, however much is in it; so the record is reduced, step by step, until it fits:

1. `services`: the cells of a flag beyond 256 go together, and each step below keeps that bound.
2. `instances`: gauges and heartbeats beyond KEPT_INSTANCES, the oldest first.
3. `metrics`: named figures of the buckets.
4. `signatures`: error types.
5. `services`: the cells of a flag beyond 16.
6. `latencies`: the histograms.
7. `instances`: all gauges and heartbeats.
8. `seconds`: buckets older than the newest KEPT_SECONDS of a flag go into the oldest of these.
9. `flags`: half of the flags, those without a rollout and the least busy ones first, until the rest fits.

Requests by outcome are given up by the last step only, which one flag never needs: 16 cells of 120 buckets have less
than 130,000 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from guardian.core.inputs import MAX_CELLS_PER_FLAG, Batch, Bucket, Gauge, Heartbeat
from guardian.ingest.cells import Buckets, cells_of, events_in, merge
from guardian.ingest.columns import CellKey
from guardian.ingest.ranges import RECORD_BYTES, Tally
from guardian.wire.inputs import encode_payload

KEPT_INSTANCES: Final = 256
KEPT_SECONDS: Final = 120
FEW_CELLS: Final = 16
WHAT: Final = ("instances", "metrics", "signatures", "services", "latencies", "seconds", "flags")
"""What may be left out."""


@dataclass
class Part:
    """What one input partition gets of a range.

    Args:
        flags: the cells by flag, the flags that matter most in front.
        heartbeats, gauges: the newest per instance.
        cells_per_flag: at most so many cells of one flag are told apart.
    """

    flags: dict[str, list[tuple[CellKey, Buckets]]] = field(default_factory=dict)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    gauges: list[Gauge] = field(default_factory=list)
    cells_per_flag: int = MAX_CELLS_PER_FLAG

    def buckets(self) -> Iterator[Bucket]:
        """Yield every bucket of every cell."""
        for mine in self.flags.values():
            for _, buckets in mine:
                yield from buckets.values()


def encode_part(batch: Batch, part: Part, tally: Tally) -> bytes:
    """Return the value of a record that is never larger than RECORD_BYTES.

    Args:
        batch: its source and range; what it holds is filled in.
        part: may be reduced.
        tally: counts what was left out.
    """
    value = _encode(batch, part)
    for what, reduce in _STEPS:
        if len(value) <= RECORD_BYTES:
            break
        tally.left_out[what] += reduce(part)
        value = _encode(batch, part)
    while len(value) > RECORD_BYTES:
        tally.left_out["flags"] += _halve_flags(part)
        value = _encode(batch, part)
    tally.other_cells += batch.other_cells
    return value


def _encode(batch: Batch, part: Part) -> bytes:
    batch.heartbeats, batch.gauges = part.heartbeats, part.gauges
    batch.cells, batch.other_cells = [], 0
    for flag in sorted(part.flags):
        cells, others = cells_of(flag, part.flags[flag], part.cells_per_flag)
        batch.cells.extend(cells)
        batch.other_cells += others
    return encode_payload(batch)


def _keep_instances(part: Part, most: int) -> int:
    before = len(part.heartbeats) + len(part.gauges)
    part.heartbeats = sorted(part.heartbeats, key=lambda one: -one.at_ms)[:most]
    part.gauges = sorted(part.gauges, key=lambda one: -one.at_ms)[:most]
    return before - len(part.heartbeats) - len(part.gauges)


def _drop_metrics(part: Part) -> int:
    count = 0
    for bucket in part.buckets():
        count += len(bucket.metrics)
        bucket.metrics = {}
    return count


def _drop_signatures(part: Part) -> int:
    count = 0
    for bucket in part.buckets():
        count += len(bucket.signatures)
        bucket.signatures = {}
    return count


def _fold_services(part: Part) -> int:
    before = sum(min(len(mine), part.cells_per_flag) for mine in part.flags.values())
    part.cells_per_flag = FEW_CELLS
    return before - sum(min(len(mine), FEW_CELLS) for mine in part.flags.values())


def _drop_latencies(part: Part) -> int:
    count = 0
    for bucket in part.buckets():
        count += bucket.latency_n
        bucket.latency_n = bucket.latency_sum_us = 0
        bucket.bins, bucket.bin_counts = [], []
    return count


def _join_seconds(part: Part) -> int:
    count = 0
    for mine in part.flags.values():
        border = sorted({second for _, buckets in mine for second in buckets}, reverse=True)[:KEPT_SECONDS][-1]
        for _, buckets in mine:
            for second in [second for second in buckets if second < border]:
                merge(buckets.setdefault(border, Bucket(border)), buckets.pop(second))
                count += 1
    return count


def _halve_flags(part: Part) -> int:
    """Leave out the half of the flags that matters least; return how many events they had."""
    gone = list(part.flags)[len(part.flags) // 2 :]
    return sum(events_in(buckets) for flag in gone for _, buckets in part.flags.pop(flag))


_STEPS: Final[tuple[tuple[str, Callable[[Part], int]], ...]] = (
    ("instances", lambda part: _keep_instances(part, KEPT_INSTANCES)),
    ("metrics", _drop_metrics),
    ("signatures", _drop_signatures),
    ("services", _fold_services),
    ("latencies", _drop_latencies),
    ("instances", lambda part: _keep_instances(part, 0)),
    ("seconds", _join_seconds),
)
