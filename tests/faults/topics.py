"""Reading topics whole and from their beginning, with a client that no stage uses."""

from __future__ import annotations

from collections import defaultdict

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, running
from guardian.kafka.settings import Settings

Records = dict[str, list[ConsumerRecord]]
"""By short topic name, each partition in the order of its offsets."""


class Topics:
    """Follows topics from their beginning; `async with`, then `await read()` as often as wanted.

    Args:
        settings: the installation.
        names: short names.
    """

    def __init__(self, settings: Settings, *names: str) -> None:
        self._settings, self._names = settings, names
        self._reader: AIOKafkaConsumer = consumer(settings, auto_offset_reset="earliest")
        self._running = running(self._reader, settings)
        self._places: list[TopicPartition] = []

    async def __aenter__(self) -> Topics:
        await self._running.__aenter__()
        self._places = [
            TopicPartition(self._settings.topic(name), number)
            for name in self._names
            for number in range(TOPICS[name].partitions(self._settings))
        ]
        self._reader.assign(self._places)
        await self._reader.seek_to_beginning(*self._places)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._running.__aexit__(None, None, None)

    async def read(self, timeout_ms: int = 100) -> list[ConsumerRecord]:
        """Return what has come since the last time."""
        found = await self._reader.getmany(timeout_ms=timeout_ms)
        return [record for records in found.values() for record in records]

    async def read_to_end(self) -> list[ConsumerRecord]:
        """Return everything up to the end as it is now."""
        ends = await self._reader.end_offsets(self._places)
        records: list[ConsumerRecord] = []
        while any([await self._reader.position(place) < end for place, end in ends.items()]):
            records += await self.read()
        return records


async def read_all(settings: Settings, *names: str) -> Records:
    """Return everything that topics hold.

    Args:
        settings: the installation.
        names: short names.
    """
    async with Topics(settings, *names) as topics:
        found: Records = defaultdict(list)
        for record in await topics.read_to_end():
            found[record.topic.rpartition(".")[2]].append(record)
    return found
