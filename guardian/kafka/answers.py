"""Who must answer a command, and who has: decisions are gathered until everybody has spoken and the statuses say so.

A sender reads its own writes: what was answered is on guardian.rollouts before the answer is handed out, so the next
command, which may come from another process, is not refused for a status that was older than the answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from guardian.core.inputs import Command
from guardian.core.outputs import Decision
from guardian.core.words import ALL_FLAGS, Reason

LATE_S: Final = 0.2
"""The flags' answers and their partition's stand in different partitions: so long they are waited for at the end."""
SHOWN_WITHIN_S: Final = 5.0
"""How long an answer is held back until the status shows it; it is written in the same fold, milliseconds later."""


class Gathering:
    """The answers to one command.

    A flag answers for itself. A command for all is answered by every partition, after the flags that it holds.
    `release` is of partitions alone: those that it changed something in are told.

    Args:
        command: what was sent.
        partitions: how many partitions the topics keyed by flag have.
    """

    def __init__(self, command: Command, partitions: int) -> None:
        self.command = command
        self._partitions = partitions
        self._for_all = command.flag == ALL_FLAGS
        self._flags: dict[tuple[str, int], Decision] = {}
        self._answered: set[int] = set()
        self._complete = asyncio.Event()
        self._turns: dict[str, int] = {}
        self._news = asyncio.Event()

    def take(self, decision: Decision) -> None:
        """Look at one decision; those that answer something else are left alone."""
        if decision.command_id != self.command.id:
            return
        whole_partition = self._for_all and decision.flag == ALL_FLAGS
        if whole_partition:
            self._answered.add(decision.partition)
        is_release = decision.command == "release" and decision.reason is not Reason.UNCHANGED
        if not whole_partition or not decision.accepted or is_release:
            self._flags[decision.flag, decision.partition] = decision
        if len(self._answered) == self._partitions or (not self._for_all and self._flags):
            self._complete.set()
        self._news.set()

    def take_status(self, flag: str, turn: int) -> None:
        """Take note of what the status of a rollout shows now.

        Args:
            flag: the rollout's.
            turn: as the status says; it may come before the answer or after it.
        """
        if self._for_all or flag == self.command.flag:
            self._turns[flag] = max(turn, self._turns.get(flag, 0))
            self._news.set()

    async def wait(self, within_s: float) -> None:
        """Wait until everybody has answered, or the time is over; then until the statuses show it.

        Args:
            within_s: seconds for the answers, from now; the statuses get SHOWN_WITHIN_S more.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._complete.wait()
        except TimeoutError:
            return
        if self._for_all:
            await asyncio.sleep(LATE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_WITHIN_S):
                while self.unshown:
                    self._news.clear()
                    await self._news.wait()

    @property
    def decisions(self) -> list[Decision]:
        """What was answered, by flag; a partition's own answer is here only when it refused, or released something."""
        return [self._flags[place] for place in sorted(self._flags)]

    @property
    def unshown(self) -> list[str]:
        """The flags that have answered and whose status is older than the answer."""
        flags = {decision.flag for decision in self.decisions if decision.turn > self._turns.get(decision.flag, 0)}
        return sorted(flags)

    @property
    def silent(self) -> list[str]:
        """Who has not answered: the flag, or partitions for a command for all."""
        if self._for_all:
            return [f"partition {number}" for number in range(self._partitions) if number not in self._answered]
        return [] if self._flags else [self.command.flag]
