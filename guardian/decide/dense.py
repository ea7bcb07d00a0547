"""Dense reading: per partition the log is taken offset by offset, without a gap and without a repeat.

A pure machine. What brings the records may lose, repeat and rewind; whatever it does, `TAKE` is answered once
for each offset, in order. That is what makes decide exact.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from guardian.decide.port import Bounds
from guardian.errors import InternalError

PATIENCE_MS: Final = 1_000
"""How long newer records may still come in after a rewind before it counts as undone: what was in flight drains."""
MAX_FRUITLESS: Final = 30
"""So many rewinds to one offset that lies inside the log, and none brought it: the log is not dense."""


class Step(Enum):
    """What to do with a record."""

    TAKE = auto()  # the next one
    SKIP = auto()  # taken before, or still in flight from before a rewind
    REWIND = auto()  # records are missing before it


class Place(Enum):
    """Where the next offset stands in the log."""

    INSIDE = auto()
    RETENTION = auto()  # before the log's start: records were deleted before they were read
    TRUNCATION = auto()  # after its end: records that were read are gone
    REPLACED = auto()  # in another topic: this one was deleted and made anew
    UNREADABLE = auto()  # in a record batch that cannot be read: codec, checksum, size


class DenseReader:
    """The position in one partition.

    Args:
        partition: of guardian.inputs; named in errors.
        next_offset: the only offset that may be taken now.
    """

    def __init__(self, partition: int, next_offset: int) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self._asked_ms: int | None = None
        self._fruitless = 0

    def see(self, offset: int, now_ms: int) -> Step:
        """Say what to do with the record at an offset.

        Args:
            now_ms: any clock that does not go back; only differences count.
        """
        if offset < self.next_offset:
            return Step.SKIP
        if offset == self.next_offset:
            self.next_offset += 1
            self._asked_ms = None
            self._fruitless = 0
            return Step.TAKE
        if self._asked_ms is not None and now_ms - self._asked_ms < PATIENCE_MS:
            return Step.SKIP
        return Step.REWIND

    def asked(self, now_ms: int) -> None:
        """Note that a rewind to the next offset was asked for.

        Raises:
            InternalError: it was asked for too often in vain.
        """
        self._asked_ms = now_ms
        self._fruitless += 1
        if self._fruitless > MAX_FRUITLESS:
            raise InternalError(
                f"guardian.inputs is not dense: partition {self.partition} never delivers offset {self.next_offset}",
                "the topic must not be compacted and nobody may write to it in a transaction; "
                "check its configuration with `guardian topics check`",
            )

    def place(self, bounds: Bounds) -> Place:
        """Return where the next offset stands."""
        if self.next_offset < bounds.start:
            return Place.RETENTION
        if self.next_offset > bounds.end:
            return Place.TRUNCATION
        return Place.INSIDE

    def jump(self, offset: int) -> None:
        """Continue at another offset: the log no longer holds the next one."""
        self.next_offset = offset
        self._asked_ms = None
        self._fruitless = 0
