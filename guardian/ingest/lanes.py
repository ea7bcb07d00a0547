"""One source partition while this process owns it: insists on the next offset and cuts the stream into ranges."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from aiokafka import ConsumerRecord, TopicPartition

from guardian.core.inputs import Source
from guardian.ingest.ranges import Closed, Folder
from guardian.record_batches import Unreadable

MAX_UNREADABLE: Final = 100
"""Unreadable batches in one range; each is a dead letter."""
_offset_of = attrgetter("offset")


class Lane:
    """What has been folded of one source partition, and how far it is in the log.

    Args:
        source: which.
        start: the first offset that is not known to be in the log: the label of the next range.
        position: where the log still begins, when retention has passed `start`; otherwise `start`.
        announced: the end of a range that was announced and may be in the log in part; None for none.
        new_folder: makes the folder of the next range.
    """

    def __init__(
        self, source: Source, start: int, position: int, announced: int | None, new_folder: Callable[[], Folder]
    ) -> None:
        self.source = source
        self.partition = TopicPartition(source.topic, source.partition)
        self.next = max(start, position)
        self.first_end = self.next
        """Where the log ended when the partition became ours, as far as anybody looked."""
        self.acked = start  # everything before is in the log
        self.settled = announced is None  # the group has no announcement of this lane standing
        self.acked_event_ms = 0
        self.acked_arrival_ms = 0
        self.acked_at_s = 0.0
        self.closed: deque[Closed] = deque()
        self._unreadable: list[Unreadable] = []
        """Of the open range."""
        self._hole: int | None = None
        self._base = start
        self._announced = announced
        self._new_folder = new_folder
        self._folder = new_folder()
        self._close_announced()

    @property
    def waits(self) -> bool:
        """True when something is folded that may be written."""
        return bool(self.closed) or (self._announced is None and self.next > self._base)

    @property
    def may_settle(self) -> bool:
        """True when an announcement stands that nobody needs any more: all of it is in the log.

        What a predecessor announced may be in the log in part, and is known to be whole only when it was folded and
        acked here: taken back before that, a successor would cut other ranges, and lose or double some of it.
        """
        return not self.settled and self._announced is None and not self.waits and self.acked == self.next

    @property
    def urgent(self) -> bool:
        """True when what waits should be judged at once."""
        return self._folder.urgent

    def take(self, records: Sequence[ConsumerRecord]) -> bool:
        """Fold fetched records.

        Args:
            records: of this partition, in the order of their offsets, fetched under this assignment.

        Returns:
            False when they begin beyond the next offset: nothing was taken, seek back to `next`.
        """
        records = records[bisect_left(records, self.next, key=_offset_of) :]
        if not records:
            return True
        if not self._reaches(records[0].offset):
            return False
        while records:
            records = records[self._fold(records) :]
        return True

    def leave_out(self, found: Unreadable) -> bool:
        """Take note of a batch that cannot be read: its offsets belong to the ranges like any others.

        Args:
            found: of this partition, fetched under this assignment.

        Returns:
            False when it begins beyond the next offset: nothing was taken, seek back to `next`.
        """
        if found.end <= self.next:
            return True
        if found.offset > self.next and not self._reaches(found.offset):
            return False
        while self.next < found.end:
            # The announced range ends where it was announced to end, also in the middle of a batch.
            end = found.end if self._announced is None else min(found.end, self._announced)
            self._unreadable.append(found._replace(offset=self.next, end=end))
            self.next = end
            self._close_announced()
        if self._announced is None and len(self._unreadable) >= MAX_UNREADABLE:
            self._close(self.next)
        return True

    def _reaches(self, first: int) -> bool:
        """Whether to go on at this offset; what lies before it is not there."""
        if first > self.next and self._hole != self.next:
            # After a rebalance the consumer may hand out records from beyond the seek. Only when the same gap comes
            # again after seeking back is it a hole in the log itself: a transaction's marker, or retention.
            self._hole = self.next
            return False
        self._hole = None
        self.next = first
        self._close_announced()
        return True

    def _fold(self, records: Sequence[ConsumerRecord]) -> int:
        """Fold as many records as the open range may have; return how many."""
        most = len(records)
        if self._announced is not None:
            most = bisect_left(records, self._announced, key=_offset_of)
        taken = self._folder.fold(records[:most]) if most else 0
        if taken:
            self.next = records[taken - 1].offset + 1
        if self._announced is not None:
            if taken < len(records) and records[taken].offset >= self._announced:
                self.next = max(self.next, self._announced)
            self._close_announced()
        elif self._folder.full:
            self._close(self.next)
        return taken

    def _close_announced(self) -> None:
        """Close the announced range, exactly as it was announced, once the position has reached its end."""
        if self._announced is not None and self.next >= self._announced:
            self._close(self._announced)
            self._announced = None

    def _close(self, end: int) -> None:
        closed = self._folder.close(self.source, self._base, end)
        if self._unreadable:
            closed.leave_out(self._unreadable)
            self._unreadable = []
        self.closed.append(closed)
        self._base = end
        self._folder = self._new_folder()

    def take_range(self) -> Closed:
        """Return the oldest range that waits; the open one is closed for it when there is no other."""
        if not self.closed:
            self._close(self.next)
        return self.closed.popleft()

    def acknowledge(self, closed: Closed, now_s: float) -> None:
        """Every part of a range is acked.

        Args:
            closed: what take_range returned.
            now_s: any steady clock; tells how long the lane has been quiet.
        """
        self.acked, self.acked_at_s, self.settled = closed.end, now_s, False
        self.acked_event_ms = max(self.acked_event_ms, closed.event_ms)
        self.acked_arrival_ms = max(self.acked_arrival_ms, closed.arrival_ms)
