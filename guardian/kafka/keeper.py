"""What compaction does on a real broker: on the embedded one, the newest value of every key stays readable.

The embedded broker drops the oldest records of a partition that holds about 5 MB, whatever their keys. The keeper reads
the compacted topics along and writes a key's newest value again before it falls out. Its copies carry a header, so that
a follower can tell them from news.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from guardian.kafka.catalogue import TOPICS, checkpoint_topic
from guardian.kafka.clients import consumer, producer, running
from guardian.kafka.settings import Settings

KEPT_HEADER: Final = "guardian-kept"
"""On a copy that the keeper wrote: the offset of the record that it repeats. Not news, whoever follows a topic."""

REWRITE_AFTER_BYTES: Final = 3_000_000
"""Written to the partition since the key's newest record; the broker keeps 5 MiB, the rest is for being late."""
HURRY_AFTER_BYTES: Final = 4_000_000
REWRITE_AFTER_RECORDS: Final = 60_000
"""The broker keeps 100,000 batches, of one record each at the worst."""
MAX_KEPT_BYTES: Final = 2_000_000
"""The newest values of one partition together. More, and writing them again would push themselves out."""
MAX_HELD_BYTES: Final = 5_000_000
"""What the keeper itself holds of a partition."""
MAX_COPIES_PER_ROUND: Final = 500
RECORD_OVERHEAD_BYTES: Final = 100
_POLL_MS: Final = 50
_RETRY_S: Final = 0.2

_log = logging.getLogger(__name__)


@dataclass
class _Newest:
    """The newest record of a key.

    Args:
        record: as it was read.
        origin: the offset at which its value was first written.
        at_bytes, at_records: how much had been written to the partition when it was read.
    """

    record: ConsumerRecord
    origin: int
    at_bytes: int
    at_records: int


@dataclass
class _Partition:
    """One partition's newest records, the longest unwritten first."""

    newest: OrderedDict[bytes, _Newest] = field(default_factory=OrderedDict)
    written_bytes: int = 0
    written_records: int = 0
    kept_bytes: int = 0
    clobbered: set[bytes] = field(default_factory=set)

    def take(self, record: ConsumerRecord) -> None:
        """Fold one record, in the order of the offsets."""
        size = _size(record)
        self.written_bytes += size
        self.written_records += 1
        key = record.key or b""
        origin = _origin(record)
        before = self.newest.get(key)
        if before is not None and origin < before.origin:
            # A copy of ours was overtaken by news while it was on its way, and has now landed over them.
            self.clobbered.add(key)
            return
        if before is not None:
            self.kept_bytes -= _size(before.record)
        self.kept_bytes += size
        self.clobbered.discard(key)
        self.newest[key] = _Newest(record, origin, self.written_bytes, self.written_records)
        self.newest.move_to_end(key)
        while self.kept_bytes > MAX_HELD_BYTES:
            # The broker has dropped it by now, or is about to: nothing is gained by holding it.
            lost, dropped = self.newest.popitem(last=False)
            self.kept_bytes -= _size(dropped.record)
            self.clobbered.discard(lost)

    def oldest_age_bytes(self) -> int:
        """How much was written since the record that will fall out first."""
        first = next(iter(self.newest.values()), None)
        return 0 if first is None else self.written_bytes - first.at_bytes

    def due(self) -> list[_Newest]:
        """What must be written again now; a tombstone that has grown old is forgotten instead."""
        found = [self.newest[key] for key in self.clobbered]
        for key, kept in list(self.newest.items()):
            age_bytes = self.written_bytes - kept.at_bytes
            age_records = self.written_records - kept.at_records
            if age_bytes < REWRITE_AFTER_BYTES and age_records < REWRITE_AFTER_RECORDS:
                break
            if kept.record.value is None:
                self.kept_bytes -= _size(kept.record)
                del self.newest[key]
            elif key not in self.clobbered:
                found.append(kept)
            if len(found) >= MAX_COPIES_PER_ROUND:
                break
        return found


