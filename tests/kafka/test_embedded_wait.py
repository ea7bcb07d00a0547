"""The embedded broker is asked seldom while nothing happens, and often while something does."""

from __future__ import annotations

import asyncio

from guardian.kafka.clients import consumer, producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.embedded_wait import LONGEST_MS, SHORTEST_MS, adapt
from tests.brokers import settings_for
from tests.eventually import eventually


class Answers:
    """As much of aiokafka's fetcher as is adapted: each fetch brings records or none."""

    def __init__(self, *found: bool) -> None:
        self._found = list(found)
        self._fetch_max_wait_ms = 0

    async def _proc_fetch_request(self, *request: object) -> bool:
        return self._found.pop(0)


def test_the_wait_doubles_with_every_fetch_in_vain_and_is_short_again_with_the_first_record() -> None:
    async def test() -> list[int]:
        fetcher = Answers(False, False, False, False, False, True, False)
        adapt(fetcher)
        waits = [fetcher._fetch_max_wait_ms]
        for _ in range(7):
            await fetcher._proc_fetch_request()
            waits.append(fetcher._fetch_max_wait_ms)
        return waits

    assert asyncio.run(test()) == [20, 40, 80, 160, LONGEST_MS, LONGEST_MS, SHORTEST_MS, 40]


def test_a_record_after_a_quiet_time_is_read(embedded: EmbeddedBroker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "waiting")
        topic = settings.topic("flags")
        async with running(producer(settings), settings) as writer:
            await writer.partitions_for(topic)
            async with running(consumer(settings, topic, auto_offset_reset="earliest"), settings) as reader:
                await eventually(lambda: reader._fetcher._fetch_max_wait_ms == LONGEST_MS)
                await writer.send_and_wait(topic, b"news")
                assert (await asyncio.wait_for(reader.getone(), 30)).value == b"news"

    asyncio.run(test())


def test_a_real_kafka_is_left_to_answer_when_there_is_something(embedded: EmbeddedBroker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "patient").model_copy(update={"embedded": False})
        assert "start" not in vars(consumer(settings))

    asyncio.run(test())
