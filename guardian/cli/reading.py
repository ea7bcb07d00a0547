"""What guardian has said so far: the statuses of all rollouts, read once, or a clear word why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka.errors import KafkaError

from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.core.outputs import RolloutStatus
from guardian.core.text import duration_text
from guardian.errors import DecodeError, GuardianError
from guardian.kafka.clients import Client, read_compacted, read_newest, running, transport_error
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_status

T = TypeVar("T")

SILENT_BEATS = 3
"""So many missing beats, and a status may be old."""
REACH_S = 10.0
"""How long a command waits for Kafka before it says that nobody answers."""


class UnknownFlag(GuardianError):
    """Nobody applied a rollout of this name."""

    def __init__(self, flag: str, known: list[str]) -> None:
        names = ", ".join(known[:10]) + (" ..." if len(known) > 10 else "")
        fix = (
            f"known flags: {names}"
            if known
            else f"no rollout was applied yet: guardian init {flag}, then guardian apply"
        )
        super().__init__(f"no rollout of a flag {flag!r}", fix)


@asynccontextmanager
async def reaching(settings: Settings, within_s: float = REACH_S) -> AsyncIterator[None]:
    """Bound the work inside, and say in one clear sentence when Kafka does not answer.

    Args:
        settings: where Kafka is; named in the error.
        within_s: seconds that the work may take.

    Raises:
        TransportError: no answer within the time, or Kafka refused.
    """
    try:
        async with asyncio.timeout(within_s):
            yield
    except (KafkaError, TimeoutError, ConnectionError) as error:
        raise transport_error(error, settings) from error


@asynccontextmanager
async def reached(client: Client, settings: Settings) -> AsyncIterator[Client]:
    """Start a client within the time, and stop it whatever happens.

    Raises:
        TransportError: no answer within the time, or Kafka refused.
    """
    async with AsyncExitStack() as stack:
        async with reaching(settings):
            started = await stack.enter_async_context(running(client, settings))
        yield started


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part to its end."""
    return asyncio.run(work)


@dataclass(frozen=True)
class Present:
    """What stands on the compacted topics now.

    Args:
        statuses: the newest status of every rollout, by flag, in alphabetical order.
        unreadable: flags whose status this version cannot read.
        beat_age_s: seconds since the last beat of the partition that has been silent longest; None before any beat.
    """

    statuses: dict[str, RolloutStatus]
    unreadable: list[str]
    beat_age_s: float | None

    def warnings(self) -> list[str]:
        """Return what a person who reads the statuses must know about them."""
        found = []
        if self.beat_age_s is None:
            found.append("no sign of guardian yet: is `guardian run` alive?")
        elif self.beat_age_s > SILENT_BEATS * BEAT_SECONDS:
            silence = duration_text(round(self.beat_age_s) * 1_000)
            found.append(
                f"guardian has been silent for {silence}: what stands here may be old; is `guardian run` alive?"
            )
        if self.unreadable:
            found.append(f"written by another version, not shown: {', '.join(self.unreadable[:10])}")
        return found


async def read_statuses(settings: Settings) -> dict[str, RolloutStatus]:
    """Return the newest status of every rollout that this version can read, by flag, in alphabetical order.

    Raises:
        TransportError: Kafka did not answer in time.
    """
    return (await read_present(settings)).statuses


async def read_present(settings: Settings) -> Present:
    """Return the statuses, and how fresh they can be at all.

    Raises:
        TransportError: Kafka did not answer in time.
    """
    async with reaching(settings):
        newest, flags = await asyncio.gather(read_compacted(settings, "rollouts"), read_newest(settings, "flags"))
    statuses: dict[str, RolloutStatus] = {}
    unreadable: list[str] = []
    for key in sorted(newest):
        try:
            status = decode_status(newest[key].value)
            statuses[status.state.flag] = status
        except DecodeError:
            unreadable.append(key.decode(errors="replace"))
    beats_ms = [record.timestamp for (key, _), record in flags.items() if key == BEAT_KEY.encode()]
    beat_age_s = max(time.time() - min(beats_ms) / 1_000, 0.0) if beats_ms else None
    return Present(statuses, unreadable, beat_age_s)
