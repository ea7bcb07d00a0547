"""Work beside the request on a few threads: bounded, refused when too much waits, no hindrance to the process's end."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import Final, Protocol

THREADS: Final = 4
WAITING: Final = 32
END_WITHIN_S: Final = 2.0
_log = logging.getLogger("guardian.sdk")


class Job(Protocol):
    """What is done aside."""

    def run(self) -> None:
        """Do it."""

    def look(self, now_s: float) -> None:
        """Called now and then while it runs, from other threads: time to say that it takes too long."""


class Aside:
    """A few daemon threads and a bounded queue before them. The threads start as they are needed.

    Args:
        threads: so many jobs run at once.
        waiting: so many wait beside them.
    """

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._threads = threads
        self._waiting = waiting
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        """Empty and without threads: at the start, and in a forked child, which inherits no thread."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []
        self._started = 0

    def put(self, job: Job) -> bool:
        """Take a job; false when too many wait already. Never blocks."""
        with self._changed:
            running = list(self._running)
            taken = len(running) + len(self._queue) < self._threads + self._waiting
            if taken:
                self._queue.append(job)
                if self._started < min(self._threads, len(running) + len(self._queue)):
                    self._started += 1
                    threading.Thread(target=self._work, name="guardian-dual-run", daemon=True).start()
                self._changed.notify_all()
        now_s = time.monotonic()
        for other in running:
            other.look(now_s)
        return taken

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits; false when the time was up first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._running, timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                job = self._queue.popleft()
                self._running.append(job)
            try:
                job.run()
            except BaseException:
                _log.exception("a dual run's other half: unexpected")
            finally:
                with self._changed:
                    self._running.remove(job)
                    self._changed.notify_all()
            # What the job holds must not wait for the next one.
            del job


_living: weakref.WeakSet[Aside] = weakref.WeakSet()


def _wait_all() -> None:
    end_s = time.monotonic() + END_WITHIN_S
    for aside in list(_living):
        aside.wait(max(end_s - time.monotonic(), 0.0))


def _begin_anew() -> None:
    for aside in list(_living):
        aside._begin()


atexit.register(_wait_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
