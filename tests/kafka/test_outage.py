"""Leaving a client whose broker has gone: within a limit, with nothing left behind, and no cancellation of its own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from guardian.kafka import clients
from guardian.kafka.clients import admin, consumer, follow, producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from tests.brokers import settings_for
from tests.eventually import eventually


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "STOP_WITHIN_S", 0.3)


@asynccontextmanager
async def losing(settings: Settings, broker: EmbeddedBroker, kind: str) -> Any:
    """A client in use, whose broker goes when the block is entered."""
    topic = settings.topic("flags")
    if kind == "producer":
        async with running(producer(settings), settings) as writer:
            await writer.send_and_wait(topic, b"one", key=b"flag", partition=0)
            await asyncio.to_thread(broker.stop)
            await writer.send(topic, b"two", key=b"flag", partition=0)
            yield
    elif kind == "admin":
        async with running(admin(settings), settings) as asker:
            await asker.describe_cluster()
            await asyncio.to_thread(broker.stop)
            yield
    else:
        group = settings.group("outage") if kind == "member" else None
        reader = consumer(settings, topic, group=group, auto_offset_reset="earliest", retry_backoff_ms=20)
        async with running(reader, settings):
            await eventually(reader.assignment)
            await reader.getmany(timeout_ms=50)
            await asyncio.to_thread(broker.stop)
            # Its own tasks are trying again by now: that is the moment at which aiokafka's `stop` cancels its caller.
            await reader.getmany(timeout_ms=200)
            yield


async def left(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene as a task: it ends by itself, not cancelled, and nothing that it started goes on."""
    task = asyncio.ensure_future(scene())
    done, _ = await asyncio.wait({task}, timeout=60)
    assert done
    assert not task.cancelled()
    task.result()
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@pytest.mark.parametrize("kind", ["producer", "admin", "reader", "member"])
def test_a_client_without_its_broker_is_left_within_a_limit_and_leaves_nothing_behind(quick: None, kind: str) -> None:
    async def main() -> None:
        async with EmbeddedBroker() as broker:
            settings = settings_for(broker, "outage")

            async def scene() -> None:
                async with losing(settings, broker, kind):
                    pass

            await left(scene)

    asyncio.run(main())


def test_who_waits_for_a_message_that_was_not_sent_is_told_and_nobody_else(quick: None) -> None:
    async def main() -> None:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        async with EmbeddedBroker() as broker:
            settings = settings_for(broker, "outage")
            async with running(producer(settings), settings) as writer:
                topic = settings.topic("flags")
                await writer.send_and_wait(topic, b"one", key=b"flag", partition=0)
                await asyncio.to_thread(broker.stop)
                waited_for = await writer.send(topic, b"two", key=b"flag", partition=0)
                await writer.send(topic, b"three", key=b"flag", partition=1)
            with pytest.raises(KafkaError):
                await waited_for
        gc.collect()
        assert complaints == []

    asyncio.run(main())


def test_following_without_a_broker_ends_when_its_reader_ends_it(quick: None) -> None:
    async def main() -> None:
        async with EmbeddedBroker() as broker:
            settings = settings_for(broker, "outage")
            async with running(producer(settings), settings) as writer:
                await writer.send_and_wait(settings.topic("flags"), b"one", key=b"flag", partition=0)

            async def scene() -> None:
                async with aclosing(follow(settings, ["flags"], from_beginning=True, retry_backoff_ms=20)) as records:
                    assert (await anext(records)).value == b"one"
                    await asyncio.to_thread(broker.stop)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(anext(records), 0.3)

            await left(scene)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["producer", "reader"])
def test_a_cancellation_from_outside_is_not_lost_while_a_client_is_left(quick: None, kind: str) -> None:
    async def main() -> None:
        async with EmbeddedBroker() as broker:
            settings = settings_for(broker, "outage")
            inside = asyncio.Event()

            async def scene() -> None:
                async with losing(settings, broker, kind):
                    inside.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(scene())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_what_goes_wrong_in_the_block_is_raised_and_not_what_goes_wrong_while_leaving(quick: None) -> None:
    async def main() -> None:
        async with EmbeddedBroker() as broker:
            settings = settings_for(broker, "outage")
            with pytest.raises(ValueError, match="the block's own"):
                async with losing(settings, broker, "reader"):
                    raise ValueError("the block's own")

    asyncio.run(main())
