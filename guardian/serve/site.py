"""The parts of serve, put together once and handed to the routes."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from guardian.core.alerts import NO_FLAG
from guardian.core.events import BEAT_SECONDS
from guardian.kafka.settings import Settings
from guardian.serve import metrics
from guardian.serve.access import Access
from guardian.serve.asking import Desk
from guardian.serve.board import Board
from guardian.serve.bodies import Room
from guardian.serve.following import Follower
from guardian.serve.letters import Letters
from guardian.serve.streams import Hub
from guardian.serve.writing import Writer

FRESH_BEAT_S: Final = 3 * BEAT_SECONDS
BLIND_S: Final = 30.0
"""Guardian may be blind for so long before it is a reason: as it is while ingest moves to another process."""
READY_LAG_RECORDS: Final = 5_000
"""Read models further behind than this are not what stands now."""
BODIES_AT_ONCE: Final = 4
"""Bodies that are taken apart at a time: a list of many tiny values needs forty times its size."""
BODIES_HELD: Final = 16
"""So many of the largest bodies have room in memory at a time, being read or waiting for their turn."""

CLIENT_BODIES_HELD: Final = 4
"""Of them, those of one token or address."""


@dataclass(frozen=True)
class Site:
    """What the routes work with.

    Args:
        settings: the installation.
        access: who may do what.
        board: the read models.
        hub: the streams.
        desk: takes commands.
        writer: the way to Kafka.
        follower: fills the read models.
        letters: the latest dead letters.
        turns: limits the bodies that are taken apart at a time.
        room: limits what the bodies with events hold together.
    """

    settings: Settings
    access: Access
    board: Board
    hub: Hub
    desk: Desk
    writer: Writer
    follower: Follower
    letters: Letters
    turns: asyncio.Semaphore
    room: Room

    def not_ready(self) -> list[str]:
        """Return why guardian is not to be relied on now, as sentences; empty when all of it lives and sees."""
        return self.serve_problems() + self.guardian_problems()

    def guardian_problems(self) -> list[str]:
        """Return why guardian, apart from serve, does not do its work: decide is silent, or sees no evidence."""
        return self._missing_beats() + self._blind_partitions()

    def serve_problems(self) -> list[str]:
        """Return why serve itself can neither answer nor take commands."""
        reasons = []
        if self.follower.problem:
            reasons.append(self.follower.problem)
        elif self.follower.lag_records > READY_LAG_RECORDS:
            reasons.append(f"the read models are {self.follower.lag_records:,} records behind")
        if not self.board.live:
            reasons.append("the read models have not been read to their end yet")
        if not self.writer.is_ready:
            reasons.append("nothing can be written: the producer has not reached Kafka")
        return reasons

    def _blind_partitions(self) -> list[str]:
        """Which partitions have judged without evidence for too long: ingest is dead, stopped or far behind."""
        partitions = self.settings.partitions
        found = {
            number: (why, blind_s)
            for number, (why, blind_s) in self.board.blind_for_s().items()
            if blind_s > BLIND_S and number < partitions
        }
        if not found:
            return []
        longest_s = max(blind_s for _, blind_s in found.values())
        since = "" if math.isinf(longest_s) else f" for {longest_s:.0f} s"
        why = next(iter(found.values()))[0]
        return [
            f"guardian is blind{since}: {why}; no trigger that needs evidence fires, nothing is promoted"
            f" (partitions {_shown(list(found))} of {partitions})"
        ]

    def warnings(self) -> list[str]:
        """Return what guardian has against itself and goes on with: topics that are not read, records left out."""
        return [alert.text for alert in self.board.alerts.values() if alert.active and alert.flag == NO_FLAG]

    def beat_age_s(self) -> float:
        """Return how long ago the partition that has been silent longest gave a sign of life; infinite for never."""
        ages = self.board.beat_ages_s(self.settings.partitions)
        return max(math.inf if age_s is None else age_s for age_s in ages.values())

    def _missing_beats(self) -> list[str]:
        """Which partitions no decide worker gives signs of life for."""
        ages = self.board.beat_ages_s(self.settings.partitions)
        late = {number: age_s for number, age_s in ages.items() if age_s is None or age_s > FRESH_BEAT_S}
        if not late:
            return []
        longest = "" if None in late.values() else f" for {max(age or 0.0 for age in late.values()):.0f} s"
        return [
            f"decide has given no sign of life{longest}: partitions {_shown(list(late))} of {self.settings.partitions}"
        ]


def _shown(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")


def build_site(settings: Settings) -> Site:
    """Return the parts of serve, none of them running yet."""
    hub = Hub(settings.serve_streams, settings.serve_client_streams)
    writer = Writer(settings)
    desk = Desk(settings, writer)
    board = Board(hub, desk.on_decision, desk.on_status)
    follower = Follower(settings, board)
    turns = asyncio.Semaphore(BODIES_AT_ONCE)
    body_bytes = settings.serve_body_bytes
    room = Room(BODIES_HELD * body_bytes, CLIENT_BODIES_HELD * body_bytes, settings.serve_client_requests)
    letters = Letters(settings, hub)
    site = Site(settings, Access(settings), board, hub, desk, writer, follower, letters, turns, room)
    # Worked out when it is asked for, at whichever port: the silence grows while nothing happens.
    metrics.BEAT_AGE.set_function(site.beat_age_s)
    return site
