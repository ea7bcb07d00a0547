"""A record batch that cannot be read (case B4) is stepped over: what comes before, behind and beside it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from guardian.kafka.admin import create_topics
from guardian.kafka.clients import consumer, follow, producer, read_newest, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.record_batches import LOG_EVERY_S, Teller, Unreadable, step_over_unreadable
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.raw_batches import NO_SUCH_CODEC, batch, send_raw, with_broken_body, with_broken_checksum, with_codec

NOW_MS = 1_763_700_000_000

BROKEN: dict[str, Callable[[bytearray], bytearray]] = {
    "codec": lambda made: with_codec(made, NO_SUCH_CODEC),
    "checksum": with_broken_checksum,
    "structure": with_broken_body,
    "not gzip": lambda made: with_codec(with_broken_body(made), 1),
    "not snappy": lambda made: with_codec(with_broken_body(made), 2),
    "not lz4": lambda made: with_codec(with_broken_body(made), 3),
    "not zstd": lambda made: with_codec(with_broken_body(made), 4),
}


def three(name: str, **options: Any) -> bytearray:
    return batch([f"{name}{number}".encode() for number in range(3)], at_ms=NOW_MS, **options)


def readable(*names: str) -> list[bytes]:
    return [f"{name}{number}".encode() for name in names for number in range(3)]


async def until_end(reader: AIOKafkaConsumer, place: TopicPartition) -> list[list[Any]]:
    """What getmany gives of a partition, list by list, up to the end that it has now."""
    end = (await reader.end_offsets([place]))[place]
    found: list[list[Any]] = []

    async def at_end() -> bool:
        found.extend((await reader.getmany(place, timeout_ms=50)).values())
        return int(await reader.position(place)) >= end

    await eventually(at_end)
    return found


async def with_one_broken(settings: Settings, what: str) -> TopicPartition:
    """Write a good batch, a broken one and a good one to one partition."""
    await create_topics(settings)
    await send_raw(settings, "telemetry", 1, three("a"), BROKEN[what](three("x")), three("b"))
    return TopicPartition(settings.topic("telemetry"), 1)


@pytest.mark.parametrize("codec", range(5))
def test_B4_every_codec_of_kafka_is_read(embedded: EmbeddedBroker, codec: int) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "codec")
        await create_topics(settings)
        await send_raw(settings, "telemetry", 1, three("a", codec=codec))
        place = TopicPartition(settings.topic("telemetry"), 1)
        async with running(consumer(settings), settings) as reader:
            reader.assign([place])
            reader.seek(place, 0)
            records = [record for found in await until_end(reader, place) for record in found]
        assert [record.value for record in records] == readable("a")

    asyncio.run(check())


@pytest.mark.parametrize("what", BROKEN)
def test_B4_a_consumer_goes_on_behind_a_batch_that_it_cannot_read(embedded: EmbeddedBroker, what: str) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "broken")
        place = await with_one_broken(settings, what)
        async with running(consumer(settings), settings) as reader:
            reader.assign([place])
            reader.seek(place, 0)
            records = [record for found in await until_end(reader, place) for record in found]
        assert [record.value for record in records] == readable("a", "b")
        assert [record.offset for record in records] == [0, 1, 2, 6, 7, 8]

    asyncio.run(check())


@pytest.mark.parametrize("what", BROKEN)
def test_B4_stand_ins_say_exactly_which_offsets_were_left_out(embedded: EmbeddedBroker, what: str) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "stand-ins")
        place = await with_one_broken(settings, what)
        async with running(consumer(settings, stand_ins=lambda found: [found]), settings) as reader:
            reader.assign([place])
            reader.seek(place, 0)
            found = await until_end(reader, place)
        left_out = [one for one in found if isinstance(one[0], Unreadable)]
        assert [[(each.offset, each.end) for each in one] for one in left_out] == [[(3, 6)]], "in a list of its own"
        good = [record.value for one in found for record in one if isinstance(record, ConsumerRecord)]
        assert good == readable("a", "b")

    asyncio.run(check())


def test_B4_a_broken_batch_at_the_end_does_not_hide_the_end(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "end")
        await create_topics(settings)
        for partition in range(4):
            await send_raw(settings, "flags", partition, batch([b"{}"], at_ms=NOW_MS, key=b"good-%d" % partition))
            await send_raw(settings, "flags", partition, with_broken_checksum(three("x")))
        newest = await read_newest(settings, "flags")
        assert {key for key, _ in newest} == {b"good-0", b"good-1", b"good-2", b"good-3"}

    asyncio.run(check())


def test_B4_a_follower_is_not_ended_by_what_it_cannot_read(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "followed")
        await create_topics(settings)
        await send_raw(settings, "flags", 0, three("a"), with_codec(three("x"), NO_SUCH_CODEC), three("b"))
        found: list[bytes] = []
        async for record in follow(settings, ["flags"], from_beginning=True):
            found.append(record.value)
            if len(found) == 6:
                break
        assert found == readable("a", "b")

    asyncio.run(check())


def test_B4_other_partitions_lose_nothing_to_a_broken_one(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "beside")
        await create_topics(settings)
        for partition in range(4):
            await send_raw(settings, "telemetry", partition, three(f"p{partition}-"))
        await send_raw(settings, "telemetry", 2, *[with_broken_checksum(three("x")) for _ in range(20)], three("q"))
        topic = settings.topic("telemetry")
        async with running(consumer(settings, topic, auto_offset_reset="earliest"), settings) as reader:
            found: list[bytes] = []

            async def all_is_there() -> bool:
                for records in (await reader.getmany(timeout_ms=50)).values():
                    found.extend(record.value for record in records)
                return len(found) >= 15

            await eventually(all_is_there)
        assert sorted(found) == sorted(readable("p0-", "p1-", "p2-", "p3-", "q"))

    asyncio.run(check())


def test_where_a_batch_must_not_be_left_out_it_stays_an_error(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "strict")
        place = await with_one_broken(settings, "codec")
        async with running(consumer(settings, stand_ins=lambda _: None), settings) as reader:
            reader.assign([place])
            reader.seek(place, 3)
            with pytest.raises(Exception, match="Unknown compression codec"):
                await eventually(lambda: reader.getmany(place, timeout_ms=50))

    asyncio.run(check())


def test_an_applications_own_consumers_stay_as_they_are(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "own")
        place = await with_one_broken(settings, "codec")
        async with running(consumer(settings), settings), running(_plain(settings), settings) as reader:
            reader.assign([place])
            reader.seek(place, 3)
            with pytest.raises(Exception, match="Unknown compression codec"):
                await eventually(lambda: reader.getmany(place, timeout_ms=50))

    asyncio.run(check())


def _plain(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="none")


def test_stepping_over_is_counted_each_time_and_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 1_000.0
    counted: list[tuple[str, int]] = []
    tell = Teller(
        logging.getLogger("guardian.kafka"), lambda topic, offsets: counted.append((topic, offsets)), lambda: now_s
    )
    for number in range(3):
        tell(Unreadable(TopicPartition("g.telemetry", 0), number * 10, number * 10 + 10, 0, "no such codec"))
    now_s += LOG_EVERY_S
    tell(Unreadable(TopicPartition("g.telemetry", 0), 30, 31, 0, "no such codec"))
    assert counted == [("g.telemetry", 10)] * 3 + [("g.telemetry", 1)]
    assert [record.getMessage() for record in caplog.records] == [
        "stepped over records that cannot be read: g.telemetry/0 [0, 10): no such codec",
        "stepped over records that cannot be read: g.telemetry/0 [30, 31): no such codec",
    ]


def test_a_header_that_claims_too_much_is_believed_no_further_than_the_log_reaches(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "claims")
        await create_topics(settings)
        claims = three("x")
        claims[23:27] = (1_000_000).to_bytes(4, "big")  # last offset delta; the checksum is wrong now, too
        place = TopicPartition(settings.topic("telemetry"), 1)
        async with running(producer(settings), settings) as writer:
            await writer.send_and_wait(place.topic, b"first", partition=1)
        await send_raw(settings, "telemetry", 1, claims)
        async with running(consumer(settings, stand_ins=lambda found: [found]), settings) as reader:
            reader.assign([place])
            reader.seek(place, 1)
            ((found,),) = await until_end(reader, place)
        assert isinstance(found, Unreadable)
        assert (found.offset, found.end) == (1, 4), "no further than the log reaches"

    asyncio.run(check())


def test_a_record_larger_than_a_fetch_is_stepped_over(embedded: EmbeddedBroker) -> None:
    """An old broker gives a piece of the first batch when all of it does not fit; aiokafka raises for it."""

    async def check() -> None:
        settings = settings_for(embedded, "large")
        place = await with_one_broken(settings, "codec")
        told: list[Unreadable] = []
        reader = _plain(settings)
        async with running(reader, settings):
            step_over_unreadable(reader, told.append, lambda found: [found])
            fetcher = reader._fetcher
            fetcher._client.send = _cut_short(fetcher._client.send)
            reader.assign([place])
            reader.seek(place, 0)
            ((found,),) = (await eventually(lambda: reader.getmany(place, timeout_ms=50))).values()
            assert (found.offset, found.end) == (0, 1)
            assert await reader.position(place) == 1
        assert told[0] == found

    asyncio.run(check())


def _cut_short(send: Callable[..., Any]) -> Callable[..., Any]:
    """Answers to a fetch as an old broker gives them: forty bytes of the batch."""

    async def sent(node_id: int, request: Any, **options: Any) -> Any:
        answer = await send(node_id, request, **options)
        if type(request).__name__ == "FetchRequest":
            answer.topics = [
                (topic, [(*fields[:-1], fields[-1][:40]) for fields in partitions])
                for topic, partitions in answer.topics
            ]
        return answer

    return sent
