"""Record batches that nobody can read (case B4), on every topic that is read: set aside, told, and on it goes."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import TopicPartition

from guardian.core.inputs import Actor, Command
from guardian.decide.faust_port import stand_ins_for
from guardian.ingest import metrics as ingest_metrics
from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.metrics import UNREADABLE
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.record_batches import Unreadable
from guardian.wire.commands import encode_command
from tests.bad_input.house import House, event, guardian, inhabited
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.raw_batches import NO_SUCH_CODEC, batch, send_raw, with_broken_body, with_broken_checksum, with_codec

RUIN = {
    "codec": lambda made: with_codec(made, NO_SUCH_CODEC),
    "checksum": with_broken_checksum,
    "zstd that is none": lambda made: with_codec(with_broken_body(made), 4),
}


def unreadable(*values: bytes, how: str = "codec", key: bytes | None = None) -> bytearray:
    return RUIN[how](batch(values, at_ms=int(time.time() * 1_000), key=key))


def stepped_over(settings: Settings, topic: str) -> float:
    return UNREADABLE.labels(settings.topic(topic))._value.get()


def alerted(house: House, topic: str) -> bool:
    name = f"unreadable {house.settings.topic(topic)}/"
    return any(alert.active and alert.trigger.startswith(name) for alert in house.alerts())


@pytest.mark.parametrize("how", RUIN)
def test_B4_telemetry_that_cannot_be_read_is_set_aside_and_everything_else_counts(
    embedded: EmbeddedBroker, how: str
) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            restarts = ingest_metrics.RESTARTS.labels("telemetry")._value.get()
            for partition in range(4):
                await house.client.send_and_wait(
                    settings.topic("telemetry"), event("good", version), partition=partition
                )
                await send_raw(settings, "telemetry", partition, unreadable(b"{}", b"{}", b"{}", how=how))
                await house.client.send_and_wait(
                    settings.topic("telemetry"), event("good", version), partition=partition
                )
            await eventually(lambda: house.total("good") == 8)
            await eventually(lambda: alerted(house, "telemetry"))
            letters = await eventually(lambda: house.dead() if len(house.dead()) == 4 else [])
            told = [dict(letter.headers) for letter in letters]
            assert {each["guardian-reason"] for each in told} == {b"unreadable"}
            places = {each["guardian-source"].decode() for each in told}
            assert places == {f"{settings.topic('telemetry')}/{partition}/1" for partition in range(4)}
            assert not any(letter.value or letter.key for letter in letters)
            assert ingest_metrics.RESTARTS.labels("telemetry")._value.get() == restarts
            assert stepped_over(settings, "telemetry") >= 12
            await house.send("telemetry", [event("good", version, outcome="crash")])
            await eventually(lambda: house.weight("good") == 0)
            doctor = await asyncio.to_thread(guardian, settings, "doctor")
            assert "cannot be read" in doctor.stdout

    asyncio.run(check(settings_for(embedded, "aside")))


def test_B4_a_command_behind_one_that_cannot_be_read_is_obeyed(embedded: EmbeddedBroker) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            await house.begin("good")
            pause = encode_command(Command("c-x", "pause", "good", Actor("test")))
            partition = partition_of("good", settings.partitions)
            await send_raw(settings, "commands", partition, unreadable(pause.value or b"", key=b"good"))
            await house.order("good", "kill")
            await eventually(lambda: "targeting" not in house.documents("good")[-1])
            await eventually(lambda: alerted(house, "commands"))

    asyncio.run(check(settings_for(embedded, "commands")))


def test_B4_an_input_that_cannot_be_read_is_a_gap_in_the_log_and_decide_goes_on(embedded: EmbeddedBroker) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            partition = partition_of("good", settings.partitions)
            await send_raw(settings, "inputs", partition, unreadable(b"1", b"2", b"3"))
            await eventually(lambda: any(alert.trigger == "inputs_lost" for alert in house.alerts()))
            lost = [alert for alert in house.alerts() if alert.trigger == "inputs_lost"]
            assert [f"of partition {partition} were lost" in alert.text for alert in lost] == [True], "one alert"
            await house.send("telemetry", [event("good", version, outcome="crash")])
            await eventually(lambda: house.weight("good") == 0)

    asyncio.run(check(settings_for(embedded, "inputs")))


def test_B4_the_watcher_of_flags_and_the_follower_of_rollouts_are_not_ended(embedded: EmbeddedBroker) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            await house.begin("good")
            for topic in ("flags", "rollouts"):
                for partition in range(4):
                    await send_raw(settings, topic, partition, unreadable(b"{}", key=b"other"))
                await eventually(lambda topic=topic: stepped_over(settings, topic) >= 4)
            version = await house.begin("fresh")
            await house.send("telemetry", [event("fresh", version, outcome="crash")])
            await eventually(lambda: house.weight("fresh") == 0)

    asyncio.run(check(settings_for(embedded, "followers")))


def test_a_checkpoint_is_never_left_out(embedded: EmbeddedBroker) -> None:
    """To go on without it would be to decide on a state that nobody knows."""
    settings = settings_for(embedded, "checkpoint")
    made = stand_ins_for(settings.topic("inputs"))
    assert made(Unreadable(TopicPartition(checkpoint_topic(settings), 0), 0, 2, 0, "")) is None
    records = made(Unreadable(TopicPartition(settings.topic("inputs"), 3), 7, 9, 5, ""))
    assert [(record.partition, record.offset, record.timestamp) for record in records or ()] == [(3, 7, 5), (3, 8, 5)]
