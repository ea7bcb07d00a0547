"""What the port holds Faust to: a recovery that was overtaken settles nothing, and nothing comes twice for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardian.decide.checkpoint import marks
from guardian.decide.faust_port import FaustPort
from guardian.decide.port import Arrival, Delivered, Settled
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import load_settings
from tests.brokers import Broker, settings_for
from tests.decide.counting import CountingEngine
from tests.decide.feeding import deciding, feeding, run
from tests.eventually import eventually


def test_the_end_of_a_recovery_is_believed_only_when_no_other_rebalance_has_begun() -> None:
    async def test() -> None:
        app = FaustPort(load_settings(environ={}, prefix="overtaken"))._app
        recovery = app.tables.recovery
        # Revoked: the end of the recovery before this rebalance may still come.
        app.on_rebalance_start()
        app.on_rebalance_end()
        assert app.rebalancing, "the end of the old recovery was taken for that of the new rebalance"
        # Assigned, and its recovery not asked for yet.
        app._assigned_count, app.consumer_generation_id = app.rebalancing_count, 7
        app.on_rebalance_end()
        assert app.rebalancing
        # Asked for, and not begun yet.
        await recovery.on_rebalance(set(), set(), set(), 7)
        app.on_rebalance_end()
        assert app.rebalancing
        # Begun: the next end is its own.
        recovery.signal_recovery_start.clear()
        assert not app._is_overtaken()

    run(test)


def test_a_fetch_that_is_cut_off_does_not_keep_the_port_from_ending(broker: Broker) -> None:
    async def test() -> None:
        settings = settings_for(broker, "cut-off")
        async with feeding(settings):
            port = FaustPort(settings)
            await port.start()
            while not isinstance(await port.next(), Settled):
                pass
            thread = port._app.consumer._thread

            async def fetch_in_vain() -> None:
                # As when a broker has died: the fetch has failed and waits before it is tried again.
                thread._ensure_consumer()._fetcher._pending_tasks.add(asyncio.ensure_future(asyncio.sleep(3600)))

            await thread.call_thread(fetch_in_vain)
            await port.stop()
            assert thread._shutdown.is_set()
            assert not thread._thread.is_alive()

    run(test)


@pytest.mark.parametrize("turns", [0, 300], ids=["at-once", "on-a-busy-machine"])
def test_a_successor_is_given_nothing_from_before_the_checkpoint(broker: Broker, turns: int) -> None:
    delivered: list[Delivered] = []
    before: dict[int, int] = {}

    class Listens(FaustPort):
        async def next(self) -> Arrival:
            arrival = await super().next()
            if isinstance(arrival, Delivered):
                delivered.append(arrival)
            elif isinstance(arrival, Settled) and not before:
                for partition in arrival.partitions:
                    before.update(marks(self.saved(partition)))
            return arrival

        async def seek_to_marks(self) -> None:
            async def turn() -> None:
                pass

            # Where a core is busy the seek gets its turn in Faust's thread late, and fetches go on meanwhile.
            for _ in range(turns):
                await self._app.consumer._thread.call_thread(turn)
            await super().seek_to_marks()

    async def test() -> None:
        settings, engines = settings_for(broker, "successor"), list[CountingEngine]()

        def restore(*saved: Any) -> CountingEngine:
            engines.append(CountingEngine.restore(*saved))
            return engines[-1]

        home = partition_of("a", settings.partitions)
        async with feeding(settings) as feeder:
            for _ in range(60):
                await feeder.requests("a", ok=1)
            async with deciding(settings, restore):
                await eventually(lambda: any(engine.counts.get("a") == 60 for engine in engines))
            (last,) = [engine for engine in engines if engine.partition == home]
            await feeder.requests("a", ok=1)
            async with deciding(settings, restore, port=Listens):
                await eventually(lambda: any(engine.counts.get("a") == 61 for engine in engines))
        assert before[home] == last.next_offset >= 60, "the first one's last checkpoint is not that of its end"
        first: dict[int, int] = {}
        for arrival in delivered:
            first.setdefault(arrival.partition, arrival.offset)
        assert all(offset >= before.get(partition, 0) for partition, offset in first.items()), (first, before)

    run(test)
