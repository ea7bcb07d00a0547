"""The compose file without Docker: every service as a process of this machine, its addresses and paths translated.

What a container would have is read from the compose file and the Dockerfile: command, entry point, environment, health
check. Names of services become 127.0.0.1, their ports free ones, paths of the image paths of the repository.
Kafka's own scripts become the Java programs that they start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardian.cli.ports import free_port
from guardian.kafka.apache import fetch_jars
from tests.brokers import CACHE
from tests.deploy.files import ROOT, compose, copies, last_said

PORTS = {
    "kafka": (9092, 9093),
    "serve": (8620,),
    "shop": (8000,),
    "ingest": (9464,),
    "decide": (9464,),
    "topics": (9464,),
}
"""Every port that a service listens on, published or not."""
SCRIPTS = {"/opt/kafka/bin/kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand"}
"""Which Java program a script of the Kafka image starts."""
NOT_SETTINGS = ("KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_LOG4J_OPTS")
STOP_WITHIN_S = 40
CHECK_WITHIN_S = 20


@dataclass
class Running:
    """One replica of a service: its process and how its health is asked for."""

    process: subprocess.Popen[bytes]
    health: list[str]
    environment: dict[str, str]
    folder: Path

    def is_healthy(self) -> bool:
        """Run the health check once, as long as the service runs.

        Raises:
            ChildProcessError: the service has ended; its last words are in the message.
        """
        if self.process.poll() is not None:
            raise ChildProcessError(f"ended with {self.process.returncode}:\n{self.said()}")
        return self.check() == 0

    def check(self) -> int:
        """Run the health check once; return its exit code."""
        return subprocess.run(
            self.health, cwd=self.folder, env=self.environment, capture_output=True, timeout=CHECK_WITHIN_S, check=False
        ).returncode

    def said(self) -> str:
        """The end of what it printed."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")[-3_000:]


class Composed:
    """All services of the compose file.

    Args:
        folder: takes a folder for each replica.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.services: dict[str, Any] = compose()["services"]
        self._ports = {(name, port): free_port() for name, ports in PORTS.items() for port in ports}
        self.running: dict[str, list[Running]] = {}

    def address(self, service: str, port: int) -> str:
        """Return where a service's port is on this machine."""
        return f"127.0.0.1:{self._ports[service, port]}"

    def start(self, name: str) -> list[Running]:
        """Start a service, all its replicas."""
        count = self.services[name].get("deploy", {}).get("replicas", 1)
        self.running[name] = [self._start(name, number) for number in range(count)]
        return self.running[name]

    def run_to_end(self, name: str, within_s: float) -> int:
        """Start a service that ends; return its exit code."""
        (one,) = self.start(name)
        return one.process.wait(within_s)

    def exec(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, as `docker compose exec` does."""
        one = self.running[name][0]
        words = [self._here(name, word, one.folder, {}) for word in command]
        return subprocess.run(
            words, cwd=one.folder, env=one.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def stop(self) -> dict[str, list[int]]:
        """End every process that still runs, the last started first; return their exit codes."""
        codes: dict[str, list[int]] = {}
        for name, replicas in reversed(self.running.items()):
            for one in replicas:
                one.process.send_signal(signal.SIGTERM)
            codes[name] = [one.process.wait(STOP_WITHIN_S) for one in replicas]
        return codes

    def kill(self) -> None:
        """Leave nothing behind."""
        for one in [one for replicas in self.running.values() for one in replicas]:
            one.process.kill()
            one.process.wait()

    def _start(self, name: str, number: int) -> Running:
        service = self.services[name]
        folder = self._folder / f"{name}-{number}"
        folder.mkdir()
        # Replicas have a network of their own each; here they share one, so each has its own ports.
        own = {port: self._ports[name, port] if number == 0 else free_port() for port in PORTS.get(name, ())}
        environment = self._environment(name, folder, own)
        health = service.get("healthcheck", {}).get("test", ["CMD", "true"])
        words = ["sh", "-c", health[1]] if health[0] == "CMD-SHELL" else health[1:]
        if name == "kafka":
            command = self._kafka(folder, environment)
        else:
            command = [self._here(name, word, folder, own) for word in self._command(name)]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Only the container's words are translated: what comes from this machine may lie under /tmp itself.
        checks = [self._here(name, word, folder, own) for word in words]
        return Running(process, self._java(checks) if name == "kafka" else checks, environment, folder)

    def _command(self, name: str) -> list[str]:
        service = self.services[name]
        entry: list[str] = json.loads(last_said(service["build"]["target"], "ENTRYPOINT"))
        return [*entry, *service["command"]]

    def _environment(self, name: str, folder: Path, own: dict[int, int]) -> dict[str, str]:
        """What the container would see, beside this machine's own PATH and home."""
        target = self.services[name].get("build", {}).get("target")
        image = dict(re.findall(r"(\w+)=(\S+)", last_said(target, "ENV"))) if target else {}
        given = {**image, **self.services[name]["environment"]}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        here = {key: self._here(name, value, folder, own) for key, value in given.items()}
        return {**here, "PATH": path, "HOME": str(folder)}

    def _kafka(self, folder: Path, environment: dict[str, str]) -> list[str]:
        """Do as the image's entry point does: settings from the environment, the storage formatted, the broker run."""
        (folder / "data").mkdir()
        settings = {
            _property(key): value
            for key, value in environment.items()
            if key.startswith("KAFKA_") and key not in NOT_SETTINGS
        }
        properties = folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        java = self._java([])
        tool = ["kafka.tools.StorageTool", "format", "-t", environment["CLUSTER_ID"], "-c", str(properties)]
        done = subprocess.run([*java, *tool], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        heap = environment["KAFKA_HEAP_OPTS"].split()
        return [*java[:1], *heap, *java[2:], "kafka.Kafka", str(properties)]

    def _java(self, words: list[str]) -> list[str]:
        java = shutil.which("java")
        assert java is not None
        return [java, "-Xmx128m", "-cp", f"{fetch_jars(CACHE)}/*", *(SCRIPTS.get(word, word) for word in words)]

    def _here(self, name: str, text: str, folder: Path, own: dict[int, int]) -> str:
        """A word of a container as it is on this machine."""
        for (service, port), free in self._ports.items():
            text = re.sub(rf"\b{service}:{port}\b", f"127.0.0.1:{free}", text)
        for port, free in own.items():
            text = re.sub(rf"(?<![\d.]){port}\b", str(free), text)
        text = re.sub(r"^/tmp(?=/|$)|(?<= )/tmp(?=/|$)", str(folder), text)
        text = text.replace("://:", "://127.0.0.1:").replace("/var/lib/kafka/data", str(folder / "data"))
        target = self.services[name].get("build", {}).get("target")
        if target:
            for there, here in copies(target).items():
                text = text.replace(there, str(ROOT / here))
            text = re.sub(r"^/opt/example$", str(ROOT), text)
        return text


def _property(variable: str) -> str:
    """The setting that a variable of Kafka's image stands for: `_` is a dot, `__` an underscore, `___` a dash."""
    name = variable.removeprefix("KAFKA_").lower()
    return name.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
