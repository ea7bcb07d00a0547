"""Whether guardian is alive, told by its beats: every partition of guardian.flags has one every 5 seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from guardian.core.events import BEAT_SECONDS

SILENT_BEATS: Final = 3


class Freshness:
    """When each partition's last beat came. Knows no clock: `now` is an argument, in seconds of any steady clock.

    Args:
        beat_s: seconds between two beats.
        silent_beats: so many missing ones mean silence.
    """

    def __init__(self, beat_s: float = BEAT_SECONDS, silent_beats: int = SILENT_BEATS) -> None:
        self.silence_s = beat_s * silent_beats
        self._last: dict[int, float] = {}

    def connected(self, partitions: Iterable[int], now: float) -> None:
        """Watch these partitions; one that was not watched before has the whole silence to show a beat."""
        self._last = {partition: self._last.get(partition, now) for partition in partitions}

    def beat(self, partition: int, now: float) -> None:
        """A beat came. One that was in the log already when we connected is no sign of life, and is not told here."""
        if partition in self._last:
            self._last[partition] = now

    def silent(self, now: float) -> list[int]:
        """Return the partitions without a beat for too long."""
        return sorted(partition for partition, at in self._last.items() if now - at > self.silence_s)

    def fresh(self, now: float) -> bool:
        """Return whether every partition's owner is alive; false before the first connection."""
        return bool(self._last) and not self.silent(now)
