"""What follows guardian through serve goes on when serve restarts: nothing is missed, and stderr says what happened."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from guardian.cli.ports import free_port
from tests.cli.servers import Server, apply, soon


class Serve:
    """The role serve, which can be ended and come back at the same address."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._port = free_port("127.0.0.1", 0)
        self._process: subprocess.Popen[str] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers truthfully."""
        with (self._folder / "serve").open("a") as said:
            self._process = self._server.start("run", "--role", "serve", "--http-port", str(self._port), stderr=said)
        soon(lambda: self.answers("/readyz"))

    def answers(self, path: str) -> str:
        """What it answers there, empty when it does not or says no."""
        try:
            answer = httpx.get(f"{self.url}{path}", timeout=60, trust_env=False)
        except httpx.TransportError:
            return ""
        return answer.text if answer.status_code == 200 else ""

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(40)
            self._process = None


@pytest.fixture
def serve(server: Server, tmp_path: Path) -> Iterator[Serve]:
    """A serve of its own beside the guardian of all tests."""
    found = Serve(server, tmp_path)
    found.start()
    yield found
    found.end(signal.SIGKILL)


class Told:
    """What a process has said so far, line by line."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.lines: list[str] = []
        self._errors = errors
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)

    def says(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    @property
    def notes(self) -> str:
        return self._errors.read_text()


@contextmanager
def guardian(server: Server, folder: Path, *words: str) -> Iterator[Told]:
    """Run a command that never ends by itself, until the block ends."""
    errors = folder / "command"
    with errors.open("w") as stderr:
        process = server.start(*words, stderr=stderr)
    try:
        yield Told(process, errors)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("topic", ["decisions", "rollbacks"])
def test_tail_goes_on_behind_a_restart_with_all_that_was_said_meanwhile(
    server: Server, serve: Serve, tmp_path: Path, topic: str, number: signal.Signals
) -> None:
    flag = f"restart-{topic}-{number.name.lower()}"
    apply(server, tmp_path, flag)
    server.guardian("start", flag)
    with guardian(server, tmp_path, "tail", topic, "--flag", flag, "--server", serve.url) as told:
        soon(lambda: f'stream_clients{{stream="{topic}"}} 1.0' in serve.answers("/metrics"))
        assert server.guardian("rollback", flag, "--reason", "before").exit_code == 0
        soon(lambda: told.says("before"))
        serve.end(number)
        soon(lambda: f"serve at {serve.url}" in told.notes)
        assert server.guardian("resolve", flag).exit_code == 0
        assert server.guardian("start", flag).exit_code == 0
        assert server.guardian("rollback", flag, "--reason", "meanwhile").exit_code == 0
        serve.start()
        soon(lambda: told.says("meanwhile"))
        for words in (["resolve", flag], ["start", flag], ["rollback", flag, "--reason", "after"]):
            assert server.guardian(*words).exit_code == 0
        soon(lambda: told.says("after"))
        assert [sum(word in line for line in told.lines) for word in ("before", "meanwhile", "after")] == [1, 1, 1]
        assert told.notes.count("trying again") == 1
        assert told.notes.count("answers again") == 1


def test_flags_are_told_once_although_their_stream_begins_with_all_that_stand(
    server: Server, serve: Serve, tmp_path: Path
) -> None:
    flag = "restart-flags"
    apply(server, tmp_path, flag)
    server.guardian("start", flag)
    with guardian(server, tmp_path, "tail", "flags", "--flag", flag, "--server", serve.url) as told:
        soon(lambda: 'stream_clients{stream="flags"} 1.0' in serve.answers("/metrics"))
        server.guardian("promote", flag)
        soon(lambda: told.says("50%"))
        serve.end()
        serve.start()
        soon(lambda: "answers again" in told.notes)
        server.guardian("promote", flag)
        soon(lambda: told.says("100%"))
        assert len(told.lines) == 2, told.lines


def test_a_watch_shows_what_it_knew_with_a_note_while_serve_is_away(
    server: Server, serve: Serve, tmp_path: Path
) -> None:
    flag = "restart-watch"
    apply(server, tmp_path, flag)
    with guardian(server, tmp_path, "status", flag, "--watch", "--server", serve.url) as told:
        soon(lambda: told.says("draft"))
        serve.end()
        soon(lambda: "no answer from serve" in told.notes)
        serve.start()
        server.guardian("start", flag)
        soon(lambda: told.says("progressing"))
