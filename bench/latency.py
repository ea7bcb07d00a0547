"""From producing the deciding bad event to the SDK's changed answer, on real Kafka: `python -m bench.latency`.

Ingest, ingest's second loop and decide are processes of their own; the SDK runs here, in the bench, like in an
application. Every flag is applied and started first; then one crash event each, paced, ends its rollout. The time runs
from just before the producer's `send` to the moment at which OpenFeature's client, asked in the SDK's own notification,
answers differently. The way is split by the timestamps that Kafka keeps of each record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

from guardian.core.inputs import Actor, Batch, Command
from guardian.decide.loop import run_decide
from guardian.errors import DecodeError
from guardian.ingest.loop import run_ingest
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import follow, producer, read_compacted, running
from guardian.kafka.settings import Settings, load_settings
from guardian.sdk import GuardianProvider
from guardian.wire.commands import encode_command
from guardian.wire.inputs import decode_payload

CACHE = Path(__file__).parents[1] / ".cache" / "kafka"
GOAL_MEDIAN_MS = 100.0
GOAL_P99_MS = 500.0
ROLLBACKS = 240
QUICK_ROLLBACKS = 80
MEAN_PAUSE_S = 0.1
READY_WITHIN_S = 60.0
FLIP_WITHIN_S = 10.0
SUBJECT = EvaluationContext("u-102938")
ROLES: dict[str, Callable[[Settings, asyncio.Event], Awaitable[None]]] = {
    "ingest": lambda settings, stop: run_ingest(settings, kind="telemetry", stop=stop),
    "commands": lambda settings, stop: run_ingest(settings, kind="commands", stop=stop),
    "decide": lambda settings, stop: run_decide(settings, stop=stop),
}


@dataclass
class Flips:
    """Where each rollback is: times of this machine's clock, in seconds."""

    sent: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def hear(self, details: EventDetails) -> None:
        """In the SDK's notification: ask like an application, and note when the answer is another one."""
        client = api.get_client()
        for flag in details.flags_changed or ():
            answer = client.get_boolean_details(flag, False, SUBJECT)
            now = time.time()
            if answer.value:
                self.versions[flag] = int(str(answer.flag_metadata["flag_version"]))
            elif flag in self.sent:
                self.answered.setdefault(flag, now)


def spec_of(flag: str) -> dict[str, Any]:
    return {
        "flag": flag,
        "steps": [{"name": "full", "weight": "100%", "bake": "1h"}],
        "triggers": [{"when": "crash_count > 0 per step", "do": "rollback"}],
        "rollback": {"to": "zero"},
    }


