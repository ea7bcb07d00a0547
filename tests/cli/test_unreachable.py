"""Nobody answers at Kafka's address: every command says so at once, with exit code 3 and without a traceback."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.cli.reading import reaching
from guardian.errors import TransportError
from guardian.kafka.clients import consumer
from guardian.kafka.settings import Settings

runner = CliRunner()

COMMANDS = [
    ["list"],
    ["status"],
    ["status", "x"],
    ["pause", "x"],
    ["kill", "--all"],
    ["kill", "x", "--no-wait"],
    ["rollback", "x", "--to", "previous"],
    ["tail", "decisions"],
    ["topics", "check"],
    ["topics", "create"],
    ["topics", "describe"],
    ["send", "-"],
]
EVENT = '{"ts": 1, "flag": "f", "variant": "on", "outcome": "ok"}\n'


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_broker_that_is_away_is_exit_3_with_a_way_out(words: list[str]) -> None:
    result = runner.invoke(app, [*words, "--bootstrap", "127.0.0.1:1"], input=EVENT)
    assert result.exit_code == 3, result.output
    assert "127.0.0.1:1" in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.stderr
    assert "TimeoutError" not in result.stderr, "the refusal was seen, and not waited for until patience was over"


def test_a_broker_that_takes_the_connection_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings = Settings(bootstrap=f"127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(TransportError) as raised:
            asyncio.run(reach(settings, within_s=0.3))
    assert settings.bootstrap in raised.value.message
    assert raised.value.fix


async def reach(settings: Settings, within_s: float) -> None:
    """Try to start a client, as every command does, with less patience."""
    client = consumer(settings)
    try:
        async with reaching(settings, within_s):
            await client.start()
    finally:
        await client.stop()


def test_with_json_the_error_is_one_object_on_stdout() -> None:
    result = runner.invoke(app, ["status", "--bootstrap", "127.0.0.1:1", "--json"])
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert found["exit_code"] == 3
    assert found["fix"]


def test_debug_shows_the_traceback() -> None:
    result = runner.invoke(app, ["--debug", "list", "--bootstrap", "127.0.0.1:1"])
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
