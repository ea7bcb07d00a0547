"""The second road of the brake, practised: every role is gone, and a flag goes off all the same."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiokafka.admin import NewTopic
from click.testing import Result
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from typer.testing import CliRunner

from guardian.cli.kafka_door import KafkaDoor
from guardian.cli.main import app
from guardian.cli.worker import Role, run_roles
from guardian.core.inputs import Actor, Command
from guardian.core.outputs import Decision, RolloutStatus
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import admin, running
from guardian.kafka.settings import Settings
from guardian.wire.emergency import Kind, emergency_message, emergency_state
from guardian.wire.flagd import document_state
from guardian.wire.outputs import decode_alert, decode_decision, decode_status
from tests.brokers import Broker, settings_for
from tests.decide.feeding import Reader, reading
from tests.eventually import eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import guardian, installed, provider_for

EVERYONE = EvaluationContext("u-1")
SPEC: dict[str, Any] = {
    "flag": FLAG,
    "variants": {"control": "off", "candidate": "on", "values": {"on": True, "off": False}},
    "steps": [{"name": "full", "weight": "100%", "bake": "1h"}],
}


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Fresh topics on each broker in turn."""
    made = settings_for(broker, "emergency")
    asyncio.run(create_topics(made))
    return made


@pytest.fixture
def on_embedded(embedded: Broker) -> Settings:
    """Fresh topics where the kind of broker does not matter."""
    made = settings_for(embedded, "emergency")
    asyncio.run(create_topics(made))
    return made


