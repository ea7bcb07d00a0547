"""What the SDK's tests share: guardian's side of the topics, and a provider in OpenFeature's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from openfeature import api
from openfeature.client import OpenFeatureClient

from guardian.core.events import BEAT_KEY
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, producer, running
from guardian.kafka.free_ports import free_ports
from guardian.kafka.settings import Settings
from guardian.sdk import GuardianProvider, ProviderOptions
from guardian.sdk.following import Timing
from tests.eventually import HANG_S, eventually
from tests.sdk.documents import FLAG, beat

QUICK = Timing(beat_s=0.2, look_s=0.02, backoff_s=0.05, backoff_most_s=0.2, snapshot_every_s=0.05)
CALM = Timing(look_s=0.02, backoff_s=0.05, backoff_most_s=0.2, snapshot_every_s=0.05)


def provider_for(settings: Settings, timing: Timing = CALM, **arguments: Any) -> GuardianProvider:
    options = ProviderOptions(timing=timing, init_within_s=arguments.pop("init_within_s", 10.0), environ={})
    return GuardianProvider(settings.bootstrap, settings.prefix, options=options, **arguments)


@contextmanager
def installed(provider: GuardianProvider, domain: str = "test") -> Iterator[OpenFeatureClient]:
    """The provider in OpenFeature's own hands."""
    api.set_provider_and_wait(provider, domain)
    try:
        yield api.get_client(domain)
    finally:
        api.shutdown()
        api.clear_providers()


class Guardian:
    """Writes to guardian.flags as decide does."""

    def __init__(self, writer: AIOKafkaProducer, settings: Settings) -> None:
        self._writer = writer
        self._topic = settings.topic("flags")
        self._partitions = settings.partitions

    async def write(self, value: bytes | None, flag: str = FLAG) -> None:
        await self._writer.send_and_wait(self._topic, value, key=flag.encode())

    async def beat(self, *partitions: int) -> None:
        for partition in partitions or range(self._partitions):
            await self._writer.send_and_wait(self._topic, beat(partition), key=BEAT_KEY.encode(), partition=partition)


@asynccontextmanager
async def guardian(settings: Settings) -> AsyncIterator[Guardian]:
    async with running(producer(settings), settings) as writer:
        yield Guardian(writer, settings)


async def arrived(settings: Settings, count: int, topic: str = "telemetry", within: float = HANG_S) -> list[bytes]:
    """The values of a topic from its beginning to its end, once there are `count` of them."""
    found: list[bytes] = []
    reader = consumer(settings, settings.topic(TOPICS[topic].name), auto_offset_reset="earliest")
    async with running(reader, settings):

        async def enough() -> bool:
            for records in (await reader.getmany(timeout_ms=20)).values():
                found.extend(record.value for record in records)
            ends = await reader.end_offsets(reader.assignment())
            at_end = all([await reader.position(place) >= end for place, end in ends.items()])
            return at_end and len(found) >= count

        await eventually(enough, within=within)
    return found


def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    return free_ports(1)[0]
