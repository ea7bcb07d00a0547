"""Events that wait to be sent: it never blocks, what does not fit is dropped and counted.

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

    `put` and `refuse` wait for no lock. The garbage collector may call them through a measurement that it collects,
    on a thread that holds the lock already: what arrives then is taken in by the next step under the lock.

    Args:
        max_events: so many wait at most.
        max_bytes: so many bytes of values wait at most.
    """

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._arrived: deque[Letter | None] = deque()
        """What is not taken in yet; None for an event that was dropped before it came here."""
        self._letters: deque[Letter] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._accepted = 0
        self._delivered = 0
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def accepted(self) -> int:
        """Events that came here so far."""
        with self._lock:
            self._take_in()
            return self._accepted

    @property
    def delivered(self) -> int:
        """Events that were delivered so far."""
        return self._delivered

    @property
    def dropped(self) -> int:
        """Events that were dropped so far, here or before they came here."""
        with self._lock:
            self._take_in()
            return self._dropped

    def put(self, letter: Letter) -> None:
        """Take an event; the oldest ones are dropped to make room."""
        self._arrived.append(letter)
        self._try_to_take_in()

    def refuse(self) -> None:
        """Count an event that was dropped before it came here."""
        self._arrived.append(None)
        self._try_to_take_in()

    def take(self, most: int) -> list[Letter]:
        """Return the oldest events, `most` at most; each must be settled later."""
        with self._lock:
            self._take_in()
            found = [self._letters.popleft() for _ in range(min(most, len(self._letters)))]
            self._bytes -= sum(len(letter.value) for letter in found)
            return found

    def settle(self, *, delivered: int = 0, dropped: int = 0) -> None:
        """Say what became of events that were taken."""
        with self._settled:
            self._delivered += delivered
            self._dropped += dropped
            self._settled.notify_all()

    def wait_settled(self, timeout_s: float) -> bool:
        """Wait until everything accepted by now is delivered or dropped.

        Returns:
            false when the time was up first.
        """
        with self._settled:
            self._take_in()
            goal = self._accepted
            return self._settled.wait_for(lambda: self._delivered + self._dropped >= goal, timeout_s)

    def _try_to_take_in(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._lock.release()

    def _take_in(self) -> None:
        """Under the lock: count what has arrived, and make room for it."""
        while self._arrived:
            letter = self._arrived.popleft()
            self._accepted += 1
            if letter is None:
                self._dropped += 1
                continue
            self._letters.append(letter)
            self._bytes += len(letter.value)
            while len(self._letters) > self._max_events or self._bytes > self._max_bytes:
                self._bytes -= len(self._letters.popleft().value)
                self._dropped += 1
