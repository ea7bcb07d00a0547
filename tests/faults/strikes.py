"""The faults: what is done, to whom, at moments that a seed decides."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from guardian.kafka.apache import ApacheKafka
from tests.eventually import eventually
from tests.faults.fleet import Fleet

FROZEN_S = (7.5, 11.0)
"""Longer than a session lasts: the group gives the partitions to others, and a zombie wakes."""
UP_WITHIN_S = 90.0
ROLES = ("ingest", "decide")


class Strike(NamedTuple):
    """One thing that was done.

    Args:
        what: for the progress lines.
        roles: whose work it interrupts.
        at_s: when, in seconds since the epoch.
    """

    what: str
    roles: tuple[str, ...]
    at_s: float

    @property
    def is_of_broker(self) -> bool:
        """Whether Kafka itself is away after it."""
        return self.roles == ROLES


@dataclass
class Scene:
    """What a fault may touch.

    Args:
        fleets: by role.
        broker: the broker.
        chance: decides moments and victims.
        let_pass: lets seconds pass while the load goes on.
        struck: what was done so far.
        ends: processes that were asked to end.
    """

    fleets: dict[str, Fleet]
    broker: ApacheKafka
    chance: random.Random
    let_pass: Callable[[float], Awaitable[None]]
    struck: list[Strike] = field(default_factory=list)
    ends: list[asyncio.Task[None]] = field(default_factory=list)

    def strike(self, what: str, *roles: str) -> None:
        """Take note of a fault, right before it is done."""
        self.struck.append(Strike(what, roles, time.time()))


Act = Callable[[Scene, str], Awaitable[None]]
"""Does one thing to a role, and mends it."""


async def kill(scene: Scene, role: str) -> None:
    """kill -9; after a moment another process takes its place."""
    fleet = scene.fleets[role]
    victim = fleet.any(scene.chance)
    scene.strike(f"kill -9 of {role} {victim.pid}", role)
    fleet.kill(victim)
    await scene.let_pass(scene.chance.uniform(0.1, 2.0))
    fleet.start()


async def freeze(scene: Scene, role: str) -> None:
    """SIGSTOP until the group has given its partitions away, then SIGCONT: a zombie."""
    victim = scene.fleets[role].any(scene.chance)
    frozen_s = scene.chance.uniform(*FROZEN_S)
    scene.strike(f"SIGSTOP of {role} {victim.pid} for {frozen_s:.1f} s", role)
    victim.send_signal(signal.SIGSTOP)
    try:
        await scene.let_pass(frozen_s)
    finally:
        victim.send_signal(signal.SIGCONT)


async def term(scene: Scene, role: str) -> None:
    """SIGTERM; another process comes before or after the end of the first."""
    fleet = scene.fleets[role]
    victim = fleet.any(scene.chance)
    scene.strike(f"SIGTERM of {role} {victim.pid}", role)
    scene.ends.append(fleet.ask_to_end(victim))
    await scene.let_pass(scene.chance.uniform(0.1, 2.0))
    fleet.start()


async def join(scene: Scene, role: str) -> None:
    """One more process; it is up before anything else is done, and may then still be joining."""
    fleet = scene.fleets[role]
    scene.strike(f"one more {role}", role)
    fleet.start()
    await eventually(lambda: fleet.is_up(fleet.running[-1]), UP_WITHIN_S)


async def leave(scene: Scene, role: str) -> None:
    """One process less, whichever."""
    fleet = scene.fleets[role]
    victim = fleet.any(scene.chance)
    scene.strike(f"{role} {victim.pid} leaves", role)
    scene.ends.append(fleet.ask_to_end(victim))


async def stop_broker(scene: Scene, role: str) -> None:
    """The broker ends in good order and comes back on the same ports with the same records."""
    scene.strike("broker stopped", *ROLES)
    await scene.broker.stop()
    await scene.let_pass(scene.chance.uniform(0.0, 5.0))
    await scene.broker.start()


async def kill_broker(scene: Scene, role: str) -> None:
    """kill -9 of the broker; it comes back on the same ports with the same records."""
    scene.strike("kill -9 of the broker", *ROLES)
    scene.broker.kill()
    await scene.let_pass(scene.chance.uniform(0.0, 5.0))
    await scene.broker.start()


class Fault(NamedTuple):
    """A line of the table.

    Args:
        name: as `--only` takes it.
        acts: what one round does, in this order, each to its role.
        first: how many processes of each role there are at the beginning.
        shuffled: whether the order is left to chance.
        overlap: the chance that the next fault strikes before the work goes on after the last one.
    """

    name: str
    acts: tuple[tuple[Act, str], ...]
    first: int = 2
    shuffled: bool = False
    overlap: float = 0.25


def _of_both_roles() -> list[Fault]:
    faults = []
    for role in ROLES:
        joins = ((join, role), (join, role), (leave, role), (leave, role))
        faults += [
            Fault(f"kill-{role}", ((kill, role),) * 3),
            Fault(f"freeze-{role}", ((freeze, role),) * 2),
            Fault(f"term-{role}", ((term, role),) * 3),
            Fault(f"join-leave-{role}", joins, first=1),
        ]
    return faults


MIXED = tuple((act, role) for act in (kill, freeze, term) for role in ROLES)
FAULTS = {
    fault.name: fault
    for fault in [
        *_of_both_roles(),
        Fault("stop-broker", ((stop_broker, ""),)),
        Fault("kill-broker", ((kill_broker, ""),)),
        Fault("mixed", (*MIXED, (stop_broker, "")), shuffled=True),
    ]
}
"""By name, in the order of the table."""
SHORT = Fault(
    "short",
    ((kill, "ingest"), (kill, "decide"), (freeze, "decide"), (term, "ingest")),
    shuffled=True,
    overlap=1.0,
)
"""What `make test` does: one blow upon the other."""
