"""The one way to a running guardian, whether it leads straight to Kafka or through serve."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from guardian.cli.reading import Present
from guardian.cli.sending import Sent
from guardian.core.inputs import Command
from guardian.core.outputs import Decision
from guardian.errors import Exit


class Topic(StrEnum):
    """What can be followed."""

    ALERTS = "alerts"
    DECISIONS = "decisions"
    FLAGS = "flags"
    ROLLBACKS = "rollbacks"
    DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True)
class Said:
    """One record of what guardian says.

    Args:
        key: the flag; of an alert or a dead letter, its id.
        value: JSON as on the topic; None for a tombstone; of a dead letter, its `Letter`.
        original: the bytes of a dead letter, where they may be shown; None otherwise.
    """

    key: str
    value: bytes | None
    original: bytes | None = None


Sayings = AsyncGenerator[Said | None, None]
"""Records, and None once, where the past ends."""


@dataclass
class Answers:
    """What came back.

    Args:
        command: what was sent.
        decisions: one per flag that answered.
        silent: who should have answered and did not, in time: the flag, or partitions for a command for all.
        unshown: flags that answered and whose status does not show it yet.
        waited: false for `--no-wait`.
    """

    command: Command
    decisions: list[Decision] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)
    waited: bool = True

    def code(self) -> Exit:
        """Return the exit code: refused counts for more than silent."""
        if any(not decision.accepted for decision in self.decisions):
            return Exit.NO
        return Exit.NO_ANSWER if self.silent else Exit.OK


@dataclass(frozen=True)
class Seen:
    """What stands now of one rollout, for a command that is meant for nothing else.

    Args:
        turn: as the status says; None when it is not known.
        revision: what is applied, empty for no rollout; None when it is not known.
    """

    turn: int | None = None
    revision: str | None = None


class Door(Protocol):
    """What a command may want of a running guardian.

    Every method raises TransportError when nobody answers, and GuardianError when somebody says no.
    A generator that is not read to its end wants to be closed (`aclosing`): it holds connections.
    """

    async def present(self) -> Present:
        """Return the newest status of every rollout."""
        ...

    def watch(self) -> AsyncGenerator[Present, None]:
        """Yield the statuses as they stand, about once a second, for ever."""
        ...

    async def seen(self, flag: str) -> Seen:
        """Return what stands now of one rollout."""
        ...

    async def ask(self, given: Command, wait_s: float) -> Answers:
        """Send a command and collect its answers.

        Args:
            given: the command.
            wait_s: seconds to wait for the answer once it was sent; 0 for not at all.
        """
        ...

    def follow(self, topic: Topic, *, past: bool, flag: str = "", since_ms: int = 0) -> Sayings:
        """Yield what is said, for ever; None once, where the past ends.

        Args:
            topic: what is followed.
            past: whether what is there already is wanted too.
            flag: only this flag's is wanted; the caller still has to look at each.
            since_ms: what is older is not wanted; the caller still has to look at each. 0 for all.
        """
        ...

    async def send(self, lines: Iterable[bytes], topic: str) -> Sent:
        """Send every line that is an event; empty lines are left out.

        Args:
            lines: JSON Lines.
            topic: `telemetry`, `migrations`, or empty to tell by the line.
        """
        ...
