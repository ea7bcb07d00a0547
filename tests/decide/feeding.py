"""Writes inputs as ingest would, and reads what decide made of them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRecord

from guardian.core.inputs import Actor, Batch, Bucket, Cell, Command, Source
from guardian.decide.loop import run_decide
from guardian.decide.partition import Restore
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import follow, producer, running
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.wire.inputs import encode_payload

SECOND = 1_763_700_000


class Feeder:
    """Stands in for ingest: batches of one telemetry partition and one commands partition, never two in one record."""

    def __init__(self, client: AIOKafkaProducer, settings: Settings) -> None:
        self.client, self.settings = client, settings
        self._ends: dict[str, int] = defaultdict(int)
        self.commands: Counter[str] = Counter()

    async def send(self, flag: str, topic: str, **content: Any) -> None:
        start = self._ends[topic]
        self._ends[topic] = start + 1
        payload = Batch(Source(topic, f"id-of-{topic}", 0), start, start + 1, **content)
        partition = partition_of(flag, self.settings.partitions)
        await self.client.send_and_wait(self.settings.topic("inputs"), encode_payload(payload), partition=partition)

    async def command(self, flag: str, command: str, spec: dict[str, Any] | None = None) -> None:
        number = self.commands.total()
        given = Command(f"{flag}-{command}-{number}", command, flag, Actor("test"), spec=spec)
        self.commands[given.id] = 1
        await self.send(flag, "commands", commands=[given])

    async def requests(self, flag: str, version: int = 0, **outcomes: int) -> None:
        bucket = Bucket(SECOND, n=sum(outcomes.values()), **outcomes)
        await self.send(flag, "telemetry", cells=[Cell(flag, version, "on", "split", buckets=[bucket])])


@asynccontextmanager
async def feeding(settings: Settings) -> AsyncIterator[Feeder]:
    """Create the topics and give a feeder."""
    if not settings.embedded:
        await create_topics(settings)
    async with running(producer(settings), settings) as client:
        yield Feeder(client, settings)


@asynccontextmanager
async def deciding(settings: Settings, restore: Restore | None = None, **options: Any) -> AsyncIterator[asyncio.Event]:
    """Run decide in this process for the length of the block; what it raises is raised at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_decide(settings, stop=stop, restore=restore, **options))
    try:
        yield stop
    finally:
        stop.set()
        await task


class Reader:
    """Every record of some topics from the beginning, as they come."""

    def __init__(self) -> None:
        self.records: list[ConsumerRecord] = []

    def of(self, topic: str) -> list[ConsumerRecord]:
        return [record for record in self.records if record.topic.endswith(f".{topic}")]


@asynccontextmanager
async def reading(settings: Settings, *topics: str) -> AsyncIterator[Reader]:
    """Follow topics for the length of the block."""
    reader = Reader()

    async def read() -> None:
        async for record in follow(settings, topics, from_beginning=True):
            reader.records.append(record)

    task = asyncio.create_task(read())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an async test."""
    asyncio.run(test())