@asynccontextmanager
async def roles(settings: Settings, *wanted: Role) -> AsyncIterator[None]:
    """Run roles for the length of the block."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(run_roles(settings, role, stop)) for role in wanted]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def command(settings: Settings, word: str, **fields: Any) -> Decision:
    """Give a command straight to Kafka and return its answer."""
    given = Command(f"{word}-1", word, FLAG, Actor("ann"), "the test", **fields)
    return (await KafkaDoor(settings).ask(given, 60.0)).decisions[0]


async def emergency(settings: Settings, *words: str) -> Result:
    """Run `guardian emergency` beside the running loop, in a thread of its own."""
    where = {
        "GUARDIAN_BOOTSTRAP": settings.bootstrap,
        "GUARDIAN_PREFIX": settings.prefix,
        "GUARDIAN_EMBEDDED": str(settings.embedded).lower(),
        "GUARDIAN_PARTITIONS": str(settings.partitions),
    }
    runner = CliRunner(env=where)
    return await asyncio.to_thread(runner.invoke, app, ["emergency", *words])


def value(client: OpenFeatureClient) -> bool:
    return client.get_boolean_value(FLAG, False, EVERYONE)


def documents(reader: Reader) -> list[dict[str, Any]]:
    return [msgspec.json.decode(record.value) for record in reader.of("flags") if record.key == FLAG.encode()]


def test_with_every_role_dead_a_flag_goes_off_and_stays_off_when_they_are_back(settings: Settings) -> None:
    async def scene() -> None:
        async with reading(settings, "flags", "alerts", "rollouts", "decisions") as reader:
            async with roles(settings, Role.INGEST, Role.DECIDE):
                await command(settings, "apply", spec=SPEC)
                await command(settings, "start")
            with installed(provider_for(settings)) as client:
                await eventually(lambda: value(client))
                # Step 1: all roles are gone.
                killed = await emergency(settings, "kill", FLAG, "--reason", "at night", "--actor", "ann", "--json")
                assert killed.exit_code == 0, killed.output
                told = json.loads(killed.stdout)
                assert (told["ok"], told["command_sent"], told["flags"][0]["value"]) == (True, True, False)
                await eventually(lambda: not value(client))
                epoch = told["flags"][0]["epoch"]
                await eventually(lambda: documents(reader)[-1]["metadata"]["epoch"] == epoch)
                before = len(documents(reader))
                # Step 2: they come back, and adopt it.
                async with roles(settings, Role.INGEST, Role.DECIDE):
                    await eventually(lambda: status_of(reader).state.epoch == told["flags"][0]["epoch"])
                    state = status_of(reader).state
                    assert state.killed
                    decisions = [decode_decision(record.value) for record in reader.of("decisions")]
                    adopted = next(one for one in decisions if one.command_id == told["command_id"])
                    assert (adopted.accepted, adopted.actor) == (True, Actor("ann", "emergency", False))
                    alerts = [decode_alert(record.value) for record in reader.of("alerts")]
                    assert [(one.trigger, one.active) for one in alerts if one.flag == FLAG] == [("emergency", True)]
                    # Step 3: no document since then gives anybody the candidate.
                    await eventually(lambda: len(documents(reader)) > before)
                    assert all(is_control(document) for document in documents(reader)[before - 1 :])
                    assert not value(client)
                    # Step 4: a person frees it.
                    assert (await command(settings, "unkill")).accepted
                    await eventually(lambda: value(client))

    asyncio.run(scene())


def status_of(reader: Reader) -> RolloutStatus:
    return decode_status(reader.of("rollouts")[-1].value)


def is_control(document: dict[str, Any]) -> bool:
    return document["defaultVariant"] == "off" and "targeting" not in document


def test_a_kill_whose_command_got_lost_is_adopted_from_the_document_alone(on_embedded: Settings) -> None:
    async def scene() -> None:
        settings = on_embedded
        async with reading(settings, "flags", "alerts", "rollouts") as reader:
            async with roles(settings, Role.INGEST, Role.DECIDE):
                await command(settings, "apply", spec=SPEC)
                await command(settings, "start")
                await eventually(lambda: documents(reader) and not is_control(documents(reader)[-1]))
            async with guardian(settings) as writer:
                known = document_state(FLAG, documents(reader)[-1])
                now_ms = int(time.time() * 1_000)
                killed = emergency_state(known, Kind.ROLLBACK, now_ms // 1_000, now_ms, now_ms)
                await writer.write(emergency_message(killed).value)
            before = len(documents(reader))
            async with roles(settings, Role.INGEST, Role.DECIDE):
                await eventually(lambda: status_of(reader).state.killed)
                await eventually(lambda: len(documents(reader)) > before)
                assert all(is_control(document) for document in documents(reader)[before:])
                alerts = [decode_alert(record.value).trigger for record in reader.of("alerts")]
                assert alerts == ["emergency"]
                assert (await command(settings, "unkill")).accepted
                await eventually(lambda: not is_control(documents(reader)[-1]))

    asyncio.run(scene())


@pytest.mark.kafka
def test_it_needs_the_topic_of_the_flags_and_nothing_else(kafka: ApacheKafka) -> None:
    async def scene() -> None:
        settings = settings_for(kafka, "alone")
        async with running(admin(settings), settings) as client:
            await client.create_topics([NewTopic(settings.topic("flags"), 3, 1)])
        async with guardian(settings) as writer:
            await writer.write(written(weight_bp=10_000))
            with installed(provider_for(settings)) as client:
                await eventually(lambda: value(client))
                done = await emergency(settings, "kill", FLAG, "--json")
                assert (done.exit_code, json.loads(done.stdout)["command_sent"]) == (0, False), done.output
                await eventually(lambda: not value(client))
                again = await emergency(settings, "kill", FLAG)
                assert "adopts it as a kill switch when it is back" in again.stderr

    asyncio.run(scene())


def test_all_flags_are_shown_first_and_written_with_yes(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            for flag in ("alpha", "beta"):
                await writer.write(written(flag=flag, weight_bp=10_000), flag)
        shown = await emergency(on_embedded, "rollback", "--all")
        assert (shown.exit_code, shown.stdout.split()) == (1, ["alpha", "beta"])
        assert "with --yes 2 flags" in shown.stderr
        before = json.loads((await emergency(on_embedded, "status", "--json")).stdout)
        assert [one["share_bp"] for one in before["flags"]] == [None, None], "no header says that guardian wrote them"
        done = await emergency(on_embedded, "rollback", "--all", "--yes", "--json")
        assert done.exit_code == 0, done.output
        assert [one["flag"] for one in json.loads(done.stdout)["flags"]] == ["alpha", "beta"]
        after = json.loads((await emergency(on_embedded, "status", "--json")).stdout)
        assert [(one["share_bp"], one["killed"], one["written_by"]) for one in after["flags"]] == [
            (0, False, "emergency")
        ] * 2
        assert after["silent_partitions"] == [0, 1, 2, 3]
        page = await emergency(on_embedded, "status", "alpha")
        assert "nobody" in page.stdout
        assert "no sign of decide" in page.stderr

    asyncio.run(scene())


def test_a_flag_without_a_document_is_written_when_its_variants_are_said(on_embedded: Settings) -> None:
    async def scene() -> None:
        unknown = await emergency(on_embedded, "kill", "nowhere")
        assert unknown.exit_code == 1
        assert "the default in their own code" in unknown.stderr
        assert "--control off --variants" in unknown.stderr
        assert (await emergency(on_embedded, "status", "nowhere")).exit_code == 1
        with installed(provider_for(on_embedded)) as client:
            assert client.get_boolean_value("nowhere", True, EVERYONE) is True
            words = ["--control", "off", "--variants", '{"on": true, "off": false}']
            done = await emergency(on_embedded, "kill", "nowhere", *words)
            assert done.exit_code == 0, done.output
            await eventually(lambda: client.get_boolean_value("nowhere", True, EVERYONE) is False)
        for wrong in (["--control", "off"], ["--control", "x", "--variants", '{"on": 1}'], ["--variants", "{"]):
            assert (await emergency(on_embedded, "kill", "nowhere", *wrong)).exit_code == 2
        assert (await emergency(on_embedded, "kill", "--all", *words)).exit_code == 2

    asyncio.run(scene())


def test_B5_it_kills_a_flag_on_which_a_forged_version_lies(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=5, weight_bp=0))
            await writer.write(written(version=2**63 - 1, weight_bp=10_000))
            soon_ms = int(time.time() * 1_000) + 3_600_000
            await writer.write(written(version=soon_ms, weight_bp=10_000))
        with installed(provider_for(on_embedded)) as client:
            assert value(client)
            status = json.loads((await emergency(on_embedded, "status", "--json")).stdout)
            assert (status["refused"], status["flags"][0]["written_by"]) == ([FLAG], "somebody else")
            assert (await emergency(on_embedded, "kill", FLAG)).exit_code == 0
            await eventually(lambda: not value(client))

    asyncio.run(scene())


def test_nobody_answers() -> None:
    result = CliRunner(env={}).invoke(app, ["emergency", "kill", FLAG, "--bootstrap", "127.0.0.1:1"])
    assert result.exit_code == 3
    assert "no answer from Kafka" in result.stderr
