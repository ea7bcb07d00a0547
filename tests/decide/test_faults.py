"""What breaks off: Faust's agent, the deliveries, the broker. Decide recovers by its one start, or ends and says so."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from guardian.decide.faust_port import FaustPort, PortCrashed
from guardian.decide.loop import MAX_CRASHES, check_topics, run_decide
from guardian.decide.port import Arrival, Delivered
from guardian.errors import InternalError, TransportError
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.settings import Settings
from tests.brokers import Broker, settings_for
from tests.decide.counting import CountingEngine
from tests.decide.feeding import deciding, feeding, run
from tests.eventually import eventually


class Engines(list[CountingEngine]):
    """Builds counting engines and keeps them."""

    def __call__(self, *saved: Any) -> CountingEngine:
        self.append(CountingEngine.restore(*saved))
        return self[-1]

    def reached(self, flag: str, count: int) -> bool:
        found = max((each.counts.get(flag, 0) for each in self), default=0)
        assert found <= count, "counted twice"
        return found == count


def test_a_crashed_agent_is_a_new_start_from_the_checkpoint(embedded: Broker) -> None:
    class CrashesOnce(FaustPort):
        lives = 0

        async def _take(self, stream: Any) -> None:
            type(self).lives += 1
            if self.lives > 1:
                await super()._take(stream)
            async for _ in stream.events():
                raise ValueError("the agent stumbles")

    async def test() -> None:
        settings, engines = settings_for(embedded, "agent"), Engines()
        async with feeding(settings) as feeder:
            for _ in range(8):
                await feeder.requests("a", ok=1)
            async with deciding(settings, engines, port=CrashesOnce):
                await eventually(lambda: engines.reached("a", 8))
        assert CrashesOnce.lives >= 2

    run(test)


def test_a_port_that_never_comes_to_life_ends_the_process_with_an_internal_error(embedded: Broker) -> None:
    class NeverLives(FaustPort):
        lives = 0

        async def start(self) -> None:
            type(self).lives += 1

        async def next(self) -> Arrival:
            raise PortCrashed("stillborn")

    async def test() -> None:
        settings = settings_for(embedded, "stillborn")
        async with feeding(settings):
            with pytest.raises(InternalError, match="stillborn"):
                await run_decide(settings, stop=asyncio.Event(), restore=Engines(), port=NeverLives)
        assert NeverLives.lives == MAX_CRASHES

    run(test)


def test_an_engine_that_fails_stops_decide_rather_than_be_gone_past(embedded: Broker) -> None:
    class Breaks(CountingEngine):
        def fold(self, record: Any) -> Any:
            raise ZeroDivisionError("broken")

    async def test() -> None:
        settings = settings_for(embedded, "breaks")
        async with feeding(settings) as feeder:
            await feeder.requests("a", ok=1)
            with pytest.raises(InternalError, match=r"folding input .* failed: ZeroDivisionError"):
                await run_decide(settings, stop=asyncio.Event(), restore=Breaks.restore)

    run(test)


def test_lost_repeated_and_disordered_deliveries_are_read_again_until_every_count_is_exact(embedded: Broker) -> None:
    class Lossy(FaustPort):
        """Drops one record in five, and gives one in five twice."""

        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self._chance = random.Random(3)
            self._again: Delivered | None = None

        async def next(self) -> Arrival:
            if self._again is not None:
                again, self._again = self._again, None
                return again
            arrival = await super().next()
            if isinstance(arrival, Delivered):
                fate = self._chance.random()
                if fate < 0.2:
                    return await self.next()
                self._again = arrival if fate < 0.4 else None
            return arrival

    async def test() -> None:
        settings, engines = settings_for(embedded, "lossy"), Engines()
        async with feeding(settings) as feeder:
            for _ in range(12):
                await feeder.requests("a", ok=1)
            async with deciding(settings, engines, port=Lossy):
                await eventually(lambda: engines.reached("a", 12))

    run(test)


@pytest.mark.kafka
def test_topics_that_are_not_there_yet_are_waited_for(kafka: ApacheKafka) -> None:
    async def test() -> None:
        settings, engines = settings_for(kafka, "later"), Engines()
        with pytest.raises(TransportError, match="is not there") as raised:
            await check_topics(settings)
        assert "guardian topics create" in raised.value.fix
        async with deciding(settings, engines), feeding(settings) as feeder:
            await feeder.requests("a", ok=1)
            await eventually(lambda: engines.reached("a", 1))

    run(test)


@pytest.mark.kafka
def test_another_number_of_partitions_than_the_settings_say_is_an_error_at_once(kafka: ApacheKafka) -> None:
    async def test() -> None:
        settings = settings_for(kafka, "partitions")
        async with feeding(settings):
            other = settings.model_copy(update={"partitions": 2})
            with pytest.raises(TransportError, match="has 4 partitions, the settings say 2"):
                await run_decide(other, stop=asyncio.Event())

    run(test)


@pytest.mark.kafka
def test_a_broker_that_dies_and_comes_back_is_waited_for(kafka: ApacheKafka) -> None:
    async def test() -> None:
        settings, engines = settings_for(kafka, "away"), Engines()
        async with feeding(settings) as feeder:
            await feeder.requests("a", ok=1)
            async with deciding(settings, engines):
                await eventually(lambda: engines.reached("a", 1))
                kafka.kill()
                await kafka.start()
                await feeder.requests("a", ok=1)
                await eventually(lambda: engines.reached("a", 2))

    run(test)
