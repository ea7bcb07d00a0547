"""Applications and operators: a steady flow of events to every source partition, and commands in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from guardian.core.inputs import Actor, Command
from guardian.errors import TransportError
from guardian.kafka.clients import producer, running
from guardian.kafka.settings import Settings
from guardian.wire.commands import encode_command

FLAGS = [f"flag-{number:02d}" for number in range(24)]
KNOWN_AFTER = 50
"""Cycles in which migration events name their flag beside the component. Whose a component is, each ingest process
learns by following guardian.rollouts, maybe a moment after we have read there that it is declared."""
CYCLE_S = 0.1
"""Every source partition gets a batch this often."""
MIGRATIONS = 6
"""Migration events in one batch."""
OUTCOMES = (*("ok",) * 960, *("error",) * 30, *("timeout",) * 8, "hang", "crash")
MIGRATION_TYPES = ("success", "success", "failure", "fallback")
COMMANDS = ("pause", "resume", "promote", "kill", "unkill", "unkill", "rollback", "resolve", "start", "start", "start")
COMMAND_CHANCE = 0.3
"""Of a cycle to carry a command; every tenth of them is for all flags."""


def spec_of(flag: str) -> dict[str, Any]:
    """Return a rollout that moves: it is promoted by itself after seconds, and goes back at the third crash."""
    bake = "4s" if int(flag[-2:]) % 2 else "1h"
    return {
        "flag": flag,
        "components": [f"component-of-{flag}"],
        "steps": [{"name": f"step-{at}", "weight": f"{at}%", "bake": bake} for at in (5, 25, 50, 100)],
        "triggers": [{"when": "crash_count > 2 per step", "do": "rollback"}],
        "rollback": {"to": "zero"},
    }


class Load:
    """What comes from outside. What really arrived is read from the topics afterwards, never taken from here.

    Args:
        settings: the installation.
        chance: decides who sends what.
        rate: telemetry events per second.
    """

    def __init__(self, settings: Settings, chance: random.Random, rate: int) -> None:
        self.failed = 0
        """Sends that Kafka did not confirm; they may have arrived."""
        self.confirmed: list[float] = []
        """When Kafka had taken events for every source partition, in seconds since the epoch."""
        self._settings, self._chance = settings, chance
        self._size = max(1, int(rate * CYCLE_S / settings.source_partitions))
        self._numbers = itertools.count(1)
        self._cycles = 0
        self._end = asyncio.Event()

    async def declare(self) -> None:
        """Apply and start every rollout."""
        async with running(producer(self._settings), self._settings) as client:
            for flag in FLAGS:
                await self._command(client, "apply", flag, spec_of(flag))
                await self._command(client, "start", flag)

    def end(self) -> None:
        """Let `run` come to its end."""
        self._end.set()

    async def run(self) -> None:
        """Send until told to end; a producer that failed is replaced."""
        while not self._end.is_set():
            try:
                async with running(producer(self._settings), self._settings) as client:
                    await self._send_on(client)
            except (KafkaError, TransportError, TimeoutError, OSError):
                self.failed += 1
                await self._pause(CYCLE_S)

    async def _send_on(self, client: AIOKafkaProducer) -> None:
        due_s = time.monotonic()
        while not self._end.is_set():
            sends = [
                self._send(client, name, number, self._events(name))
                for name in ("telemetry", "migrations")
                for number in range(self._settings.source_partitions)
            ]
            if self._chance.random() < COMMAND_CHANCE:
                flag = "*" if self._chance.random() < 0.02 else self._chance.choice(FLAGS)
                word = self._chance.choice(("pause", "resume")) if flag == "*" else self._chance.choice(COMMANDS)
                sends.append(self._command(client, word, flag))
            # Each comes to its end before one of them is raised.
            for result in await asyncio.gather(*sends, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            self.confirmed.append(time.time())
            self._cycles += 1
            due_s = max(due_s + CYCLE_S, time.monotonic())
            await self._pause(due_s - time.monotonic())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._end.wait(), max(0.0, seconds))

    async def _send(self, client: AIOKafkaProducer, name: str, partition: int, values: Sequence[bytes]) -> None:
        batch = client.create_batch()
        for value in values:
            batch.append(key=None, value=value, timestamp=None)
        await (await client.send_batch(batch, self._settings.topic(name), partition=partition))

    def _events(self, name: str) -> list[bytes]:
        choice, now_s = self._chance.choice, time.time()
        if name == "migrations":
            return [self._migration(now_s, choice(FLAGS), choice(MIGRATION_TYPES)) for _ in range(MIGRATIONS)]
        text = '{"ts":%.3f,"flag":"%s","variant":"%s","outcome":"%s","latency_ms":5.5,"service":"shop-%s"}'
        return [
            (text % (now_s, choice(FLAGS), choice(("on", "off")), choice(OUTCOMES), choice("ab"))).encode()
            for _ in range(self._size)
        ]

    def _migration(self, now_s: float, flag: str, kind: str) -> bytes:
        named = f'"flag":"{flag}",' if self._cycles < KNOWN_AFTER else ""
        text = '{"ts":%.3f,%s"component":"component-of-%s","event_type":"%s","duration":0.01}'
        return (text % (now_s, named, flag, kind)).encode()

    async def _command(
        self, client: AIOKafkaProducer, word: str, flag: str, spec: dict[str, Any] | None = None
    ) -> None:
        given = Command(f"{word}-{flag}-{next(self._numbers)}", word, flag, Actor("faults"), ts=time.time(), spec=spec)
        message = encode_command(given)
        await client.send_and_wait(
            self._settings.topic("commands"), message.value, key=message.key, headers=message.headers
        )
