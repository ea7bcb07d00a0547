"""Terminals: a shell each, in which one command follows the other, as a reader would type them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from tests.eventually import eventually

END_WITHIN_S = 30
COMMAND_WITHIN_S = 60.0


class Terminal:
    """One shell.

    Args:
        name: as the page calls it.
        folder: where it starts.
        log: takes everything that is printed; the file must not exist.
        environment: on top of this process's own.
    """

    def __init__(self, name: str, folder: Path, log: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._log = log
        self._busy = False
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARDIAN_")}
        settings = {"PATH": path, "TERM": "dumb", "COLUMNS": "100", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        with log.open("xb") as output:
            self._shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**kept, **settings, **environment},
                start_new_session=True,
            )
        # Ctrl-C is for the command in front, not for the shell.
        self._type("trap : INT")

    @property
    def printed(self) -> str:
        """Everything so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def run(self, command: str) -> tuple[int, str]:
        """Run one command to its end; return its exit code and what it printed."""
        mark = uuid.uuid4().hex
        before = len(self.printed)
        self._type(f"{{\n{command}\n}} </dev/null; printf '\\n%s %d\\n' {mark} $?")

        def ended() -> re.Match[str] | None:
            return re.search(rf"\n{mark} (\d+)\n", self.printed[before:])

        found = await eventually(ended, within=COMMAND_WITHIN_S)
        return int(found[1]), self.printed[before:][: found.start()]

    async def start(self, command: str, expected: re.Pattern[str]) -> None:
        """Run a command that goes on running, and wait until it has printed what is expected."""
        before = len(self.printed)
        self._busy = True
        self._type(f"{{\n{command}\n}} </dev/null")

        def shown() -> bool:
            assert expected.search(self.printed[before:]), f"so far it printed\n{self.printed[before:]}"
            return True

        await eventually(shown, within=COMMAND_WITHIN_S)

    async def press_ctrl_c(self) -> None:
        """End the command in front, and wait until the shell takes the next one."""
        os.killpg(self._shell.pid, signal.SIGINT)
        self._busy = False
        await self.run("true")

    def close(self) -> None:
        """End everything in this terminal, by force after a while."""
        if self._busy:
            os.killpg(self._shell.pid, signal.SIGINT)
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._shell.wait(END_WITHIN_S)
        # What was left in the background of a page that failed would live on.
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n".encode())
        self._shell.stdin.flush()
