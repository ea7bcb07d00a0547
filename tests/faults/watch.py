"""When work went on: the moments at which something new was applied, by partition, on the records' own timestamps."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from aiokafka import ConsumerRecord

from guardian.core.inputs import Batch
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.wire.inputs import decode_payload
from guardian.wire.outputs import decode_status
from tests.faults.topics import Topics

WATCHED = ("telemetry", "migrations")


class Lane(NamedTuple):
    """What is watched: a source partition for ingest, an input partition for decide."""

    role: str
    place: str


class Pause(NamedTuple):
    """A time without anything new.

    Args:
        began_s, ended_s: seconds since the epoch.
    """

    began_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended_s - self.began_s


def longest_pause(moments: Sequence[float], from_s: float, to_s: float) -> Pause:
    """Return the longest time between two moments.

    Args:
        moments: seconds since the epoch, rising.
        from_s: a pause counts from here at the earliest.
        to_s: a pause that begins before counts to its end.
    """
    later = [from_s, *moments[bisect_left(moments, from_s) :]]
    pauses = [Pause(begin, after) for begin, after in pairwise(later) if begin <= to_s]
    return max(pauses, key=lambda pause: pause.seconds, default=Pause(from_s, from_s))


class Watch:
    """Follows what guardian writes, for the length of `async with`.

    Args:
        settings: the installation.
    """

    def __init__(self, settings: Settings) -> None:
        self.rollouts: list[ConsumerRecord] = []
        self.decisions: list[ConsumerRecord] = []
        self.moments: dict[Lane, list[float]] = defaultdict(list)
        """Seconds since the epoch, rising."""
        self.lanes = {Lane("decide", str(number)) for number in range(settings.partitions)}
        for name in WATCHED:
            self.lanes |= {Lane("ingest", f"{settings.topic(name)}/{n}") for n in range(settings.source_partitions)}
        self._settings = settings
        self._topics = Topics(settings, "inputs", "rollouts", "decisions")
        self._newest: dict[Lane, int] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        await self._topics.__aenter__()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._topics.__aexit__()

    def all_since(self, role: str, since_s: float) -> bool:
        """Return whether every lane of a role has applied something since."""
        return all(self.moments[lane][-1:] > [since_s] for lane in self.lanes if lane.role == role)

    def pause(self, role: str, from_s: float, to_s: float) -> Pause:
        """Return the longest time without anything new in a lane of a role.

        Args:
            role: whose lanes.
            from_s: when the fault struck.
            to_s: when the next one struck.
        """
        pauses = (longest_pause(self.moments[lane], from_s, to_s) for lane in self.lanes if lane.role == role)
        return max(pauses, key=lambda pause: pause.seconds)

    async def _follow(self) -> None:
        while True:
            for record in await self._topics.read():
                self._take(record)

    def _take(self, record: ConsumerRecord) -> None:
        name = record.topic.rpartition(".")[2]
        if name == "decisions":
            self.decisions.append(record)
        elif name == "rollouts":
            self.rollouts.append(record)
            status = decode_status(record.value)
            place = partition_of(status.state.flag, self._settings.partitions)
            self._note(Lane("decide", str(place)), status.updated_ms, record)
        elif isinstance(batch := decode_payload(record.value), Batch):
            self._note(Lane("ingest", f"{batch.source.topic}/{batch.source.partition}"), batch.end, record)

    def _note(self, lane: Lane, reached: int, record: ConsumerRecord) -> None:
        """Only what goes beyond all before it is new: repetitions are no progress."""
        if reached > self._newest.get(lane, -1):
            self._newest[lane] = reached
            moment_s = record.timestamp / 1_000
            self.moments[lane].append(max([moment_s, *self.moments[lane][-1:]]))
