"""Roles of guardian in processes of their own: what they hold in memory, and what they count."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from guardian.kafka.free_ports import free_ports
from guardian.kafka.settings import Settings
from tests.cli.servers import GUARDIAN

MB = 1_048_576


class RunningRole:
    """One role.

    Args:
        name: ingest or decide.
        process: it.
        port: of its metrics.
        log: what it writes to stderr.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.name, self.process, self.port, self.log = name, process, port, log

    def rss_mb(self) -> float:
        """What the process holds in memory, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MB

    def peak_mb(self) -> float:
        """The most that it ever held, in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1_024
        raise AssertionError("no peak in /proc")

    def counted(self, name: str, **labels: str) -> float:
        """Return the sum of a figure over every label that is not named; 0 before it is there."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=60).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextmanager
def role(name: str, settings: Settings, folder: Path, exit_code: int = 0) -> Iterator[RunningRole]:
    """Run a role until the block ends, and insist on how it ends.

    Args:
        name: ingest, decide, serve or all.
        settings: where Kafka is, and whose prefix.
        folder: for its log.
        exit_code: what it must end with.
    """
    (port,) = free_ports(1)
    where = ["--bootstrap", settings.bootstrap, "--prefix", settings.prefix]
    log = folder / f"{name}.log"
    environment = {**os.environ, "GUARDIAN_METRICS_PORT": str(port), "GUARDIAN_SERVE_PORT": "0"}
    with log.open("w") as stderr:
        process = subprocess.Popen([GUARDIAN, "run", "--role", name, *where], stderr=stderr, env=environment)
    try:
        yield RunningRole(name, process, port, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == exit_code, log.read_text()[-4_000:]
    finally:
        process.kill()
        process.wait()
