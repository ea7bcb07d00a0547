"""The whole loop against a broker: events in, batches out, on the embedded broker and on real Kafka alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from guardian.core.inputs import Actor, Command, Source
from guardian.ingest.loop import Kind, run_ingest
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import consumer, producer, running
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings, load_settings
from guardian.kafka.topic_ids import topic_ids
from guardian.wire.commands import encode_command
from tests.brokers import Broker, settings_for
from tests.eventually import eventually
from tests.ingest.log import Log


def request(flag: str = "f", **fields: Any) -> bytes:
    return json.dumps({"ts": time.time(), "flag": flag, "variant": "on", "outcome": "ok", **fields}).encode()


@contextlib.asynccontextmanager
async def ingest(settings: Settings, kind: Kind = "telemetry") -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_ingest(settings, kind=kind, stop=stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def send(settings: Settings, topic: str, *values: bytes, key: bytes | None = None, partition: int = 0) -> None:
    async with running(producer(settings), settings) as doer:
        for value in values:
            await doer.send(settings.topic(topic), value, key=key, partition=partition)


async def dead_letters(settings: Settings) -> list[ConsumerRecord]:
    """Every dead letter so far."""
    topic = settings.topic("dead-letters")
    found: list[ConsumerRecord] = []
    async with running(consumer(settings, topic, auto_offset_reset="earliest"), settings) as reader:
        ends = await reader.end_offsets(reader.assignment())
        await reader.seek_to_beginning()
        while any([await reader.position(place) < end for place, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=100)).values():
                found.extend(records)
    return found


def test_events_become_batches_and_what_cannot_be_read_a_dead_letter(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "flow")
        await create_topics(settings)
        async with ingest(settings), Log(settings) as log:
            events = [request(f"flag-{n % 5}", outcome=("ok", "crash")[n % 2], latency_ms=n) for n in range(100)]
            await send(settings, "telemetry", *events[:60])
            await send(settings, "telemetry", *events[60:], partition=3)
            await send(settings, "telemetry", b"{nope", key=b"k", partition=1)
            migration = {"component": "c", "flag": "flag-1", "event_type": "failure", "duration": 0.05}
            await send(settings, "migrations", json.dumps(migration).encode())

            async def arrived() -> bool:
                applied = await log.read()
                return applied.counts.total() == 100 and any(
                    bucket.migrations == [0, 1, 0]
                    for batch in applied.batches
                    for cell in batch.cells
                    for bucket in cell.buckets
                )

            await eventually(arrived)
            applied = log.applied
            assert applied.counts == {(f"flag-{n}", "on"): 20 for n in range(5)}
            for batch in applied.batches:
                assert batch.source.topic_id == (await topic_ids(settings, [batch.source.topic]))[batch.source.topic]
            letter = (await eventually(lambda: dead_letters(settings)))[0]
            headers = dict(letter.headers)
            assert (letter.key, letter.value) == (b"k", b"{nope")
            assert headers["guardian-reason"] == b"malformed_json"
            assert headers["guardian-source"] == f"{settings.topic('telemetry')}/1/0".encode()
            assert headers["guardian-detail"]

    asyncio.run(check())


def test_every_input_partition_hears_how_far_every_source_partition_is(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "marks")
        await create_topics(settings)
        async with ingest(settings), Log(settings) as log:
            await send(settings, "telemetry", request())
            await eventually(lambda: _applied(log, 1))

            async def all_is_read_to_the_end() -> bool:
                marks = (await log.read()).marks
                return len(marks) == settings.partitions and all(
                    len(mark.marks) == 8 and all(item.to_end and item.lag == 0 for item in mark.marks)
                    for mark in marks.values()
                )

            await eventually(all_is_read_to_the_end)
            mark = log.applied.marks[0]
            assert mark.expected == {settings.topic("telemetry"): 4, settings.topic("migrations"): 4}
            by_place = {(item.source.topic, item.source.partition): item.watermark_ms for item in mark.marks}
            now_ms = time.time() * 1000
            assert now_ms - 60_000 < by_place[settings.topic("telemetry"), 0] < now_ms
            assert by_place[settings.topic("telemetry"), 2] == 0, "nothing was ever there"

    asyncio.run(check())


def test_commands_go_to_the_partition_of_their_flag_and_those_for_all_to_every_one(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "commands")
        await create_topics(settings)
        me = Actor("me")
        async with ingest(settings, "commands"), Log(settings) as log:
            for command in (
                Command("1", "pause", "f", me, reason="look"),
                Command("2", "kill", "*", me),
                Command("3", "resume", "f", me),
            ):
                message = encode_command(command)
                await send(settings, message.topic, message.value, key=message.key)
            await send(settings, "commands", b'{"id": "4", "command": "explode", "flag": "f", "actor": {"name": "x"}}')
            home = partition_of("f", settings.partitions)

            async def arrived() -> bool:
                commands = (await log.read()).commands
                return len(commands) == settings.partitions and len(commands[home]) == 3

            await eventually(arrived)
            for partition, commands in log.applied.commands.items():
                assert [command.id for command in commands] == (["1", "2", "3"] if partition == home else ["2"])
            assert log.applied.marks == {}, "the commands' loop says nothing about telemetry"
            letters = await eventually(lambda: dead_letters(settings))
            assert dict(letters[0].headers)["guardian-reason"] == b"unknown_command"

    asyncio.run(check())


def test_ingest_goes_on_where_it_ended(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "again")
        await create_topics(settings)
        async with Log(settings) as log:
            for life in range(1, 4):
                async with ingest(settings):
                    await send(settings, "telemetry", *[request() for _ in range(50)])
                    await eventually(lambda life=life: _applied(log, 50 * life))
            assert log.applied.counts == {("f", "on"): 150}
            assert log.applied.repeated == 0, "an end in good order leaves nothing to repeat"

    asyncio.run(check())


async def _applied(log: Log, count: int) -> bool:
    return (await log.read()).counts.total() >= count


async def commit(settings: Settings, partition: int, offset: int, metadata: str) -> None:
    """Leave behind what an ingest process would that died."""
    place = TopicPartition(settings.topic("telemetry"), partition)
    async with running(consumer(settings, group=settings.group("ingest")), settings) as member:
        member.assign([place])
        await member.commit({place: (offset, metadata)})


def test_a_range_that_was_announced_is_written_first_and_exactly(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "announced")
        await create_topics(settings)
        await send(settings, "telemetry", *[request() for _ in range(20)])
        await commit(settings, 0, 5, '{"to": 12}')
        async with ingest(settings), Log(settings) as log:
            await eventually(lambda: _applied(log, 15))
            assert [(batch.start, batch.end) for batch in log.applied.batches] == [(5, 12), (12, 20)]

    asyncio.run(check())


def test_a_partition_of_a_topic_that_was_made_anew_stands_still_and_the_others_go_on(broker: Broker) -> None:
    async def check() -> None:
        settings = settings_for(broker, "anew")
        await create_topics(settings)
        await send(settings, "telemetry", *[request("old") for _ in range(5)])
        await send(settings, "telemetry", *[request("good") for _ in range(5)], partition=1)
        await commit(settings, 0, 2, '{"id": "of the topic before"}')
        async with ingest(settings), Log(settings) as log:

            async def the_others_report() -> bool:
                applied = await log.read()
                seven = applied.marks and all(len(mark.marks) == 7 for mark in applied.marks.values())
                return bool(seven) and applied.counts.total() >= 5

            await eventually(the_others_report)
            assert log.applied.counts == {("good", "on"): 5}
            # Decide would otherwise hear nothing of the new topic, and raise no alert.
            ids = await topic_ids(settings, [settings.topic("telemetry")])
            source = Source(settings.topic("telemetry"), ids[settings.topic("telemetry")], 0)
            said = [(batch.start, batch.end, batch.cells) for batch in log.applied.batches if batch.source == source]
            assert said == [(0, 0, [])] * settings.partitions

    asyncio.run(check())


def test_ingest_waits_for_a_broker_that_is_not_there_and_ends_when_told() -> None:
    async def check() -> None:
        settings = load_settings(environ={}, bootstrap="127.0.0.1:1")
        async with ingest(settings) as task:
            done, _ = await asyncio.wait({task}, timeout=1.0)
            assert not done

    asyncio.run(check())
