"""Batches in, flag changes out: the whole stage on a broker, through Faust."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from guardian.core.events import BEAT_KEY
from guardian.decide.checkpoint import recover
from guardian.decide.faust_port import FaustPort
from guardian.decide.port import Settled
from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.clients import admin, running
from guardian.kafka.partition import partition_of
from guardian.wire.outputs import decode_decision, decode_status
from tests.brokers import Broker, settings_for
from tests.decide.counting import CountingEngine
from tests.decide.feeding import Reader, deciding, feeding, reading, run
from tests.eventually import eventually

SPEC: dict[str, Any] = {
    "flag": "new-pricing",
    "steps": [{"name": "canary", "weight": "5%", "bake": "1h"}, {"name": "full", "weight": "100%", "bake": "1h"}],
    "triggers": [{"when": "crash_count > 0 per step", "do": "rollback"}],
    "rollback": {"to": "zero"},
}


def documents(reader: Reader, flag: str) -> list[dict[str, Any]]:
    records = [record for record in reader.of("flags") if record.key == flag.encode()]
    return [msgspec.json.decode(record.value) for record in records if record.value is not None]


def weights(reader: Reader, flag: str) -> list[int]:
    return [document["metadata"]["weight_bp"] for document in documents(reader, flag)]


def beats(reader: Reader) -> set[int]:
    return {record.partition for record in reader.of("flags") if record.key == BEAT_KEY.encode()}


def test_a_crash_takes_the_flag_back_and_everybody_is_told(broker: Broker) -> None:
    async def test() -> None:
        settings = settings_for(broker, "crash")
        topics = ("flags", "decisions", "rollouts", "rollbacks", "alerts")
        async with feeding(settings) as feeder, deciding(settings), reading(settings, *topics) as reader:
            await feeder.command("new-pricing", "apply", SPEC)
            await feeder.command("new-pricing", "start")
            await eventually(lambda: 500 in weights(reader, "new-pricing"))
            started = documents(reader, "new-pricing")[-1]["metadata"]["version"]
            await feeder.requests("new-pricing", started, ok=40, crash=1)
            await eventually(lambda: weights(reader, "new-pricing")[-1] == 0)
            last = documents(reader, "new-pricing")[-1]
            assert (last["defaultVariant"], last.get("targeting")) == ("off", None)
            await eventually(lambda: reader.of("rollbacks") and reader.of("alerts"))
            decided = [decode_decision(record.value) for record in reader.of("decisions")]
            assert "crash_count" in decided[-1].text
            await eventually(lambda: decode_status(reader.of("rollouts")[-1].value).state.weight_bp == 0)
            # The ticks keep every partition alive, with rollouts or without: SDKs see a beat of each.
            everywhere = set(range(settings.partitions))
            await eventually(lambda: beats(reader) == everywhere)

    run(test)


@pytest.mark.kafka
def test_a_successor_resumes_where_the_checkpoint_stands_and_says_nothing_twice(kafka: Broker) -> None:
    async def test() -> None:
        settings = settings_for(kafka, "resume")
        engines: list[CountingEngine] = []

        def restore(partition: int, *saved: Any) -> CountingEngine:
            engines.append(CountingEngine.restore(partition, *saved))
            return engines[-1]

        async with feeding(settings) as feeder, reading(settings, "flags") as reader:
            for _ in range(30):
                await feeder.requests("a", ok=2)
            async with deciding(settings, restore):
                await eventually(lambda: any(each.counts.get("a") == 60 for each in engines))
                await eventually(lambda: len(documents(reader, "a")) == 30)
            engines.clear()
            for _ in range(5):
                await feeder.requests("a", ok=2)
            async with deciding(settings, restore):
                await eventually(lambda: any(each.counts.get("a") == 70 for each in engines))
                await eventually(lambda: len(documents(reader, "a")) == 35)
            assert [document["metadata"]["change_id"].split("/")[1] for document in documents(reader, "a")] == [
                str(count) for count in range(2, 71, 2)
            ]

    run(test)


@pytest.mark.kafka
def test_rubbish_takes_one_offset_and_changes_nothing(kafka: Broker) -> None:
    async def test() -> None:
        settings = settings_for(kafka, "rubbish")
        async with feeding(settings) as feeder, reading(settings, "flags") as reader:
            await feeder.requests("a", ok=1)
            for partition in range(settings.partitions):
                await feeder.client.send_and_wait(settings.topic("inputs"), b"\xffrubbish", partition=partition)
                await feeder.client.send_and_wait(settings.topic("inputs"), None, key=b"k", partition=partition)
            await feeder.requests("a", ok=1)
            async with deciding(settings, CountingEngine.restore):
                await eventually(lambda: len(documents(reader, "a")) == 2)

    run(test)


@pytest.mark.kafka
def test_inputs_that_retention_took_are_named_and_decide_goes_on_behind_them(kafka: Broker) -> None:
    async def test() -> None:

        settings = settings_for(kafka, "retention")
        engines: list[CountingEngine] = []

        def restore(partition: int, *saved: Any) -> CountingEngine:
            engines.append(CountingEngine.restore(partition, *saved))
            return engines[-1]

        async with feeding(settings) as feeder:
            for _ in range(10):
                await feeder.requests("a", ok=1)
            place = TopicPartition(settings.topic("inputs"), partition_of("a", settings.partitions))
            async with running(admin(settings), settings) as client:
                await client.delete_records({place: RecordsToDelete(before_offset=6)})
            async with deciding(settings, restore):
                await eventually(lambda: any(each.counts.get("a") == 4 for each in engines))
            assert [jump for each in engines for jump in each.jumps] == [6]

    run(test)


@pytest.mark.kafka
def test_the_checkpoint_of_a_partition_holds_one_mark_and_one_snapshot_of_each_rollout(kafka: Broker) -> None:
    async def test() -> None:

        settings = settings_for(kafka, "checkpoint")
        async with feeding(settings) as feeder, reading(settings, "flags") as reader:
            for round_of in (1, 2):
                await feeder.requests("a", ok=1)
                async with deciding(settings, CountingEngine.restore):
                    await eventually(lambda round_of=round_of: len(documents(reader, "a")) == round_of)
            async with running(admin(settings), settings) as client:
                wanted = ConfigResource(ConfigResourceType.TOPIC, checkpoint_topic(settings))
                resource = (await client.describe_configs([wanted]))[0].resources[0]
                assert {entry[0]: entry[1] for entry in resource[4]}["cleanup.policy"] == "compact"
            port = FaustPort(settings)
            await port.start()
            while not isinstance(await port.next(), Settled):
                pass
            partition = partition_of("a", settings.partitions)
            saved = recover(partition, port.saved(partition))
            await port.stop()
            assert saved.mark is not None
            assert {key.flag for key in saved.keys} == {"", "a"}
            assert len(saved.keys) == 2
            assert msgspec.msgpack.decode(saved.snapshots["a"][1])[0] == 2

    run(test)
