"""Several roles in one process: they end together, and one that dies takes the process with it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.cli.ports import free_port
from guardian.cli.worker import Role, metrics_served, run_loops, run_roles
from guardian.errors import Exit, InternalError, SettingsError, TransportError
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from tests.brokers import settings_for
from tests.cli.servers import GUARDIAN, Server
from tests.eventually import eventually


async def until_told(stop: asyncio.Event, ended: list[str], name: str) -> None:
    """A loop that behaves."""
    await stop.wait()
    ended.append(name)


async def dies_of(error: Exception) -> None:
    """A loop that does not."""
    raise error


def test_all_loops_end_when_they_are_told_to() -> None:
    async def scenario() -> list[str]:
        stop, ended = asyncio.Event(), list[str]()
        running = asyncio.create_task(
            run_loops({"a": until_told(stop, ended, "a"), "b": until_told(stop, ended, "b")}, stop)
        )
        asyncio.get_running_loop().call_soon(stop.set)
        await running
        return ended

    assert sorted(asyncio.run(scenario())) == ["a", "b"]


def test_a_loop_that_dies_of_an_internal_error_ends_the_others_cleanly_and_is_raised() -> None:
    async def scenario() -> list[str]:
        stop, ended = asyncio.Event(), list[str]()
        loops = {"bad": dies_of(InternalError("the fold is broken")), "good": until_told(stop, ended, "good")}
        with pytest.raises(InternalError, match="the fold is broken") as raised:
            await run_loops(loops, stop)
        assert raised.value.exit_code is Exit.INTERNAL
        return ended

    assert asyncio.run(scenario()) == ["good"]


def test_anything_unforeseen_counts_as_a_fault_of_guardians_own() -> None:
    async def scenario() -> None:
        await run_loops({"bad": dies_of(KeyError("x"))}, asyncio.Event())

    with pytest.raises(InternalError, match="bad died: KeyError"):
        asyncio.run(scenario())


def test_a_refusal_of_kafka_keeps_its_own_exit_code() -> None:
    async def scenario() -> None:
        await run_loops({"bad": dies_of(TransportError("no rights", retriable=False))}, asyncio.Event())

    with pytest.raises(TransportError, match="no rights"):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "traced"),
    [(InternalError("the fold is broken"), True), (KeyError("x"), True), (SettingsError("port 80 is taken"), False)],
)
def test_only_a_fault_of_guardians_own_is_logged_with_its_place_in_the_code(
    error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((InternalError, SettingsError)):
        asyncio.run(run_loops({"bad": dies_of(error)}, asyncio.Event()))
    (line,) = [record for record in caplog.records if "bad died" in record.getMessage()]
    assert bool(line.exc_info) is traced


def test_serve_leaves_the_port_of_the_metrics_to_the_other_roles_of_the_machine() -> None:
    with socket.create_server(("", 0)) as taken:
        busy = Settings(bootstrap="127.0.0.1:1", metrics_port=int(taken.getsockname()[1]), serve_port=0)
        told: list[str] = []

        async def scenario() -> None:
            stop = asyncio.Event()
            serving = asyncio.create_task(run_roles(busy, Role.SERVE, stop, listening=told.append))
            await eventually(lambda: bool(told) or serving.done())
            stop.set()
            await serving

        asyncio.run(scenario())
    assert told


def test_a_loop_that_ends_by_itself_is_a_fault() -> None:
    async def ends() -> None:
        return

    async def scenario() -> None:
        stop = asyncio.Event()
        await run_loops({"short": ends(), "long": until_told(stop, [], "long")}, stop)

    with pytest.raises(InternalError, match="short ended by itself"):
        asyncio.run(scenario())


def test_metrics_are_served_while_the_roles_run_and_no_longer() -> None:
    with socket.create_server(("", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(SettingsError, match=str(port)), metrics_served(Settings(metrics_port=port)):
            pass
    with metrics_served(Settings(metrics_port=port)):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()
        assert b"python_info" in page
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_run_waits_for_a_broker_that_is_away_says_so_and_ends_on_a_signal(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen([GUARDIAN, "run", "--bootstrap", "127.0.0.1:1"], stderr=stderr)
        asyncio.run(eventually(lambda: "trying again" in (tmp_path / "stderr").read_text()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert all(line[:4].isdigit() and line[23] == "Z" for line in lines), lines


def test_run_without_its_topics_ends_with_their_names_and_the_way_out(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "no-topics")
    done = subprocess.run(
        [GUARDIAN, "run", "--bootstrap", settings.bootstrap, "--prefix", settings.prefix],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == Exit.NO
    assert settings.topic("flags") in done.stderr
    assert "guardian topics create" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        other = free_port("127.0.0.1", port)
        assert other not in (0, port)
    assert free_port("127.0.0.1", port) == port


def test_a_port_that_was_chosen_and_is_taken_is_a_usage_error(embedded: EmbeddedBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [GUARDIAN, "run", "--role", "serve", "--bootstrap", embedded.bootstrap, "--http-port", str(port)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == Exit.USAGE
    assert str(port) in done.stderr
    assert "fix:" in done.stderr


def test_fausts_own_life_is_no_news(server: Server) -> None:
    said = server.errors.read_text()
    assert "guardian.dev starting the embedded broker" in said
    assert "[^" not in said, said


def test_U11_dev_says_that_its_port_is_taken_before_it_starts_a_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["dev", "--http-port", str(port)])
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 is taken" in result.stderr
    assert "--http-port" in result.stderr
    assert "broker" not in result.stderr