@asynccontextmanager
async def processes(settings: Settings) -> Any:
    """The stages, each a process of its own."""
    words = [sys.executable, "-m", "bench.latency", "--prefix", settings.prefix, "--bootstrap", settings.bootstrap]
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(CACHE.parent / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    running_now = [subprocess.Popen([*words, "--role", role], env=environ) for role in ROLES]
    try:
        yield
    finally:
        for process in running_now:
            process.terminate()
        for process in running_now:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


async def until(condition: Callable[[], bool], what: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {within_s:.0f} s: {what}")
        await asyncio.sleep(0.05)


async def roll_back(settings: Settings, flags: list[str], flips: Flips) -> None:
    """Start every flag, then crash one after the other."""
    chance = random.Random(1)
    async with running(producer(settings, linger_ms=0), settings) as client:
        for flag in flags:
            for number, word in enumerate(("apply", "start")):
                spec = spec_of(flag) if word == "apply" else None
                command = Command(f"{flag}-{number}", word, flag, Actor("bench"), ts=time.time(), spec=spec)
                message = encode_command(command)
                await client.send(settings.topic("commands"), message.value, key=message.key)
        await until(lambda: len(flips.versions) == len(flags), "every flag is on in the SDK", READY_WITHIN_S)
        await asyncio.sleep(2.0)  # what the start has left to do is not part of the way
        for flag in flags:
            event = {
                "ts": time.time(),
                "flag": flag,
                "variant": "on",
                "outcome": "crash",
                "assignment": "split",
                "flag_version": flips.versions[flag],
                "service": "bench",
            }
            flips.sent[flag] = time.time()
            await client.send(settings.topic("telemetry"), json.dumps(event).encode(), key=flag.encode())
            await asyncio.sleep(chance.expovariate(1 / MEAN_PAUSE_S))
        await until(lambda: len(flips.answered) == len(flags), "every flag is off in the SDK", FLIP_WITHIN_S)


async def places(settings: Settings, flips: Flips) -> dict[str, list[float]]:
    """Split each way by the timestamps of its records, in milliseconds."""
    logged: dict[str, int] = {}

    async def read_inputs() -> None:
        async for record in follow(settings, ["inputs"], from_beginning=True):
            with suppress(DecodeError):
                payload = decode_payload(record.value)
                for cell in payload.cells if isinstance(payload, Batch) else ():
                    logged.setdefault(cell.flag, record.timestamp)
            if len(logged) == len(flips.sent):
                return

    await asyncio.wait_for(read_inputs(), FLIP_WITHIN_S)
    changed = {
        key.decode(): record.timestamp
        for key, record in (await read_compacted(settings, "flags")).items()
        if not msgspec.json.decode(record.value).get("targeting")
    }
    return {
        "event_to_inputs": [logged[flag] - sent * 1e3 for flag, sent in flips.sent.items()],
        "inputs_to_flags": [float(changed[flag] - logged[flag]) for flag in flips.sent],
        "flags_to_sdk": [flips.answered[flag] * 1e3 - changed[flag] for flag in flips.sent],
    }


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "max_ms": round(ordered[-1], 1),
    }


async def measure(rollbacks: int) -> dict[str, Any]:
    flags = [f"bench-{number}" for number in range(rollbacks)]
    flips = Flips()
    async with ApacheKafka(CACHE) as kafka:
        settings = load_settings(environ={}, bootstrap=kafka.bootstrap, prefix="bench")
        await create_topics(settings)
        async with processes(settings):
            provider = GuardianProvider(settings.bootstrap, settings.prefix)
            api.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, flips.hear)
            await asyncio.to_thread(api.set_provider_and_wait, provider)
            try:
                await roll_back(settings, flags, flips)
                parts = await places(settings, flips)
            finally:
                await asyncio.to_thread(api.shutdown)
    whole = summary([(flips.answered[flag] - sent) * 1e3 for flag, sent in flips.sent.items()])
    return {
        "rollbacks": len(flips.answered),
        **whole,
        "goal_median_ms": GOAL_MEDIAN_MS,
        "goal_p99_ms": GOAL_P99_MS,
        "met": whole["median_ms"] < GOAL_MEDIAN_MS and whole["p99_ms"] < GOAL_P99_MS,
        "parts": {name: summary(values) for name, values in parts.items()},
    }


def show(found: dict[str, Any]) -> None:
    print(f"\nbad event to flipped SDK, real Kafka, crash trigger, {found['rollbacks']} rollbacks")
    print(f"{'':18}{'median':>10}{'p99':>10}{'max':>10}")
    for name, row in {"whole way": found, **found["parts"]}.items():
        print(f"{name:18}" + "".join(f"{row[key]:>7.1f} ms" for key in ("median_ms", "p99_ms", "max_ms")))
    print(f"{'goal':18}{GOAL_MEDIAN_MS:>7.1f} ms{GOAL_P99_MS:>7.1f} ms   {'met' if found['met'] else 'NOT met'}")


async def play(role: str, bootstrap: str, prefix: str) -> None:
    import signal

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await ROLES[role](load_settings(environ={}, bootstrap=bootstrap, prefix=prefix), stop)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--quick", action="store_true", help=f"{QUICK_ROLLBACKS} rollbacks, under 45 s")
    words.add_argument("--json", action="store_true", help="one JSON object as the last line")
    words.add_argument("--rollbacks", type=int, help="how many")
    words.add_argument("--role", choices=sorted(ROLES), help=argparse.SUPPRESS)
    words.add_argument("--bootstrap", help=argparse.SUPPRESS)
    words.add_argument("--prefix", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.role:
        asyncio.run(play(given.role, given.bootstrap, given.prefix))
        return
    found = asyncio.run(measure(given.rollbacks or (QUICK_ROLLBACKS if given.quick else ROLLBACKS)))
    show(found)
    if given.json:
        print(json.dumps({"bench": "latency", "quick": given.quick, **found}))


if __name__ == "__main__":
    main()
