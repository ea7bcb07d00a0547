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
READY_LAG_RECORDS: Final = 5_000
"""Read models further behind than this are not what stands now."""
BODIES_AT_ONCE: Final = 4
"""Bodies that are taken apart at a time: a list of many tiny values needs forty times its size."""
BODIES_HELD: Final = 16
"""So many of the largest bodies have room in memory at a time, being read or waiting for their turn."""


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
        """Return why serve is not ready, as sentences; empty when it is."""
        reasons = []
        if self.follower.problem:
            reasons.append(self.follower.problem)
        elif self.follower.lag_records > READY_LAG_RECORDS:
            reasons.append(f"the read models are {self.follower.lag_records:,} records behind")
        if not self.board.live:
            reasons.append("the read models have not been read to their end yet")
        if not self.writer.is_ready:
            reasons.append("nothing can be written: the producer has not reached Kafka")
        return reasons + self._missing_beats()

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
        shown = ", ".join(str(number) for number in list(late)[:10]) + (", ..." if len(late) > 10 else "")
        longest = "" if None in late.values() else f" for {max(age or 0.0 for age in late.values()):.0f} s"
        return [f"decide has given no sign of life{longest}: partitions {shown} of {self.settings.partitions}"]


def build_site(settings: Settings) -> Site:
    """Return the parts of serve, none of them running yet."""
    hub, writer = Hub(), Writer(settings)
    desk = Desk(settings, writer)
    board = Board(hub, desk.on_decision)
    follower = Follower(settings, board)
    turns = asyncio.Semaphore(BODIES_AT_ONCE)
    room = Room(BODIES_HELD * settings.serve_body_bytes)
    letters = Letters(settings, hub)
    site = Site(settings, Access(settings), board, hub, desk, writer, follower, letters, turns, room)
    # Worked out when it is asked for, at whichever port: the silence grows while nothing happens.
    metrics.BEAT_AGE.set_function(site.beat_age_s)
    return site
