"""On the embedded broker, too, the newest value of every key stays readable."""

from __future__ import annotations

import asyncio

import pytest

from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.clients import follow, producer, read_compacted, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.keeper import KEPT_HEADER, CompactedKeeper
from guardian.kafka.settings import Settings
from tests.brokers import settings_for
from tests.eventually import eventually

CHURN_RECORDS = 900
CHURN_BYTES = 10_000  # 9 MB in all: nearly twice what the embedded broker keeps of a partition


async def _churn(settings: Settings, topic: str = "flags") -> None:
    async with running(producer(settings), settings) as writer:
        for number in range(CHURN_RECORDS):
            value = b"%d " % number + b"x" * CHURN_BYTES
            await writer.send_and_wait(settings.topic(topic), value, key=b"busy", partition=1)


async def _write(settings: Settings, key: bytes, value: bytes | None, topic: str = "flags") -> None:
    async with running(producer(settings), settings) as writer:
        await writer.send_and_wait(settings.topic(topic), value, key=key, partition=1, headers=[("ce_id", b"1")])


def test_a_rarely_written_key_outlives_more_than_the_broker_holds(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "keep")

    async def scene() -> None:
        async with CompactedKeeper(settings) as keeper:
            await _write(settings, b"quiet", b"still here")
            await _write(settings, b"deleted", b"for a while")
            await _write(settings, b"deleted", None)
            await _churn(settings)
            await eventually(lambda: keeper.copies_written >= 1)
            newest = await read_compacted(settings, "flags")
        assert newest[b"quiet"].value == b"still here"
        assert newest[b"quiet"].offset > 2  # it was written again
        assert dict(newest[b"quiet"].headers) == {"ce_id": b"1", KEPT_HEADER: b"0"}
        assert newest[b"busy"].value.startswith(b"%d " % (CHURN_RECORDS - 1))
        assert b"deleted" not in newest

    asyncio.run(scene())


def test_without_the_keeper_the_key_is_lost(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "lose")

    async def scene() -> set[bytes]:
        await _write(settings, b"quiet", b"still here")
        await _churn(settings)
        return set(await read_compacted(settings, "flags"))

    assert asyncio.run(scene()) == {b"busy"}


def test_a_topic_of_another_room_is_kept_when_named(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "also")

    async def scene() -> bytes | None:
        # Any topic stands for the checkpoint here: decisions is not compacted, so it is kept only because it is named.
        async with CompactedKeeper(settings, also=[settings.topic("decisions")]) as keeper:
            await _write(settings, b"quiet", b"snapshot", "decisions")
            await _churn(settings, "decisions")
            await eventually(lambda: keeper.copies_written >= 1)
            return (await read_compacted(settings, "decisions"))[b"quiet"].value

    assert asyncio.run(scene()) == b"snapshot"


def test_the_checkpoint_is_kept_under_the_name_that_faust_gives_it(embedded: EmbeddedBroker) -> None:
    from guardian.decide.faust_port import FaustPort

    settings = settings_for(embedded, "checkpoint")

    async def scene() -> str:
        return FaustPort(settings)._table.changelog_topic.get_topic_name()

    assert asyncio.run(scene()) == checkpoint_topic(settings)


def test_a_copy_that_landed_over_news_is_made_good(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "clobber")

    async def scene() -> None:
        await _write(settings, b"flag", b"old")
        await _write(settings, b"flag", b"new")
        async with CompactedKeeper(settings) as keeper:
            # What a keeper's own copy of the first record would look like, had the second overtaken it.
            async with running(producer(settings), settings) as writer:
                topic = settings.topic("flags")
                stale = [(KEPT_HEADER, b"0")]
                await writer.send_and_wait(topic, b"old", key=b"flag", partition=1, headers=stale)
            await eventually(lambda: keeper.copies_written == 1)
            assert (await read_compacted(settings, "flags"))[b"flag"].value == b"new"

    asyncio.run(scene())


def test_too_much_to_keep_is_said_aloud_and_does_not_spin(
    embedded: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(embedded, "overflow")

    async def scene() -> None:
        async with CompactedKeeper(settings) as keeper, running(producer(settings), settings) as writer:
            for number in range(400):
                key, value = b"key-%d" % number, b"x" * CHURN_BYTES
                await writer.send_and_wait(settings.topic("rollouts"), value, key=key, partition=2)
            await eventually(lambda: keeper.overflowing == {f"{settings.topic('rollouts')}-2"})
            assert keeper.copies_written == 0

    asyncio.run(scene())
    assert "use a real Kafka" in caplog.text


def test_a_follower_from_the_end_can_tell_copies_from_news(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "tell")

    async def scene() -> list[bytes]:
        await _write(settings, b"flag", b"before")
        ready = asyncio.Event()
        seen: list[bytes] = []

        async def listen() -> None:
            async for record in follow(settings, ["flags"], from_beginning=False, ready=ready):
                if KEPT_HEADER not in dict(record.headers) and record.key == b"flag":
                    seen.append(record.value)

        listening = asyncio.create_task(listen())
        await ready.wait()
        async with CompactedKeeper(settings) as keeper:
            await _churn(settings)
            await eventually(lambda: keeper.copies_written >= 1)
        await _write(settings, b"flag", b"news")
        await eventually(lambda: seen)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        return seen

    assert asyncio.run(scene()) == [b"news"]