class CompactedKeeper:
    """An async context manager: while the block runs, no key of a compacted topic is lost.

    Args:
        settings: the embedded broker and the prefix. The compacted topics of the catalogue and decide's checkpoint
            are kept.
        also: full names of further topics to keep.
    """

    def __init__(self, settings: Settings, also: Sequence[str] = ()) -> None:
        self._settings = settings
        compacted = [settings.topic(topic.name) for topic in TOPICS.values() if topic.compacted]
        self._topics = [*compacted, checkpoint_topic(settings), *also]
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._task: asyncio.Task[None] | None = None
        self._placed = asyncio.Event()
        self.copies_written = 0
        """How many records were written again."""
        self.overflowing: set[str] = set()
        """Partitions, as `topic-0`, whose newest values are together too large to be kept."""

    async def __aenter__(self) -> CompactedKeeper:
        self._task = asyncio.create_task(self._keep(), name="compacted-keeper")
        placed = asyncio.create_task(self._placed.wait())
        await asyncio.wait([self._task, placed], return_when=asyncio.FIRST_COMPLETED)
        placed.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep(self) -> None:
        reader = consumer(self._settings, *self._topics, auto_offset_reset="earliest")
        async with running(reader, self._settings), running(producer(self._settings), self._settings) as writer:
            self._placed.set()
            while True:
                try:
                    await self._round(reader, writer)
                except KafkaError as error:
                    _log.warning("the embedded broker's keeper goes on after %r", error)
                    await asyncio.sleep(_RETRY_S)

    async def _round(self, reader: AIOKafkaConsumer, writer: AIOKafkaProducer) -> None:
        # Step 1: read what is there.
        for place, records in (await reader.getmany(timeout_ms=_POLL_MS)).items():
            partition = self._partitions.setdefault(place, _Partition())
            for record in records:
                partition.take(record)
        # Step 2: what grew old, or was clobbered, goes to the end again; all copies of a round in one flight.
        flight = []
        for place, partition in self._partitions.items():
            due = partition.due()
            if due and self._fits(place, partition) and await self._may_write(reader, place, partition):
                flight += [await _send_copy(writer, kept) for kept in due]
        # Step 3: acked before the next look; read back, they are the newest and no longer due.
        for acked in flight:
            await acked
        self.copies_written += len(flight)
        if flight:
            await self._read_back(reader)

    async def _read_back(self, reader: AIOKafkaConsumer) -> None:
        """Read to the present end, so that no copy is written twice."""
        ends = await reader.end_offsets(list(self._partitions))
        while behind := [place for place, end in ends.items() if await reader.position(place) < end]:
            for place, records in (await reader.getmany(*behind, timeout_ms=_POLL_MS)).items():
                for record in records:
                    self._partitions[place].take(record)

    def _fits(self, place: TopicPartition, partition: _Partition) -> bool:
        name = f"{place.topic}-{place.partition}"
        if partition.kept_bytes <= MAX_KEPT_BYTES:
            self.overflowing.discard(name)
            return True
        if name not in self.overflowing:
            self.overflowing.add(name)
            _log.error(
                "%s holds %d bytes of newest values, the embedded broker can keep %d: its oldest keys will be lost;"
                " use a real Kafka (guardian dev --broker kafka)",
                name,
                partition.kept_bytes,
                MAX_KEPT_BYTES,
            )
        return False

    async def _may_write(self, reader: AIOKafkaConsumer, place: TopicPartition, partition: _Partition) -> bool:
        """Whether nothing newer is on its way to us, as far as can be known; in a hurry we do not ask.

        A copy that lands over news is noticed and made good, but a reader may see it for a moment.
        """
        if partition.oldest_age_bytes() > HURRY_AFTER_BYTES:
            return True
        ends = await reader.end_offsets([place])
        return bool(await reader.position(place) >= ends[place])


async def _send_copy(writer: AIOKafkaProducer, kept: _Newest) -> asyncio.Future[object]:
    record = kept.record
    headers = [(name, value) for name, value in record.headers if name != KEPT_HEADER]
    sent: asyncio.Future[object] = await writer.send(
        record.topic,
        record.value,
        key=record.key,
        partition=record.partition,
        timestamp_ms=record.timestamp,
        headers=[*headers, (KEPT_HEADER, str(kept.origin).encode())],
    )
    return sent


def _origin(record: ConsumerRecord) -> int:
    for name, value in record.headers:
        if name == KEPT_HEADER:
            return int(value)
    return int(record.offset)


def _size(record: ConsumerRecord) -> int:
    """Bytes in the log, rather too many than too few: as if each record were a batch of its own."""
    headers = sum(len(name) + len(value or b"") + 4 for name, value in record.headers)
    return RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"") + headers
