"""The publisher: order per key, acks per partition, a bound, and one record too large that stops nothing."""

from __future__ import annotations

import asyncio

from guardian.core.inputs import Record
from guardian.core.outputs import FlagChange, Output
from guardian.decide import publish
from guardian.decide.publish import Publisher
from guardian.wire.outputs import Message
from tests.brokers import Broker, settings_for
from tests.decide.counting import CountingEngine
from tests.decide.feeding import feeding, reading, run
from tests.decide.test_checkpoint import batch
from tests.decide.test_loop import documents
from tests.eventually import eventually


def changes(count: int) -> list[Output]:
    engine = CountingEngine(0)
    said = [output for offset in range(count) for output in engine.fold(Record(offset, 0, batch(offset)))]
    assert all(isinstance(output, FlagChange) for output in said)
    return said


def test_each_keys_records_stay_in_order_and_are_acked_to_their_partition(embedded: Broker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "order")
        async with feeding(settings), reading(settings, "flags") as reader:
            publisher = Publisher(settings)
            await publisher.start()
            for output in changes(100):
                assert publisher.publish(1, [output])
            instant = publisher.unacked(1)
            assert (len(instant), publisher.unacked(0)) == (100, ())
            publisher.publish(1, changes(1))
            await asyncio.wait(instant)
            await eventually(lambda: len(documents(reader, "a")) == 101 and not publisher.unacked(1))
            versions = [document["metadata"]["version"] for document in documents(reader, "a")]
            assert versions == [*range(1, 101), 1]
            await publisher.stop()

    run(test)


def test_a_record_that_no_topic_takes_is_dropped_and_counted_and_the_next_one_goes(embedded: Broker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "large")
        async with feeding(settings):
            publisher = Publisher(settings)
            await publisher.start()
            dropped = publish.DROPPED.labels("rollouts")._value.get()
            publisher.write(Message("rollouts", b"k", b"x" * 2_000_000, [], 0), 0)
            acked = await publisher.write(Message("rollouts", b"k", b"x", [], 0), 0)
            assert acked is not None
            assert publish.DROPPED.labels("rollouts")._value.get() == dropped + 1
            assert not publisher.failure.done()
            await publisher.stop()

    run(test)


def test_who_hands_over_more_than_the_broker_takes_has_to_wait(embedded: Broker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "bound")
        async with feeding(settings):
            publisher = Publisher(settings)
            await publisher.start()
            publisher.publish(0, changes(1) * publish.MAX_IN_FLIGHT)
            waiting = asyncio.create_task(publisher.room())
            done, _ = await asyncio.wait({waiting}, timeout=0)
            assert not done
            await asyncio.wait_for(waiting, 60)
            assert len(publisher.unacked(0)) < publish.MAX_IN_FLIGHT
            await publisher.stop()

    run(test)
