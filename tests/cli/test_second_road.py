"""A brake that nobody answers names what is left: the emergency path and the application's own override (U5)."""

from __future__ import annotations

import asyncio
import json

from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.wire.outputs import encode_output
from tests.brokers import settings_for
from tests.cli.samples import flag_state, status


def environment(settings: Settings) -> dict[str, str]:
    return {"GUARDIAN_BOOTSTRAP": settings.bootstrap, "GUARDIAN_PREFIX": settings.prefix, "GUARDIAN_EMBEDDED": "true"}


async def write_status(settings: Settings) -> None:
    message = encode_output(status(flag_state(env_prefix="SCOUT", control="off")))
    async with running(producer(settings), settings) as client:
        await client.send_and_wait(settings.topic("rollouts"), message.value, key=message.key)


def test_U5_a_kill_without_an_answer_names_the_emergency_path_and_the_override_of_this_flag(
    embedded: EmbeddedBroker,
) -> None:
    settings = settings_for(embedded, "unanswered")
    asyncio.run(create_topics(settings))
    asyncio.run(write_status(settings))
    runner = CliRunner(env=environment(settings))
    said = runner.invoke(app, ["kill", "new-pricing", "--wait", "100ms"])
    assert said.exit_code == 4
    assert "guardian emergency kill new-pricing needs Kafka only" in said.stderr
    assert "SCOUT_NEW_PRICING=off in the environment" in said.stderr
    told = json.loads(runner.invoke(app, ["rollback", "unknown", "--wait", "100ms", "--json"]).stdout)
    assert [hint for hint in told["hints"] if "emergency rollback unknown" in hint]
    assert [hint for hint in told["hints"] if "UNKNOWN=off" in hint and "env_prefix" in hint]
    everything = runner.invoke(app, ["kill", "--all", "--wait", "100ms"])
    assert "guardian emergency kill --all --yes" in everything.stderr
    assert "emergency" not in runner.invoke(app, ["pause", "new-pricing", "--wait", "100ms"]).stderr


def test_U5_a_kill_that_reaches_nobody_names_them_too() -> None:
    for where in (["--bootstrap", "127.0.0.1:1"], ["--server", "http://127.0.0.1:1"]):
        said = CliRunner(env={}).invoke(app, ["kill", "new-pricing", *where])
        assert said.exit_code == 3
        assert "guardian emergency kill new-pricing" in said.stderr
        assert "NEW_PRICING=off" in said.stderr
