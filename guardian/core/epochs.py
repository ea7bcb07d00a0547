"""Epoch and version of a flag document: how a pair is raised, and which pairs are too far ahead to be believed.

Documents are ordered by (epoch, version). The SDK imports this file too, so it imports the standard library only.
"""

from __future__ import annotations

from typing import Final

AHEAD_MS: Final = 86_400_000
"""An epoch or a version further ahead of now than a day is refused: nobody could write over it for as long."""


EPOCH_REFUSED: Final = "an epoch belongs to the emergency path, which only kills or rolls back to zero"
"""The answer to a command that may raise exposure and names an epoch."""


def too_far_ahead(epoch: int, version: int, now_ms: int) -> bool:
    """Return whether a pair is beyond now plus a day.

    Args:
        epoch: Unix seconds of the raise; 0 before any.
        version: Unix milliseconds.
        now_ms: log time in decide, a record's broker timestamp in ingest, the greater of clock and beats in a reader.
    """
    most_ms = now_ms + AHEAD_MS
    return epoch * 1_000 > most_ms or version > most_ms


def raised_epoch(previous: int, now_ms: int) -> int:
    """Return the epoch of a raise: Unix seconds, never below the previous one plus 1."""
    return max(previous + 1, now_ms // 1_000)
