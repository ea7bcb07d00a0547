"""Work beside the request on a few threads: bounded, refused when too much waits, no hindrance to the process's end."""

from __future__ import annotations

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

    def look(self, now_s: float) -> bool:
        """Return whether it takes too long; called now and then while it runs, from other threads: time to say so."""

    def give_up(self) -> None:
        """Nobody waits for it any more: it will never run, or the process ends before it does."""


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
        """Take a job; false when too many wait already. Never blocks.

        When every thread is held by a job that takes too long, those that wait may never run: they are given up.
        """
        with self._changed:
            running = list(self._running)
            taken = len(running) + len(self._queue) < self._threads + self._waiting
            if taken:
                self._queue.append(job)
                if self._started < min(self._threads, len(running) + len(self._queue)):
                    self._started += 1
                    threading.Thread(target=self._work, name="guardian-dual-run", daemon=True).start()
                self._changed.notify_all()
        if self._look(running) == self._threads:
            self._give_up_queue()
        return taken

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits; false when the time was up first."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._queue and not self._running, timeout_s)
            running = list(self._running)
        self._look(running)
        return done

    def give_up(self) -> None:
        """Give up all that runs and waits: the process ends."""
        with self._changed:
            running = list(self._running)
        self._look(running)
        for job in running:
            job.give_up()
        self._give_up_queue()

    def _look(self, running: list[Job]) -> int:
        """Look at what runs; returns how many take too long."""
        now_s = time.monotonic()
        return sum([job.look(now_s) for job in running])

    def _give_up_queue(self) -> None:
        with self._changed:
            waiting = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for job in waiting:
            job.give_up()

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


def end_all() -> None:
    """Wait for a moment for what runs and waits, and give up the rest; done when the process ends."""
    end_s = time.monotonic() + END_WITHIN_S
    for aside in list(_living):
        aside.wait(max(end_s - time.monotonic(), 0.0))
        aside.give_up()


def _begin_anew() -> None:
    for aside in list(_living):
        aside._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
