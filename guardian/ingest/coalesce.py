"""Telemetry and migration events become the cells of one range: nothing lost that is not counted, all of it bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aiokafka import ConsumerRecord

from guardian.core.inputs import MAX_CELLS_PER_FLAG, Batch, Bucket, Gauge, Heartbeat, Source
from guardian.errors import DecodeError, InternalError
from guardian.ingest.cells import Buckets, Cells, add_bins, cells_of, events_in, sign
from guardian.ingest.columns import CellKey, Columns
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RANGE_BYTES, RECORD_BYTES, Closed, DeadLetter, Tally
from guardian.kafka.partition import partition_of
from guardian.wire.events import MigrationEvent, TelemetryEvent, decode_hot, decode_migration, decode_telemetry
from guardian.wire.inputs import encode_payload

Key = TypeVar("Key", bound=tuple[str, ...])

MAX_UNKNOWN_FLAGS: Final = 256
"""Distinct flags without a rollout that one range forwards: an apply on its way must not lose its first events."""
SLICE_RECORDS: Final = 1_024
"""So many plain requests stay in the cache, and cannot carry a range from RANGE_BYTES beyond RECORD_BYTES."""
MAX_ODD: Final = 16
"""With more events than this that are not plain requests, a slice goes one by one, and may stop anywhere."""
LOG_APPEND_TIME: Final = 1
_TIGHTER: Final = (MAX_CELLS_PER_FLAG, 16, 1)


@dataclass(frozen=True)
class Bounds:
    """What a folder needs of the installation.

    Args:
        partitions: input partitions.
        future_ms: an event further ahead of its arrival is a dead letter.
    """

    partitions: int
    future_ms: int


@dataclass
class _Part:
    """What one input partition gets of a range."""

    flags: list[str] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    gauges: list[Gauge] = field(default_factory=list)


class Coalescer:
    """Folds one range of one source partition.

    Args:
        rollouts: which flags are always forwarded; read when the range is closed.
        bounds: of the installation.
        migrations: whether the source carries migration events.
    """

    def __init__(self, rollouts: Rollouts, bounds: Bounds, *, migrations: bool) -> None:
        self._rollouts, self._bounds, self._migrations = rollouts, bounds, migrations
        self._columns, self._cells = Columns(), Cells()
        self._heartbeats: dict[tuple[str, str], TelemetryEvent] = {}
        self._gauges: dict[tuple[str, str, str], TelemetryEvent] = {}
        self._dead: list[DeadLetter] = []
        self._tally = Tally()
        self._extra_bytes = 0
        self._event_s, self._arrival_ms = 0.0, 0
        self._failing = False

    @property
    def full(self) -> bool:
        """True when the record of some input partition may have come to half of the largest."""
        return self._columns.size_bound() + self._cells.size + self._extra_bytes >= RANGE_BYTES

    @property
    def urgent(self) -> bool:
        """True when a failure is among the events."""
        return self._failing or self._columns.labels.failing

    def fold(self, records: Sequence[ConsumerRecord]) -> int:
        """Take records in the order of their offsets until the range is full; return how many, at least one."""
        taken = 0
        while taken < len(records):
            taken += self._fold_slice(records[taken : taken + SLICE_RECORDS])
            if self.full:
                break
        return taken

    def _fold_slice(self, records: Sequence[ConsumerRecord]) -> int:
        if not self._migrations:
            events = decode_hot([record.value for record in records])
            if events is not None:
                earliest_ms, latest_ms = _arrivals(records)
                latest_s = (earliest_ms + self._bounds.future_ms) / 1000 if earliest_ms > 0 else float("inf")
                odd = self._columns.take(events, latest_s, MAX_ODD)
                if odd is not None:
                    self._arrival_ms = max(self._arrival_ms, latest_ms)
                    self._tally.messages += len(records) - len(odd)
                    for index in odd:
                        self._fold_one(records[index])
                    return len(records)
        for count, record in enumerate(records, 1):
            self._fold_one(record)
            if self.full:
                return count
        return len(records)

    def _fold_one(self, record: ConsumerRecord) -> None:
        self._tally.messages += 1
        self._arrival_ms = max(self._arrival_ms, record.timestamp)
        try:
            if self._migrations:
                self._add_migration(decode_migration(record.value, record.timestamp, self._bounds.future_ms))
            else:
                self._add_telemetry(decode_telemetry(record.value, record.timestamp, self._bounds.future_ms))
        except DecodeError as error:
            self._tally.dead_letters += 1
            self._dead.append(DeadLetter.of(record, error))
            self._extra_bytes += 200 + len(record.value or b"") + len(record.key or b"")

    def _add_telemetry(self, event: TelemetryEvent) -> None:
        self._event_s = max(self._event_s, event.ts)
        if event.kind == "heartbeat":
            self._keep_newest(self._heartbeats, (event.service or "", event.instance or ""), event)
        elif event.kind == "gauge":
            for flag in {event.flag, *(event.flags or {})} - {None}:
                self._keep_newest(self._gauges, (flag or "", event.service or "", event.instance or ""), event)
        else:
            self._failing = self._failing or event.outcome not in (None, "ok")
            self._cells.add_telemetry(event)

    def _keep_newest(self, known: dict[Key, TelemetryEvent], key: Key, event: TelemetryEvent) -> None:
        self._extra_bytes += 600 + 150 * len(event.flags or {}) + 150 * len(event.metrics or {})
        before = known.get(key, event)
        older, newest = (before, event) if event.ts >= before.ts else (event, before)
        if older.metrics and older is not newest:
            # One call tells of memory, another of a queue: the newest of each figure, not of the last call alone.
            newest.metrics = {**older.metrics, **(newest.metrics or {})}
        known[key] = newest

    def _add_migration(self, event: MigrationEvent) -> None:
        self._event_s = max(self._event_s, event.ts or 0.0)
        if event.flag is not None:
            flags: tuple[str, ...] = (event.flag,)
        else:
            flags = self._rollouts.components.get(event.component or "", ())
        if not flags:
            self._tally.unattributed += 1
        for flag in flags:
            self._cells.add_migration(event, flag, self._variant(flag, event))
            self._failing = self._failing or event.event_type == "failure"

    def _variant(self, flag: str, event: MigrationEvent) -> str:
        if event.variant is not None:
            return event.variant
        arms = self._rollouts.arms.get(flag, Arms())
        enabled = event.metadata.feature_flag_enabled if event.metadata else None
        return arms.control if enabled is False else arms.candidate

    def close(self, source: Source, start: int, end: int) -> Closed:
        """Return what the range comes to; the folder is not used again."""
        self._sum_columns()
        by_flag: dict[str, list[tuple[CellKey, Buckets]]] = defaultdict(list)
        for key, buckets in self._cells.by_key.items():
            by_flag[key.flag].append((key, buckets))
        parts = self._parts(self._forwarded(by_flag))
        closed = Closed(source, start, end, {}, self._dead, self._tally)
        closed.event_ms, closed.arrival_ms = int(self._event_s * 1000), self._arrival_ms
        for partition, part in sorted(parts.items()):
            closed.parts[partition] = self._encoded(Batch(source, start, end), part, by_flag)
        return closed

    def _sum_columns(self) -> None:
        groups, spreads = self._columns.sums()
        labels = self._columns.labels
        keys, cell_of = list(labels.cells), labels.cell_of
        mine: dict[tuple[int, int], Bucket] = {}
        for label, second, n, latency_n, latency_sum_us in groups:
            place = (cell_of[label], second)
            bucket = mine.get(place)
            if bucket is None:
                bucket = mine[place] = self._cells.bucket(keys[place[0]], second)
            outcome, signature = labels.outcome_of[label], labels.signature_of[label]
            bucket.n += n
            setattr(bucket, outcome, getattr(bucket, outcome) + n)
            bucket.latency_n += latency_n
            bucket.latency_sum_us += latency_sum_us
            if signature:
                sign(bucket, signature, n)
        for cell, second, bins, counts in spreads:
            add_bins(mine[cell, second], bins, counts)
        self._event_s = max(self._event_s, self._columns.latest_s)

    def _forwarded(self, by_flag: dict[str, list[tuple[CellKey, Buckets]]]) -> set[str]:
        """The flags that go on: all with a rollout, and the busiest of the others; what is left out is counted."""
        weight: dict[str, int] = defaultdict(int)
        for flag, cells in by_flag.items():
            if flag not in self._rollouts.arms:
                weight[flag] = sum(events_in(buckets) for _, buckets in cells)
        for event in self._heartbeats.values():
            for flag in event.flags or {}:
                if flag not in self._rollouts.arms:
                    weight[flag] += 0
        for flag, _, _ in self._gauges:
            if flag not in self._rollouts.arms:
                weight[flag] += 1
        ranked = sorted(weight, key=lambda flag: (-weight[flag], flag))
        self._tally.unknown_flags += sum(weight[flag] for flag in ranked[MAX_UNKNOWN_FLAGS:])
        return {*self._rollouts.arms, *ranked[:MAX_UNKNOWN_FLAGS]}

    def _parts(self, forwarded: set[str]) -> dict[int, _Part]:
        count = self._bounds.partitions
        parts: dict[int, _Part] = defaultdict(_Part)
        for flag in {key.flag for key in self._cells.by_key}:
            if flag in forwarded:
                parts[partition_of(flag, count)].flags.append(flag)
        for event in self._heartbeats.values():
            mine: dict[int, dict[str, int]] = defaultdict(dict)
            for flag, version in (event.flags or {}).items():
                if flag in forwarded:
                    mine[partition_of(flag, count)][flag] = int(version)
            self._tally.unattributed += not mine
            for partition, flags in mine.items():
                parts[partition].heartbeats.append(_heartbeat(event, flags))
        for (flag, service, instance), event in self._gauges.items():
            if flag in forwarded:
                gauge = Gauge(flag, service, instance, int(event.ts * 1000), event.metrics or {})
                parts[partition_of(flag, count)].gauges.append(gauge)
        return parts

    def _encoded(self, batch: Batch, part: _Part, by_flag: dict[str, list[tuple[CellKey, Buckets]]]) -> bytes:
        """The record's value; a range that is too large all the same has its cells folded more tightly."""
        batch.heartbeats, batch.gauges = part.heartbeats, part.gauges
        for limit in _TIGHTER:
            batch.cells, batch.other_cells = [], 0
            for flag in sorted(part.flags):
                cells, others = cells_of(flag, by_flag[flag], limit)
                batch.cells.extend(cells)
                batch.other_cells += others
            value = encode_payload(batch)
            if len(value) <= RECORD_BYTES:
                self._tally.other_cells += batch.other_cells
                return value
        raise InternalError(f"the range [{batch.start}, {batch.end}) of {batch.source} comes to {len(value)} bytes")


def _arrivals(records: Sequence[ConsumerRecord]) -> tuple[int, int]:
    """The least and the greatest arrival time; under LogAppendTime these are the first and the last."""
    if records[0].timestamp_type == LOG_APPEND_TIME:
        return records[0].timestamp, records[-1].timestamp
    times = [record.timestamp for record in records]
    return min(times), max(times)


def _heartbeat(event: TelemetryEvent, flags: dict[str, int]) -> Heartbeat:
    metrics = {
        name: figure
        for name, figure in (("memory_bytes", event.memory_bytes), ("cpu_pct", event.cpu_pct))
        if figure is not None
    }
    return Heartbeat(
        event.service or "",
        event.instance or "",
        int(event.ts * 1000),
        flags,
        event.dropped or 0,
        event.evaluation_errors or 0,
        {**(event.metrics or {}), **metrics},
    )
