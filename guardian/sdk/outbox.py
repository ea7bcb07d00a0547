"""A bounded queue between the application and Kafka: putting never blocks, what does not fit is dropped and counted.

When it is full, the oldest events go: what has just happened is what guardian decides by.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

MAX_EVENTS: Final = 20_000
MAX_BYTES: Final = 16 * 1024 * 1024


class Letter(NamedTuple):
    """One event, ready to be sent.

    Args:
        topic: the topic's full name.
        key: the record's key.
        value: the record's value, JSON.
    """

    topic: str
    key: bytes | None
    value: bytes


class Outbox:
    """Bounded by number and by bytes.

    Args:
        max_events: so many wait at most.
        max_bytes: so many bytes of values wait at most.
    """

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._letters: deque[Letter] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self.accepted = 0
        self.delivered = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> None:
        """Take an event; the oldest ones are dropped to make room."""
        size = len(letter.value)
        with self._lock:
            self.accepted += 1
            self._letters.append(letter)
            self._bytes += size
            while len(self._letters) > self._max_events or self._bytes > self._max_bytes:
                self._bytes -= len(self._letters.popleft().value)
                self.dropped += 1

    def refuse(self) -> None:
        """Count an event that was dropped before it came here."""
        with self._lock:
            self.accepted += 1
            self.dropped += 1

    def take(self, most: int) -> list[Letter]:
        """Return the oldest events, `most` at most; each must be settled later."""
        with self._lock:
            found = [self._letters.popleft() for _ in range(min(most, len(self._letters)))]
            self._bytes -= sum(len(letter.value) for letter in found)
            return found

    def settle(self, *, delivered: int = 0, dropped: int = 0) -> None:
        """Say what became of events that were taken."""
        with self._settled:
            self.delivered += delivered
            self.dropped += dropped
            self._settled.notify_all()

    def wait_settled(self, timeout_s: float) -> bool:
        """Wait until everything accepted by now is delivered or dropped.

        Returns:
            false when the time was up first.
        """
        with self._settled:
            goal = self.accepted
            return self._settled.wait_for(lambda: self.delivered + self.dropped >= goal, timeout_s)
