"""What guardian does with Kafka it does in the same way on the embedded broker and on the real one."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError

from guardian.errors import TransportError
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import admin, consumer, follow, producer, read_compacted, read_newest, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings, load_settings
from tests.brokers import Broker, settings_for
from tests.eventually import eventually


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Fresh topics on each broker in turn."""
    made = settings_for(broker, "clients")
    asyncio.run(create_topics(made))
    return made


async def _write(settings: Settings, topic: str, *records: tuple[bytes, bytes | None], partition: int = 0) -> None:
    async with running(producer(settings), settings) as writer:
        for key, value in records:
            await writer.send_and_wait(
                settings.topic(topic), value, key=key, partition=partition, headers=[("ce_id", b"1")]
            )


def test_what_was_written_is_read_with_key_value_and_headers(settings: Settings) -> None:
    async def scene() -> None:
        await _write(settings, "decisions", (b"flag", b"one"), (b"flag", b"two"))
        records = []
        async for record in follow(settings, ["decisions"], from_beginning=True):
            records.append(record)
            if len(records) == 2:
                break
        assert [(record.key, record.value, record.offset) for record in records] == [
            (b"flag", b"one", 0),
            (b"flag", b"two", 1),
        ]
        assert dict(records[0].headers) == {"ce_id": b"1"}

    asyncio.run(scene())


def test_following_from_the_end_misses_nothing_once_it_is_ready(settings: Settings) -> None:
    async def scene() -> None:
        await _write(settings, "flags", (b"flag", b"before"))
        ready = asyncio.Event()
        seen = []

        async def listen() -> None:
            async for record in follow(settings, ["flags", "alerts"], from_beginning=False, ready=ready):
                seen.append((record.topic, record.value))

        listening = asyncio.create_task(listen())
        await asyncio.wait_for(ready.wait(), 60)
        await _write(settings, "alerts", (b"id", b"alert"))
        await _write(settings, "flags", (b"flag", b"after"), partition=3)
        await eventually(lambda: len(seen) == 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert sorted(seen) == [(settings.topic("alerts"), b"alert"), (settings.topic("flags"), b"after")]

    asyncio.run(scene())


def test_reading_a_compacted_topic_gives_the_newest_of_each_key(settings: Settings) -> None:
    async def scene() -> None:
        await _write(settings, "flags", (b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"gone", b"1"), (b"gone", None))
        await _write(settings, "flags", (b"c", b"1"), (b"_beat", b"from 2"), partition=2)
        await _write(settings, "flags", (b"_beat", b"from 3"), partition=3)
        newest = await read_compacted(settings, "flags")
        assert {key: record.value for key, record in newest.items()} == {
            b"a": b"2",
            b"b": b"1",
            b"c": b"1",
            b"_beat": b"from 3",
        }
        apart = await read_newest(settings, "flags")
        assert {place for place in apart if place[0] == b"_beat"} == {(b"_beat", 2), (b"_beat", 3)}

    asyncio.run(scene())


def test_an_empty_compacted_topic_is_read_at_once(settings: Settings) -> None:
    assert asyncio.run(asyncio.wait_for(read_compacted(settings, "rollouts"), 60)) == {}


def test_a_group_commits_offset_and_metadata_and_finds_both_again(settings: Settings) -> None:
    place = TopicPartition(settings.topic("telemetry"), 1)
    group = settings.group("ingest")

    async def scene() -> None:
        await _write(settings, "telemetry", (b"k", b"1"), (b"k", b"2"), partition=1)
        async with running(_member(settings, group, place.topic), settings) as member:
            await eventually(lambda: place in member.assignment())
            await member.commit({place: OffsetAndMetadata(1, '{"to": 2}')})
        async with running(admin(settings), settings) as client:
            found = await client.list_consumer_group_offsets(group, partitions=[place])
        assert (found[place].offset, found[place].metadata) == (1, '{"to": 2}')

    asyncio.run(scene())


def _member(settings: Settings, group: str, topic: str) -> AIOKafkaConsumer:
    return consumer(settings, topic, group=group, session_timeout_ms=6_000, heartbeat_interval_ms=1_000)


def test_a_consumer_without_a_place_guesses_none(settings: Settings) -> None:
    async def scene() -> None:
        async with running(consumer(settings, settings.topic("telemetry")), settings) as reader:
            with pytest.raises(NoOffsetForPartitionError):
                await asyncio.wait_for(reader.getone(), 60)

    asyncio.run(scene())


def test_a_record_near_the_limit_passes_in_inputs(settings: Settings) -> None:
    half = b"x" * 524_288  # an ingest range is closed at half of the largest record

    async def scene() -> int:
        await _write(settings, "inputs", (b"", half))
        async for record in follow(settings, ["inputs"], from_beginning=True):
            return len(record.value)
        return 0

    assert asyncio.run(scene()) == len(half)


@pytest.mark.kafka
def test_following_a_topic_that_is_not_there_names_the_way_out(kafka: ApacheKafka) -> None:
    async def scene() -> None:
        async for _ in follow(settings_for(kafka, "nothing"), ["flags"], from_beginning=True):
            pass

    with pytest.raises(TransportError, match="is not there") as caught:
        asyncio.run(scene())
    assert "guardian topics create" in caught.value.fix
    assert not caught.value.retriable


@pytest.mark.kafka
def test_records_survive_a_killed_kafka_on_the_same_address() -> None:
    from tests.brokers import CACHE

    async def scene() -> None:
        async with ApacheKafka(CACHE, heap_mb=256) as own:
            settings = settings_for(own, "killed")
            await create_topics(settings)
            await _write(settings, "flags", (b"flag", b"acked"))
            before, address = own.pid, own.bootstrap
            own.kill()
            with pytest.raises(TransportError):
                await read_compacted(settings, "flags")
            await own.start()
            assert (own.bootstrap, own.pid != before) == (address, True)
            assert (await read_compacted(settings, "flags"))[b"flag"].value == b"acked"

    asyncio.run(scene())


def test_two_embedded_brokers_know_nothing_of_each_other(embedded: EmbeddedBroker) -> None:
    async def scene() -> None:
        async with EmbeddedBroker() as other:
            here, there = settings_for(embedded, "here"), settings_for(other, "there")
            there = there.model_copy(update={"prefix": here.prefix})
            await _write(here, "flags", (b"flag", b"1"))
            assert await read_compacted(there, "flags") == {}
            address = other.bootstrap
        with pytest.raises(TransportError):
            await read_compacted(load_settings(environ={}, bootstrap=address), "flags")

    asyncio.run(scene())


def test_an_embedded_broker_that_does_not_run_has_no_address() -> None:
    with pytest.raises(TransportError, match="does not run"):
        _ = EmbeddedBroker().bootstrap


def test_a_start_that_is_given_up_leaves_no_connection_behind() -> None:
    async def scene() -> list[str]:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0) as deaf:
            address = f"127.0.0.1:{deaf.sockets[0].getsockname()[1]}"
            settings = load_settings(environ={}, bootstrap=address)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), running(consumer(settings), settings):
                    pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), running(producer(settings), settings):
                    pass
        gc.collect()
        return complaints

    assert asyncio.run(scene()) == []
