"""When to write: at once after a quiet time or for something alarming, otherwise once a tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALARM_S: Final = 0.01
"""The least time between two ticks that failures ask for."""
LITTLE_BEHIND: Final = 5_000
"""Further behind than this many messages, nothing is known any sooner by writing more often."""
BACKLOG_S: Final = 0.25
"""The tick while further behind than that: fewer and larger records."""
SETTLE_S: Final = 1.0
"""How long a lane is quiet before its announcement is taken back."""
IDLE_S: Final = 0.2
"""How long the loop waits for records when nothing else is to be done; it then looks whether to stop."""
BUSY_S: Final = 0.002
"""The same while something waits for the tick in flight."""


@dataclass
class Pace:
    """The times that one loop keeps to, on the steady clock.

    Args:
        tick_s: how often something is written at the latest; 0 writes whatever there is at once.
        ticked_at: when the last tick began.
    """

    tick_s: float
    ticked_at: float = float("-inf")

    def due_at(self, urgent: bool, behind: int) -> float:
        """Return when the next tick should begin if something waits now.

        After a quiet time this lies in the past: the first event after it is written at once, a steady stream once a
        tick.

        Args:
            urgent: whether a failure is among what waits.
            behind: messages that are not fetched yet.
        """
        if behind > LITTLE_BEHIND and self.tick_s > 0:
            return self.ticked_at + max(self.tick_s, BACKLOG_S)
        return self.ticked_at + (min(ALARM_S, self.tick_s) if urgent else self.tick_s)

    def patience_ms(self, now_s: float, due_at: float | None, writing: bool) -> int:
        """Return how long to wait for more records.

        Args:
            now_s: the steady clock.
            due_at: when what waits should be written; None when nothing waits.
            writing: whether a tick is in flight.
        """
        if due_at is None:
            return int(IDLE_S * 1000)
        left_s = max(due_at - now_s, BUSY_S if writing else 0.0)
        return max(1, int(min(left_s, IDLE_S) * 1000))
