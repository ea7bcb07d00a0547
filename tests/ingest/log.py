"""Reading guardian.inputs as decide does: a batch that starts before the applied end of its source is dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from guardian.core.inputs import Batch, Command, Source, Watermarks
from guardian.kafka.clients import consumer, running
from guardian.kafka.settings import Settings
from guardian.wire.inputs import decode_payload

MIGRATION_TYPES = ("success", "failure", "fallback")


@dataclass
class Applied:
    """What the log says so far.

    Args:
        counts: requests by (flag, variant).
        migrations: migration events by (flag, type).
        commands: in the order in which they were applied, by input partition.
        ends: the applied end by (input partition, source).
        repeated: batches that were dropped.
        straddles: batches that begin before the applied end and end after it; the protocol allows none.
        marks: the newest watermarks by input partition.
        batches: those that were applied.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    migrations: Counter[tuple[str, str]] = field(default_factory=Counter)
    commands: dict[int, list[Command]] = field(default_factory=dict)
    ends: dict[tuple[int, Source], int] = field(default_factory=dict)
    repeated: int = 0
    straddles: list[Batch] = field(default_factory=list)
    marks: dict[int, Watermarks] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)

    def take(self, partition: int, value: bytes) -> None:
        """Apply one record."""
        payload = decode_payload(value)
        if isinstance(payload, Watermarks):
            self.marks[partition] = payload
        if not isinstance(payload, Batch):
            return
        place = (partition, payload.source)
        end = self.ends.get(place, 0)
        if payload.start < end:
            self.repeated += 1
            if payload.end > end:
                self.straddles.append(payload)
            return
        self.ends[place] = payload.end
        self.batches.append(payload)
        self.commands.setdefault(partition, []).extend(payload.commands)
        for cell in payload.cells:
            self.counts[cell.flag, cell.variant] += sum(bucket.n for bucket in cell.buckets)
            for bucket in cell.buckets:
                for name, count in zip(MIGRATION_TYPES, bucket.migrations, strict=False):
                    self.migrations[cell.flag, name] += count


class Log:
    """Follows guardian.inputs from its beginning; `async with`, then `await log.read()` as often as wanted."""

    def __init__(self, settings: Settings) -> None:
        self.applied = Applied()
        self._settings = settings
        self._reader: AIOKafkaConsumer = consumer(settings)
        self._running = running(self._reader, settings)

    async def __aenter__(self) -> Log:
        await self._running.__aenter__()
        topic = self._settings.topic("inputs")
        places = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        self._reader.assign(places)
        for place, offset in (await self._reader.beginning_offsets(places)).items():
            self._reader.seek(place, offset)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._running.__aexit__(None, None, None)

    async def read(self) -> Applied:
        """Apply what has come since the last time."""
        for place, records in (await self._reader.getmany(timeout_ms=100)).items():
            for record in records:
                self.applied.take(place.partition, record.value)
        return self.applied
