"""Each role of guardian as a process of its own, with its figures for Prometheus."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from guardian.cli.ports import free_port
from guardian.kafka.settings import Settings
from tests.eventually import HANG_S, eventually

GUARDIAN = str(Path(sys.executable).with_name("guardian"))
ROLES = ("ingest", "decide", "serve")
END_WITHIN_S = 60

Labels = dict[str, str]


class Roles:
    """The three processes.

    Args:
        settings: their installation.
        folder: takes what they say on stderr.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.ports = {role: free_port() for role in ROLES}
        self.http_port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where serve listens."""
        return f"http://127.0.0.1:{self.http_port}"

    @contextmanager
    def start(self, role: str) -> Iterator[None]:
        """Run a role until the block ends or somebody stops it."""
        environment = {
            **os.environ,
            "GUARDIAN_BOOTSTRAP": self.settings.bootstrap,
            "GUARDIAN_PREFIX": self.settings.prefix,
            "GUARDIAN_EMBEDDED": "true",
            "GUARDIAN_METRICS_PORT": str(self.ports[role]),
            "GUARDIAN_SERVE_PORT": str(self.http_port),
        }
        with (self.folder / role).open("w") as said:
            process = subprocess.Popen([GUARDIAN, "run", "--role", role], env=environment, stderr=said)
        self.processes[role] = process
        try:
            yield
        finally:
            self.stop(role)

    def stop(self, role: str) -> None:
        """End a role in good order, if it still runs."""
        process = self.processes.pop(role, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_WITHIN_S)
        finally:
            process.kill()
            process.wait()

    def figures(self, role: str) -> str:
        """What a role answers at /metrics."""
        port = self.http_port if role == "serve" else self.ports[role]
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False)
        return answer.raise_for_status().text

    def values(self, role: str, name: str, **labels: str) -> list[float]:
        """The value of every series of a name that has these labels."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.figures(role))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, role: str, name: str, **labels: str) -> float:
        """The sum of `values`."""
        return sum(self.values(role, name, **labels))

    def until(self, condition: object, within: float = HANG_S) -> None:
        """Wait for a condition."""
        asyncio.run(eventually(condition, within))  # type: ignore[arg-type]


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Roles]:
    """Run every role, ready, for the length of the block."""
    roles = Roles(settings, folder)
    with ExitStack() as stack:
        for role in ROLES:
            stack.enter_context(roles.start(role))

        def ready() -> bool:
            try:
                return httpx.get(f"{roles.url}/readyz", timeout=60, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        roles.until(ready)
        yield roles
