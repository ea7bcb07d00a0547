"""Topics that change under guardian's feet: recreated, grown, cut, of another size. Named, with a way out."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from guardian.decide.loop import run_decide
from guardian.decide.metrics import JUMPS
from guardian.errors import Exit, TransportError
from guardian.ingest.loop import run_ingest
from guardian.ingest.metrics import RETENTION_LOST
from guardian.kafka.admin import create_topics, describe_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import admin, consumer, running
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from tests.bad_input.house import House, event, guardian, inhabited, spec_of
from tests.brokers import settings_for
from tests.decide.feeding import deciding
from tests.eventually import eventually
from tests.ingest.test_loop import ingest

pytestmark = pytest.mark.kafka


async def make_anew(settings: Settings, name: str) -> None:
    """Delete a topic and create it with the same name, as somebody does who wants it empty."""
    topic = settings.topic(name)
    async with running(admin(settings), settings) as client:
        await client.delete_topics([topic])

        async def is_gone() -> bool:
            return topic not in await client.list_topics()

        await eventually(is_gone)
    await create_topics(settings)


def migrated(count: int) -> list[bytes]:
    return [json.dumps({"flag": "good", "event_type": "success"}).encode()] * count


def named(house: House, what: str) -> bool:
    """Whether an alert about guardian itself begins so."""
    return any(alert.flag == "*" and alert.trigger.startswith(what) for alert in house.alerts())


def test_a_recreated_source_stops_with_an_alert_others_go_on_and_a_person_gets_a_way_out(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        topic = settings.topic("telemetry")
        async with inhabited(settings, telemetry=False) as house:
            async with ingest(settings):
                version = await house.begin("good")
                await house.send("telemetry", [event("good", version) for _ in range(400)])
                await eventually(lambda: house.total("good") == 400)
                await make_anew(settings, "telemetry")
                # What aiokafka still believes of the topic before, it unlearns while it sends.
                await house.send("telemetry", [event("good", version) for _ in range(70)])
                await eventually(lambda: named(house, f"recreated {topic}/"))
                await house.send("migrations", migrated(30))
                await eventually(lambda: house.total("good", "on:success") == 30)
                told = await asyncio.to_thread(guardian, settings, "doctor")
                assert "was recreated" in told.stdout
                assert "guardian checkpoint reset telemetry" in told.stdout
                refused = await asyncio.to_thread(guardian, settings, "checkpoint", "reset", "telemetry", "--yes")
                assert (refused.exit_code, "stop ingest first" in refused.stderr) == (Exit.NO, True), refused.output
            assert house.total("good") == 400, "nothing of the new topic is counted unasked"
            shown = await asyncio.to_thread(guardian, settings, "checkpoint", "reset", "telemetry")
            assert (shown.exit_code, shown.stdout.count("goes on at 0")) == (Exit.NO, 4), shown.output
            done = await asyncio.to_thread(guardian, settings, "checkpoint", "reset", "telemetry", "--yes")
            assert done.exit_code == Exit.OK, done.output
            async with ingest(settings):
                await eventually(lambda: house.total("good") == 470)
                await house.send("telemetry", [event("good", version) for _ in range(30)])
                await eventually(lambda: house.total("good") == 500)
                assert named(house, f"accepted {topic}/")
                told = await asyncio.to_thread(guardian, settings, "doctor")
                assert "was recreated" not in told.stdout, "it is over"
            # Ingest leaves, comes again, and nothing is counted twice.
            async with ingest(settings):
                await house.send("telemetry", [event("good", version, outcome="crash")])
                await eventually(lambda: house.weight("good") == 0)
                await eventually(lambda: house.total("good") == 501)

    asyncio.run(check(settings_for(kafka, "anew")))


def test_a_reset_without_a_reason_changes_nothing(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            await house.send("telemetry", [event("good", version) for _ in range(20)])
            await eventually(lambda: house.total("good") == 20)
        for what in ("telemetry", "migrations", "commands"):
            found = await asyncio.to_thread(guardian, settings, "checkpoint", "reset", what, "--yes", "--json")
            assert json.loads(found.stdout) == {"ok": True, "done": False, "what": what, "steps": []}

    asyncio.run(check(settings_for(kafka, "noreason")))


def test_a_source_that_grows_partitions_is_read_whole_and_the_new_ones_are_expected(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        topic = settings.topic("telemetry")
        async with inhabited(settings) as house:
            version = await house.begin("good")
            await house.send("telemetry", [event("good", version) for _ in range(40)])
            await eventually(lambda: house.total("good") == 40)
            async with running(admin(settings), settings) as client:
                await client.create_partitions({topic: NewPartitions(6)})
            await house.client.client.force_metadata_update()
            for partition in range(6):
                for _ in range(10):
                    await house.client.send(topic, event("good", version), partition=partition)
            await eventually(lambda: house.total("good") == 100)
            assert house.weight("good") == 500

    asyncio.run(check(settings_for(kafka, "grown")))


@pytest.mark.parametrize("kind", ["telemetry", "commands"])
def test_ingest_refuses_inputs_of_another_number_of_partitions(kafka: ApacheKafka, kind: str) -> None:
    async def check(settings: Settings) -> None:
        await create_topics(settings)
        other = settings.model_copy(update={"partitions": 3})
        with pytest.raises(TransportError, match="has 4 partitions, the settings say 3") as raised:
            await asyncio.wait_for(run_ingest(other, kind=kind, stop=asyncio.Event()), 60)  # type: ignore[arg-type]
        assert "guardian topics check" in raised.value.fix

    asyncio.run(check(settings_for(kafka, "sizes")))


def test_ingest_and_decide_refuse_commands_of_another_number_of_partitions(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        await create_topics(settings)
        async with running(admin(settings), settings) as client:
            await client.create_partitions({settings.topic("commands"): NewPartitions(6)})
        # The controller has it at once, the broker that is asked a little later.
        await eventually(lambda: has_partitions(settings, "commands", 6))
        said = f"{settings.topic('commands')} has 6 partitions, the settings say 4"
        stop = asyncio.Event()
        for role in (run_ingest(settings, kind="commands", stop=stop), run_decide(settings, stop=stop)):
            with pytest.raises(TransportError, match=said) as raised:
                await asyncio.wait_for(role, 60)
            assert "guardian topics check" in raised.value.fix

    asyncio.run(check(settings_for(kafka, "commandsizes")))


async def edges_of(settings: Settings, name: str, partition: int) -> tuple[int, int]:
    """Return where a partition's log begins and where it ends."""
    place = TopicPartition(settings.topic(name), partition)
    async with running(consumer(settings), settings) as reader:
        reader.assign([place])
        begins, ends = await reader.beginning_offsets([place]), await reader.end_offsets([place])
    return begins[place], ends[place]


