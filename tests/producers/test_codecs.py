"""Strangers' producers with every codec (case B4), on real Kafka: all is counted, and a kill of theirs is obeyed."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from openfeature.evaluation_context import EvaluationContext

from guardian.core.inputs import Actor, Command
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.settings import Settings
from guardian.wire.commands import encode_command
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.ingest.log import Log
from tests.ingest.test_loop import ingest, request
from tests.producers.programs import CODECS, PRODUCERS
from tests.sdk.documents import FLAG, state, written
from tests.sdk.scenes import installed, provider_for

pytestmark = pytest.mark.kafka

EVENTS = 50
ANYBODY = EvaluationContext("u-1")


async def codecs_of(settings: Settings, topic: str) -> Counter[int]:
    """The codecs of the batches that stand in a topic, by Kafka's number: each was really compressed."""
    found: Counter[int] = Counter()
    reader = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")
    await reader.start()
    try:
        fetcher = reader._fetcher
        fetch = fetcher._proc_fetch_request

        async def noted(*given: object) -> bool:
            woken: bool = await fetch(*given)
            for result in fetcher._records.values():
                records = result._partition_records
                if records is not None and not isinstance(records._records, _Noting):
                    records._records = _Noting(records._records, found)
            return woken

        fetcher._proc_fetch_request = noted
        places = [TopicPartition(settings.topic(topic), number) for number in range(4)]
        reader.assign(places)
        await reader.seek_to_beginning()
        ends = await reader.end_offsets(places)
        while any([await reader.position(place) < end for place, end in ends.items()]):
            await reader.getmany(timeout_ms=100)
    finally:
        await reader.stop()
    return found


class _Noting:
    def __init__(self, batches: object, found: Counter[int]) -> None:
        self._batches, self._found = batches, found

    def has_next(self) -> bool:
        return bool(self._batches.has_next())  # type: ignore[attr-defined]

    def next_batch(self) -> object:
        batch = self._batches.next_batch()  # type: ignore[attr-defined]
        self._found[batch.compression_type] += 1
        return batch


@pytest.mark.parametrize("name", PRODUCERS)
def test_B4_telemetry_of_a_strangers_producer_is_counted_exactly_in_every_codec(kafka: ApacheKafka, name: str) -> None:
    async def check() -> None:
        settings = settings_for(kafka, "stranger")
        await create_topics(settings)
        topic = settings.topic("telemetry")
        for codec in CODECS:
            events = [request(f"flag-{codec}", service=name) for _ in range(EVENTS)]
            await asyncio.to_thread(PRODUCERS[name], settings.bootstrap, topic, codec, events, None)
        assert set(await codecs_of(settings, "telemetry")) == set(range(5)), "each codec was really used"
        async with ingest(settings), Log(settings) as log:

            async def counted() -> bool:
                return (await log.read()).counts.total() >= EVENTS * len(CODECS)

            await eventually(counted)
            assert log.applied.counts == {(f"flag-{codec}", "on"): EVENTS for codec in CODECS}

    asyncio.run(check())


@pytest.mark.parametrize("name", PRODUCERS)
def test_B4_a_kill_on_guardian_flags_in_every_codec_is_obeyed_by_the_sdk(kafka: ApacheKafka, name: str) -> None:
    async def check() -> None:
        settings = settings_for(kafka, "stranger")
        await create_topics(settings)
        topic = settings.topic("flags")
        versions = itertools.count(state().version)

        async def write(codec: str, *, killed: bool) -> None:
            value = written(weight_bp=10_000, killed=killed, version=next(versions))
            await asyncio.to_thread(PRODUCERS[name], settings.bootstrap, topic, codec, [value], FLAG.encode())

        await write("none", killed=False)
        provider = provider_for(settings)
        with installed(provider) as client:
            for codec in CODECS:
                await write("none", killed=False)
                await eventually(lambda: client.get_boolean_value(FLAG, False, ANYBODY) is True)
                await write(codec, killed=True)
                await eventually(lambda: client.get_boolean_value(FLAG, True, ANYBODY) is False)
            assert provider.counts().failures == 0

    asyncio.run(check())


@pytest.mark.parametrize("name", PRODUCERS)
def test_B4_commands_in_every_codec_are_brought_into_the_log(kafka: ApacheKafka, name: str) -> None:
    async def check() -> None:
        settings = settings_for(kafka, "stranger")
        await create_topics(settings)
        for codec in CODECS:
            value = encode_command(Command(f"c-{codec}", "kill", FLAG, Actor("test"))).value
            await asyncio.to_thread(
                PRODUCERS[name], settings.bootstrap, settings.topic("commands"), codec, [value], FLAG.encode()
            )
        async with ingest(settings, "commands"), Log(settings) as log:

            async def obeyed() -> bool:
                commands = [each.id for given in (await log.read()).commands.values() for each in given]
                return sorted(commands) == sorted(f"c-{codec}" for codec in CODECS)

            await eventually(obeyed)

    asyncio.run(check())
