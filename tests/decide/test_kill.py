"""kill -9 of decide under load on real Kafka: every count exact, versions only grow, every decision once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardian.kafka.apache import ApacheKafka
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_decision, decode_status
from tests.brokers import settings_for
from tests.decide.feeding import Feeder, Reader, feeding, reading, run
from tests.eventually import eventually

SEED = 20_261_121
PARTITIONS = 6
FLAGS = [f"flag-{number}" for number in range(24)]
LOAD_SECONDS = 28.0


def spec_of(flag: str) -> dict[str, Any]:
    steps = [{"name": f"step-{at}", "weight": f"{at}%", "bake": "1h"} for at in (5, 25, 50, 100)]
    return {"flag": flag, "steps": steps}


class Fleet:
    """The decide processes of a test, and what is done to them."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings, self._log = settings, log
        self._running: list[subprocess.Popen[bytes]] = []
        self.faults: Counter[str] = Counter()

    def start(self) -> None:
        words = [self._settings.bootstrap, self._settings.prefix, str(self._settings.partitions)]
        command = [sys.executable, "-m", "tests.decide.process", *words]
        # Compiled once, not at each start: a process that comes up slowly is a fault less.
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(self._log.parent), "PYTHONDONTWRITEBYTECODE": ""}
        with self._log.open("ab") as log:
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environ))

    def fault(self, chance: random.Random) -> float:
        """Do something to one of them; return for how long it stays so before `mend`."""
        victim = chance.choice(self._running)
        name, sign = chance.choice(
            [("kill", signal.SIGKILL), ("kill", signal.SIGKILL), ("term", signal.SIGTERM), ("stop", signal.SIGSTOP)]
        )
        self.faults[name] += 1
        os.kill(victim.pid, sign)
        return chance.uniform(0.1, 8.0) if sign is signal.SIGSTOP else chance.uniform(0.1, 1.0)

    def mend(self) -> None:
        """Let the stopped go on, and replace the dead."""
        for process in list(self._running):
            os.kill(process.pid, signal.SIGCONT)
            if process.poll() is not None:
                self._running.remove(process)
                self.start()

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


async def load(feeder: Feeder, sent: Counter[tuple[str, str]], stop: asyncio.Event, chance: random.Random) -> None:
    """Requests without end, announced twice now and then; operators who pause and resume."""
    while not stop.is_set():
        flag = chance.choice(FLAGS)
        if chance.random() < 0.03:
            await feeder.command(flag, chance.choice(("pause", "resume")))
            continue
        outcomes = {"ok": chance.randint(1, 50), "error": chance.randint(0, 3)}
        await feeder.requests(flag, **outcomes)
        for outcome, count in outcomes.items():
            sent[flag, outcome] += count


def totals(reader: Reader) -> Counter[tuple[str, str]]:
    """What the newest status of each flag counted."""
    newest = {record.key: record.value for record in reader.of("rollouts")}
    counted: Counter[tuple[str, str]] = Counter()
    for value in newest.values():
        status = decode_status(value)
        for name, count in status.totals.items():
            if ":" in name:
                counted[status.state.flag, name.split(":")[1]] += count
    return counted


def check_versions(reader: Reader) -> None:
    """What a reader obeys, ignoring what is not newer, is a growing row in which no version says two things."""
    said: dict[tuple[bytes, int], bytes] = {}
    for record in reader.of("flags"):
        if record.key == b"_beat":
            continue
        version = msgspec.json.decode(record.value)["metadata"]["version"]
        assert said.setdefault((record.key, version), record.value) == record.value, "one version, two documents"


@pytest.mark.kafka
def test_killed_and_stopped_under_load_decide_counts_everything_once(kafka: ApacheKafka, tmp_path: Path) -> None:
    async def test() -> None:
        settings = settings_for(kafka, "kill", partitions=PARTITIONS)
        chance = random.Random(SEED)
        fleet = Fleet(settings, tmp_path / "decide.log")
        sent: Counter[tuple[str, str]] = Counter()
        stop = asyncio.Event()
        async with feeding(settings) as feeder, reading(settings, "flags", "rollouts", "decisions") as reader:
            try:
                fleet.start()
                fleet.start()
                for flag in FLAGS:
                    await feeder.command(flag, "apply", spec_of(flag))
                    await feeder.command(flag, "start")
                loading = asyncio.create_task(load(feeder, sent, stop, chance))
                await eventually(lambda: len({each.key for each in reader.of("rollouts")}) == len(FLAGS))
                end = asyncio.get_running_loop().time() + LOAD_SECONDS
                while (left := end - asyncio.get_running_loop().time()) > 0:
                    await asyncio.wait([loading], timeout=min(left, chance.uniform(0.5, 5.0)))
                    await asyncio.wait([loading], timeout=fleet.fault(chance))
                    fleet.mend()
                stop.set()
                await loading
                await feeder.client.flush()
                wanted = +sent
                await eventually(lambda: totals(reader) == wanted or no_more(totals(reader), wanted))
                assert totals(reader) == wanted
                check_versions(reader)
                check_decisions(reader, feeder)
                assert fleet.faults.total() >= 4
            finally:
                fleet.end()

    run(test)


def no_more(counted: Counter[tuple[str, str]], wanted: Counter[tuple[str, str]]) -> bool:
    """Something was counted twice: waiting longer cannot mend it."""
    return any(count > wanted[key] for key, count in counted.items())


def check_decisions(reader: Reader, feeder: Feeder) -> None:
    """Each id says one thing however often it was written, and every command was answered once."""
    said: dict[str, bytes] = {}
    for record in reader.of("decisions"):
        decision = decode_decision(record.value)
        assert said.setdefault(decision.id, record.value) == record.value, "one id, two decisions"
    answers = Counter(decode_decision(value).command_id for value in said.values())
    del answers[""]
    assert answers == feeder.commands, "a command was lost or answered twice"


def test_flags_of_the_kill_test_are_spread_over_all_partitions() -> None:
    assert {partition_of(flag, PARTITIONS) for flag in FLAGS} == set(range(PARTITIONS))