async def has_partitions(settings: Settings, name: str, count: int) -> bool:
    return any(state.topic.name == name and state.partitions == count for state in await describe_topics(settings))


async def cut(settings: Settings, name: str, *, keep: int) -> int:
    """Delete all but the newest records of every partition, as retention does; return how many went."""
    topic, gone = settings.topic(name), 0
    places = [TopicPartition(topic, number) for number in range(4)]
    async with running(consumer(settings), settings) as reader, running(admin(settings), settings) as client:
        reader.assign(places)
        begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
        for place in places:
            before = max(begins[place], ends[place] - keep)
            gone += before - begins[place]
            await client.delete_records({place: RecordsToDelete(before_offset=before)})
    return gone


def test_events_that_retention_took_are_named_and_counted_and_ingest_goes_on(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        lost = RETENTION_LOST.labels(settings.topic("telemetry"))
        async with inhabited(settings, telemetry=False) as house:
            async with ingest(settings):
                version = await house.begin("good")
                await house.send("telemetry", [event("good", version) for _ in range(40)])
                await eventually(lambda: house.total("good") == 40)
            await cut(settings, "telemetry", keep=0)
            for partition in range(4):
                for _ in range(20):
                    await house.client.send(settings.topic("telemetry"), event("good", version), partition=partition)
            await house.client.flush()
            assert await cut(settings, "telemetry", keep=5) == 60
            async with ingest(settings):
                await eventually(lambda: house.total("good") == 60)
                assert lost._value.get() == 60

    asyncio.run(check(settings_for(kafka, "took")))


def test_inputs_that_retention_took_are_named_and_promotions_freeze_until_windows_are_full(
    kafka: ApacheKafka,
) -> None:
    spec = spec_of(
        "good",
        steps=[{"name": "canary", "weight": "5%", "bake": "5s"}, {"name": "full", "weight": "100%", "bake": "1h"}],
        triggers=[{"when": "error_rate > 50% for 5 minutes", "do": "rollback"}],
    )

    async def check(settings: Settings) -> None:
        async with inhabited(settings, decide=False) as house:
            async with deciding(settings):
                version = await house.begin("good", spec)
                await house.send("telemetry", [event("good", version) for _ in range(40)])
                # Paused, so that the short bake does not end before the log is cut.
                await house.order("good", "pause")
                await eventually(lambda: house.total("good") == 40)
                await eventually(lambda: (found := house.status("good")) and found.state.phase == "paused")
            partition = partition_of("good", settings.partitions)
            _, seen = await edges_of(settings, "inputs", partition)
            for _ in range(20):
                await house.send("telemetry", [event("good", version)])

            async def more_than_is_kept() -> bool:
                return (await edges_of(settings, "inputs", partition))[1] >= seen + 6

            # The events are acked before ingest has written them to the log: cut at once, only what the checkpoint
            # includes is lost, in 11 of 28 runs, and then nothing is to be named.
            await eventually(more_than_is_kept)
            await cut(settings, "inputs", keep=2)
            begins, _ = await edges_of(settings, "inputs", partition)
            assert begins > seen
            jumps = JUMPS.labels(str(partition), "retention")
            before = jumps._value.get()
            async with deciding(settings):
                await eventually(lambda: named(house, "inputs_lost"))
                assert jumps._value.get() == before + 1
                await eventually(lambda: (found := house.status("good")) and found.evidence_from_ms > 0)
                await house.order("good", "resume")
                # The bake of five seconds is over, and over again; no promotion is made on windows with a hole.
                await eventually(lambda: (found := house.status("good")) and found.baked_ms >= 5_000, within=120)
                await house.send("telemetry", [event("good", version) for _ in range(40)])
                await eventually(lambda: house.total("good") >= 80)
                status = house.status("good")
                assert status is not None
                assert (status.state.weight_bp, status.state.step) == (500, "canary")
                assert any("until the windows are full again" in each for each in status.missing), status.missing

    asyncio.run(check(settings_for(kafka, "holes")))
