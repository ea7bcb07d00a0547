"""One round: guardian's processes under load, faults at random moments, and afterwards the accounts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.settings import Settings, load_settings
from tests.eventually import eventually
from tests.faults.fleet import Fleet
from tests.faults.judge import Sent, Verdict, answered, counted, judge, read_sent
from tests.faults.load import FLAGS, Load
from tests.faults.resuming import Resumed, resumptions
from tests.faults.strikes import ROLES, Fault, Scene
from tests.faults.watch import Watch

PARTITIONS, SOURCE_PARTITIONS = 6, 4
BEGIN_WITHIN_S = 90.0
RESUME_WITHIN_S = 120.0
DRAIN_WITHIN_S = 90.0

Say = Callable[[str], None]


@dataclass
class Round:
    """What came of one round.

    Args:
        fault: its name.
        number: from 1.
        verdict: lost, doubled, problems.
        resumed: how the work went on after each fault that struck.
        took_s: how long it all took.
    """

    fault: str
    number: int
    verdict: Verdict = field(default_factory=Verdict)
    resumed: list[Resumed] = field(default_factory=list)
    took_s: float = 0.0


class Spoiled(Exception):
    """The round cannot go on."""


class Player:
    """Plays one round of a fault.

    Args:
        broker: a started broker, which the fault may take away.
        folder: for what the processes print; not there yet.
        seed: decides everything that is left to chance.
        say: is told what happens.
    """

    def __init__(self, broker: ApacheKafka, folder: Path, seed: str, say: Say) -> None:
        folder.mkdir(parents=True)
        self._settings: Settings = load_settings(
            environ={},
            bootstrap=broker.bootstrap,
            prefix=folder.name,
            partitions=PARTITIONS,
            source_partitions=SOURCE_PARTITIONS,
        )
        self._chance, self._say = random.Random(seed), say
        # Of its own, so that the moments of the faults do not depend on how much was sent.
        self._load = Load(self._settings, random.Random(f"{seed}/load"), RATE)
        fleets = {role: Fleet(role, self._settings, folder) for role in ROLES}
        self._scene = Scene(fleets, broker, self._chance, self._let_pass)
        self._loading: asyncio.Task[None] | None = None

    async def play(self, fault: Fault, number: int) -> Round:
        """Play the round to its end; a failure is in its verdict, never raised."""
        began_s = time.monotonic()
        played = Round(fault.name, number)
        try:
            await self._play(fault, played)
        except Exception as error:
            played.verdict.problems.append(f"{type(error).__name__}: {error}")
        finally:
            if self._loading is not None:
                self._load.end()
                await asyncio.wait({self._loading})
            for fleet in self._scene.fleets.values():
                fleet.destroy()
                played.verdict.problems += fleet.problems
        played.took_s = time.monotonic() - began_s
        return played

    async def _play(self, fault: Fault, played: Round) -> None:
        await create_topics(self._settings)
        async with Watch(self._settings) as watch:
            for fleet in self._scene.fleets.values():
                for _ in range(fault.first):
                    fleet.start()
            await self._load.declare()
            await eventually(lambda: self._declared(watch), BEGIN_WITHIN_S)
            self._loading = asyncio.create_task(self._load.run())
            await self._resumed(watch, ROLES, time.time())
            await self._strike(fault, watch)
            played.resumed = resumptions(self._scene.struck, watch.pause, self._load.confirmed, time.time())
            for strike, resumed in zip(self._scene.struck, played.resumed, strict=True):
                logs = [log for role in strike.roles for log in self._scene.fleets[role].logs]
                self._say(f"{strike.what}: {resumed.told(logs)}")
            sent = await self._drained(watch)
            await asyncio.gather(*self._scene.ends, *(fleet.end() for fleet in self._scene.fleets.values()))
        # Read after the processes have ended: what they write in their last moments counts too.
        played.verdict = await judge(self._settings, sent)

    async def _strike(self, fault: Fault, watch: Watch) -> None:
        acts = list(fault.acts)
        if fault.shuffled:
            self._chance.shuffle(acts)
        for at, (act, role) in enumerate(acts):
            await self._let_pass(self._chance.uniform(0.5, 4.0))
            # All that is left to chance is drawn whether it is used or not: a round can then be repeated.
            overlaps = self._chance.random() < fault.overlap and at + 1 < len(acts)
            # Taking the last that works while its replacement starts would measure how fast Python starts.
            await eventually(lambda: all(fleet.all_up for fleet in self._scene.fleets.values()), BEGIN_WITHIN_S)
            await act(self._scene, role)
            if not overlaps:
                await self._resumed(watch, self._scene.struck[-1].roles, time.time())
            strike = self._scene.struck[-1]
            self._say(f"{strike.what}{', the next before it is over' if overlaps else ': work goes on'}")
        await self._resumed(watch, ROLES, time.time())

    async def _resumed(self, watch: Watch, roles: tuple[str, ...], since_s: float) -> None:
        """Wait until every partition of these roles has moved on."""
        for role in roles:

            def moves(role: str = role) -> bool:
                self._look()
                return watch.all_since(role, since_s)

            await eventually(moves, RESUME_WITHIN_S)

    async def _drained(self, watch: Watch) -> Sent:
        """End the load and wait until everything is counted, or something was counted twice."""
        self._load.end()
        if self._loading is not None:
            await self._loading
        sent = await read_sent(self._settings)
        wanted = sent.counts + sent.answers
        self._say(f"{wanted.total():,} events and commands in the topics, {self._load.failed} sends not confirmed")

        def done() -> bool:
            found = counted(watch.rollouts) + answered(watch.decisions)
            return not wanted - found

        try:
            await eventually(done, DRAIN_WITHIN_S)
        except AssertionError:
            self._say(f"not everything was counted within {DRAIN_WITHIN_S:.0f} s")
        return sent

    def _declared(self, watch: Watch) -> bool:
        self._look()
        return len({record.key for record in watch.rollouts}) == len(FLAGS)

    async def _let_pass(self, seconds: float) -> None:
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=seconds)
        self._look()

    def _look(self) -> None:
        """Neither the load nor a process may end unasked."""
        if self._loading is not None and self._loading.done():
            self._loading.result()
        for fleet in self._scene.fleets.values():
            fleet.look()
            if fleet.problems:
                raise Spoiled("the round is given up: somebody ended who should not have")


RATE = 2_000
"""Telemetry events per second."""
