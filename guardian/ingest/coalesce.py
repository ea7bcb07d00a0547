"""Telemetry and migration events become the cells of one range: nothing lost that is not counted, all of it bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from aiokafka import ConsumerRecord

from guardian.core.inputs import Batch, Bucket, Gauge, Heartbeat, Source
from guardian.errors import DecodeError
from guardian.ingest import sizes
from guardian.ingest.cells import MAX_METRICS, Buckets, Cells, add_bins, events_in, sign
from guardian.ingest.columns import CellKey, Columns, Slice
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RANGE_BYTES, Closed, DeadLetter, Tally
from guardian.ingest.reduction import Part, encode_part
from guardian.kafka.partition import partition_of
from guardian.wire.events import (
    MigrationEvent,
    TelemetryEvent,
    decode_apart,
    decode_hot,
    read_migration,
    read_telemetry,
)

Key = TypeVar("Key", bound=tuple[str, ...])

MAX_UNKNOWN_FLAGS: Final = 256
"""Distinct flags without a rollout that one range forwards: an apply on its way must not lose its first events."""
MAX_FLAGS_OF_COMPONENT: Final = 512
"""Rollouts that one migration event counts for; of a component that more of them name, the rest is left out."""
SLICE_RECORDS: Final = 1_024
"""So many plain requests stay in the cache."""
SHORT_SLICE: Final = 128
SLICE_LIMIT: Final = RANGE_BYTES + SHORT_SLICE * sizes.LARGEST_REQUEST
"""No slice may carry a range beyond this many bytes, but for one event that is not plain."""
LOG_APPEND_TIME: Final = 1


@dataclass(frozen=True)
class Bounds:
    """What a folder needs of the installation.

    Args:
        partitions: input partitions.
        future_ms: an event further ahead of its arrival is a dead letter.
    """

    partitions: int
    future_ms: int


class Coalescer:
    """Folds one range of one source partition.

    A range is full from RANGE_BYTES on, by a proven bound on its record (sizes.py); before a slice it has less. A slice
    of plain requests is cut to SHORT_SLICE unless it stays within SLICE_LIMIT, which is as much more. Its other events
    come one by one, and the slice ends with the first that reaches SLICE_LIMIT. So a record has at most
    SLICE_LIMIT + sizes.LARGEST_EVENT + sizes.ENVELOPE = 987,000 bytes, less than RECORD_BYTES, and nothing of it is
    left out. Only a range that a version with other bounds has announced may have more: see reduction.py.

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
        return self.size_bound() >= RANGE_BYTES

    def size_bound(self, part: Slice | None = None) -> int:
        """Return a bound on the bytes of the largest record of the range, with the plain requests of `part` in it."""
        return self._columns.size_bound(part) + self._cells.size + self._extra_bytes

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
        if self._migrations:
            for count, record in enumerate(records, 1):
                self._fold_one(record)
                if self.full:
                    return count
            return len(records)
        values = [record.value for record in records]
        events = decode_hot(values)
        if events is None:
            events = decode_apart(values)
        earliest_ms, latest_ms = _arrivals(records)
        latest_s = (earliest_ms + self._bounds.future_ms) / 1000 if earliest_ms > 0 else float("inf")
        part = self._columns.look(events, latest_s)
        if self.size_bound(part) > SLICE_LIMIT and len(records) > SHORT_SLICE:
            return self._fold_slice(records[:SHORT_SLICE])
        count = self._fold_odd(records, part) if part.odd else len(records)
        self._tally.messages += self._columns.take(part, count)
        self._arrival_ms = max(self._arrival_ms, latest_ms if count == len(records) else _arrivals(records[:count])[1])
        return count

    def _fold_odd(self, records: Sequence[ConsumerRecord], part: Slice) -> int:
        """Fold the events that are not plain; return where the slice has to end."""
        plain_bytes = self._columns.size_bound(part)
        for index in part.odd:
            self._fold_one(records[index])
            if plain_bytes + self._cells.size + self._extra_bytes >= SLICE_LIMIT:
                return index + 1
        return len(records)

    def _fold_one(self, record: ConsumerRecord) -> None:
        self._tally.messages += 1
        self._arrival_ms = max(self._arrival_ms, record.timestamp)
        left_out: tuple[str, ...] = ()
        try:
            if self._migrations:
                migration, left_out = read_migration(record.value, record.timestamp, self._bounds.future_ms)
                self._add_migration(migration)
            else:
                event, left_out = read_telemetry(record.value, record.timestamp, self._bounds.future_ms)
                self._add_telemetry(event)
        except DecodeError as error:
            self._tally.dead_letters += 1
            self._dead.append(DeadLetter.of(record, error))
            self._extra_bytes += 200 + len(record.value or b"") + len(record.key or b"")
        if left_out:
            self._tally.fields_left_out.update(left_out)

    def _add_telemetry(self, event: TelemetryEvent) -> None:
        self._event_s = max(self._event_s, event.ts)
        service, instance, metrics = event.service or "", event.instance or "", event.metrics or {}
        if event.kind == "heartbeat":
            self._extra_bytes += sizes.heartbeat(service, instance, event.flags or {}, metrics)
            self._keep_newest(self._heartbeats, (service, instance), event)
        elif event.kind == "gauge":
            for flag in dict.fromkeys((event.flag, *(event.flags or {}))):
                if flag is not None:
                    self._extra_bytes += sizes.gauge(flag, service, instance, metrics)
                    self._keep_newest(self._gauges, (flag, service, instance), event)
        else:
            self._failing = self._failing or event.outcome not in (None, "ok")
            self._cells.add_telemetry(event)

    def _keep_newest(self, known: dict[Key, TelemetryEvent], key: Key, event: TelemetryEvent) -> None:
        before = known.get(key, event)
        older, newest = (before, event) if event.ts >= before.ts else (event, before)
        if older.metrics and older is not newest:
            # One call tells of memory, another of a queue: the newest of each figure, not of the last call alone.
            figures = {**older.metrics, **(newest.metrics or {})}
            for name in list(figures)[: max(0, len(figures) - MAX_METRICS)]:
                del figures[name]
                self._tally.left_out["metrics"] += 1
            newest = msgspec.structs.replace(newest, metrics=figures)
        known[key] = newest

    def _add_migration(self, event: MigrationEvent) -> None:
        self._event_s = max(self._event_s, event.ts or 0.0)
        if event.flag is not None:
            flags: tuple[str, ...] = (event.flag,)
        else:
            flags = self._rollouts.components.get(event.component or "", ())
        if not flags:
            self._tally.unattributed += 1
        if beyond := len(flags) - MAX_FLAGS_OF_COMPONENT:
            self._tally.left_out["flags"] += max(0, beyond)
        for flag in flags[:MAX_FLAGS_OF_COMPONENT]:
            self._cells.add_migration(event, flag, self._variant(flag, event))
            self._failing = self._failing or event.event_type == "failure"

    def _variant(self, flag: str, event: MigrationEvent) -> str:
        if event.variant is not None:
            return event.variant
        arms = self._rollouts.arms.get(flag, Arms())
        return arms.control if event.enabled is False else arms.candidate

    def close(self, source: Source, start: int, end: int) -> Closed:
        """Return what the range comes to; the folder is not used again."""
        self._sum_columns()
        by_flag: dict[str, list[tuple[CellKey, Buckets]]] = defaultdict(list)
        for key, buckets in self._cells.by_key.items():
            by_flag[key.flag].append((key, buckets))
        closed = Closed(source, start, end, {}, self._dead, self._tally)
        closed.event_ms, closed.arrival_ms = int(self._event_s * 1000), self._arrival_ms
        self._tally.left_out.update(self._cells.left_out)
        for partition, part in sorted(self._parts(by_flag).items()):
            closed.parts[partition] = encode_part(Batch(source, start, end), part, self._tally)
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

    def _parts(self, by_flag: dict[str, list[tuple[CellKey, Buckets]]]) -> dict[int, Part]:
        """What each input partition gets of the range."""
        forwarded, count = self._forwarded(by_flag), self._bounds.partitions
        parts: dict[int, Part] = defaultdict(Part)
        # Flags with a rollout come first, the busiest before the others: where there is no room, these are kept.
        events = {flag: sum(events_in(buckets) for _, buckets in mine) for flag, mine in by_flag.items()}
        for flag in sorted(by_flag, key=lambda flag: (flag not in self._rollouts.arms, -events[flag], flag)):
            if flag in forwarded:
                parts[partition_of(flag, count)].flags[flag] = by_flag[flag]
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
        event.bye or False,
        event.open or 0,
        event.open_max_ms or 0.0,
    )
