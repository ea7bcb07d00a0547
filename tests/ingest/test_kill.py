"""Ingest processes die and freeze under load, and every count is exact all the same."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import producer, running
from guardian.kafka.settings import Settings
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.ingest.log import Log

FLAGS = 12
BATCH = 200


class Crowd:
    """Applications that send events as fast as they are told to, and know exactly what they have sent."""

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self.settings, self.chance = settings, chance
        self.sent: Counter[tuple[str, str]] = Counter()

    async def send(self, events: int) -> None:
        """Send events in batches to random partitions, each batch acked."""
        topic = self.settings.topic("telemetry")
        async with running(producer(self.settings), self.settings) as doer:
            partitions = sorted(await doer.partitions_for(topic))
            for _ in range(events // BATCH):
                batch = doer.create_batch()
                for _ in range(BATCH):
                    key = (f"flag-{self.chance.randrange(FLAGS)}", self.chance.choice(["on", "off"]))
                    event = {"ts": time.time(), "flag": key[0], "variant": key[1], "outcome": "ok", "latency_ms": 5.0}
                    assert batch.append(key=None, value=json.dumps(event).encode(), timestamp=None) is not None
                    self.sent[key] += 1
                await (await doer.send_batch(batch, topic, partition=self.chance.choice(partitions)))


class Ingests:
    """Ingest processes by number."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tests.ingest.process", settings.bootstrap, settings.prefix]
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._said_before: dict[int, int] = {}

    def start(self, number: int) -> None:
        with self._log(number).open("ab") as log:
            self._said_before[number] = log.tell()
            self._running[number] = subprocess.Popen(self._command, stdout=log, stderr=log)

    def have_begun(self) -> bool:
        """Whether each of the present processes has had partitions: one that still starts cannot end in good order."""
        return all(b"generation" in self._log(number).read_bytes()[at:] for number, at in self._said_before.items())

    def _log(self, number: int) -> Path:
        return self._folder / f"ingest-{number}.log"

    def signal(self, number: int, what: signal.Signals) -> None:
        self._running[number].send_signal(what)

    def replace(self, number: int) -> None:
        """kill -9, and another in its place."""
        self._running[number].kill()
        self._running[number].wait()
        self.start(number)

    def end(self) -> list[int]:
        """End all in good order; return their exit codes."""
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        codes = []
        for process in self._running.values():
            try:
                codes.append(process.wait(60))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        return codes


async def _survives(settings: Settings, ingests: Ingests, chance: random.Random) -> None:
    await create_topics(settings)
    crowd = Crowd(settings, chance)
    for number in range(2):
        ingests.start(number)
    async with Log(settings) as log:

        async def more_is_applied() -> bool:
            return (await log.read()).counts.total() > before

        async def all_is_applied() -> bool:
            return (await log.read()).counts.total() >= crowd.sent.total()

        for what in ("kill", "kill", "freeze", "kill"):
            before = log.applied.counts.total()
            load = asyncio.create_task(crowd.send(30_000))
            await eventually(more_is_applied)
            goal = before + chance.randrange(1_000, 12_000)
            await eventually(lambda goal=goal: _applied(log, goal))
            victim = chance.randrange(2)
            if what == "kill":
                ingests.replace(victim)
                await load
                continue
            # Frozen for longer than the group waits: the other takes over, then the zombie wakes in mid-write.
            ingests.signal(victim, signal.SIGSTOP)
            await load
            await eventually(all_is_applied)
            ingests.signal(victim, signal.SIGCONT)
        await eventually(all_is_applied)
        await eventually(ingests.have_begun)
        codes = ingests.end()
        # What the processes still wrote at their end must not change anything either.
        await log.read()
        assert log.applied.counts == crowd.sent
        assert log.applied.straddles == []
        assert codes == [0, 0]


async def _applied(log: Log, goal: int) -> bool:
    return (await log.read()).counts.total() >= goal


@pytest.mark.kafka
def test_every_count_is_exact_when_ingest_processes_are_killed_and_frozen_under_load(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    settings = settings_for(kafka, "kill")
    ingests = Ingests(settings, tmp_path)
    try:
        asyncio.run(_survives(settings, ingests, random.Random(20261121)))
    finally:
        ingests.end()
        for log in tmp_path.glob("*.log"):
            sys.stdout.write(f"--- {log.name}\n{log.read_text()[-4000:]}\n")
