"""What guardian has said so far: the statuses of all rollouts, read once, or a clear word why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from guardian.cli.specs import file_hint
from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.core.outputs import RolloutStatus
from guardian.core.text import duration_text
from guardian.core.words import Phase
from guardian.errors import DecodeError, GuardianError
from guardian.kafka.clients import Client, read_newest, running, transport_error
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
        super().__init__(f"no rollout of a flag {flag!r}", file_hint(flag) or fix)


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


_OVER: Final = (Phase.DRAFT, Phase.ARCHIVED)
STALE_MS: Final = 35_000
"""A status that is older than the newest by more says nothing of now; evidence that is older is blind."""


@dataclass(frozen=True)
class Present:
    """What stands on the compacted topics now.

    Args:
        statuses: the newest status of every rollout, by flag, in alphabetical order.
        unreadable: flags whose status this version cannot read.
        beat_age_s: seconds since the last beat of the partition that has been silent longest; None before any beat,
            and when serve was asked, which speaks of it in `doubts`.
        doubts: why the statuses may be old.
    """

    statuses: dict[str, RolloutStatus]
    unreadable: list[str]
    beat_age_s: float | None
    doubts: list[str] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """Return what a person who reads the statuses must know about them."""
        found = [*self.doubts, *self._blindness()]
        if self.unreadable:
            found.append(f"written by another version, not shown: {', '.join(self.unreadable[:10])}")
        return found

    def _blindness(self) -> list[str]:
        """What the newest statuses say about the evidence: a status is written when something changes."""
        alive = [one for one in self.statuses.values() if one.state.phase not in _OVER]
        newest_ms = max((one.updated_ms for one in alive), default=0)
        current = [one for one in alive if newest_ms - one.updated_ms < STALE_MS]
        what = "nothing is promoted, triggers miss what happens; guardian doctor says what is missing"
        if blind := [one.state.flag for one in current if one.lag_ms < 0]:
            return [f"guardian is blind for {', '.join(blind[:10])}: {what}"]
        lag_ms = max((one.lag_ms for one in current), default=0)
        if lag_ms <= STALE_MS:
            return []
        return [f"the evidence is {duration_text(lag_ms // 1_000 * 1_000)} old: {what}"]


class Newest:
    """The newest of guardian.rollouts and of the beats on guardian.flags, as far as they were read.

    Args:
        settings: names the topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._rollouts = settings.topic("rollouts")
        self._statuses: dict[str, RolloutStatus] = {}
        self._unreadable: set[str] = set()
        self._beats_ms: dict[int, int] = {}

    def take(self, records: Iterable[ConsumerRecord]) -> None:
        """Take what a consumer has brought, in the order of each partition."""
        for record in records:
            if record.topic == self._rollouts:
                self._take_status(record)
            elif record.key == BEAT_KEY.encode():
                self._beats_ms[record.partition] = record.timestamp

    def present(self) -> Present:
        """Return what stands there now."""
        statuses = {flag: self._statuses[flag] for flag in sorted(self._statuses)}
        beats = self._beats_ms.values()
        age_s = max(time.time() - min(beats) / 1_000, 0.0) if beats else None
        return Present(statuses, sorted(self._unreadable), age_s, _doubts(age_s))

    def _take_status(self, record: ConsumerRecord) -> None:
        flag = (record.key or b"").decode(errors="replace")
        self._unreadable.discard(flag)
        self._statuses.pop(flag, None)
        if record.value is None:
            return
        try:
            self._statuses[flag] = decode_status(record.value)
        except DecodeError:
            self._unreadable.add(flag)


def _doubts(age_s: float | None) -> list[str]:
    """What the age of the last beat says about everything else."""
    if age_s is None:
        return ["no sign of guardian yet: is `guardian run` alive?"]
    if age_s > SILENT_BEATS * BEAT_SECONDS:
        silence = duration_text(round(age_s) * 1_000)
        return [f"guardian has been silent for {silence}: what stands here may be old; is `guardian run` alive?"]
    return []


async def read_present(settings: Settings) -> Present:
    """Return the newest status of every rollout, and how fresh they can be at all.

    Raises:
        TransportError: Kafka did not answer in time.
    """
    async with reaching(settings):
        found = await asyncio.gather(read_newest(settings, "rollouts"), read_newest(settings, "flags"))
    newest = Newest(settings)
    for records in found:
        newest.take(records.values())
    return newest.present()
