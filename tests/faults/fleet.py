"""The `guardian run` processes of one role, and what is done to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from guardian.kafka.settings import Settings

ROOT = Path(__file__).parents[2]
END_WITHIN_S = 60.0


class Fleet:
    """Processes of one role, as a person starts them.

    Args:
        role: `ingest` or `decide`.
        settings: the installation; goes to the processes as GUARDIAN_*.
        folder: for what they print.
    """

    def __init__(self, role: str, settings: Settings, folder: Path) -> None:
        self.role = role
        self.running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self.problems: list[str] = []
        self._folder = folder
        self._started = 0
        self._command = [str(Path(sys.executable).with_name("guardian")), "run", "--role", role]
        # Compiled once, not at each start: how fast Python compiles is not what is measured.
        self._environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        for name in ("bootstrap", "prefix", "partitions", "source_partitions"):
            self._environ[f"GUARDIAN_{name.upper()}"] = str(getattr(settings, name))

    def start(self) -> None:
        """Start one more process."""
        self._started += 1
        path = self._folder / f"{self.role}-{self._started}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stdout=log, stderr=log)
        self.running.append(process)
        self._logs[process.pid] = path

    @property
    def logs(self) -> list[Path]:
        """What every process has printed, those that ended too."""
        return sorted(self._logs.values())

    def is_up(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether a process has come so far that it says so; before that Python itself ends at SIGTERM."""
        return b"role=" in self._logs[process.pid].read_bytes()

    @property
    def all_up(self) -> bool:
        """Whether every process that was started is up."""
        return all(self.is_up(process) for process in self.running)

    def any(self, chance: random.Random) -> subprocess.Popen[bytes]:
        """Return one of those that run."""
        return chance.choice(self.running)

    def kill(self, victim: subprocess.Popen[bytes]) -> None:
        """Take its life, as kill -9 does."""
        self.look()
        victim.kill()
        victim.wait()
        self.running.remove(victim)

    def ask_to_end(self, victim: subprocess.Popen[bytes]) -> asyncio.Task[None]:
        """Send SIGTERM; the task is done when the process is, and notes when it did not end as it should."""
        self.look()
        self.running.remove(victim)
        victim.send_signal(signal.SIGTERM)
        return asyncio.create_task(self._see_end(victim))

    async def end(self) -> None:
        """Ask all to end; whoever ended before that, or does not end in good order, is a problem."""
        self.look()
        await asyncio.gather(*(self.ask_to_end(process) for process in list(self.running)))

    def destroy(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()

    def look(self) -> None:
        """Nobody may end unasked: who did is a problem."""
        for process in [process for process in self.running if process.poll() is not None]:
            self.running.remove(process)
            self.problems.append(f"a process of {self.role} ended by itself with exit code {process.returncode}")

    async def _see_end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = await asyncio.to_thread(process.wait, END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.problems.append(f"a process of {self.role} did not end within {END_WITHIN_S:.0f} s of SIGTERM")
            return
        if code and (code != -signal.SIGTERM or self.is_up(process)):
            self.problems.append(f"a process of {self.role} ended with exit code {code} after SIGTERM")
