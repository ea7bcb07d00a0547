"""Writing events as JSON Lines to a file, for who has no Kafka at hand: `guardian send FILE` brings them in later."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from pathlib import Path

from guardian.sdk.outbox import Letter, Outbox
from guardian.sdk.sending import FLUSH_AT_EXIT_S, SinkHooks, TelemetryOptions

_ROUND = 5_000
_log = logging.getLogger("guardian.sdk")


class FileSink:
    """Appends to a file on its own thread, so that a slow disk is not the application's.

    Args:
        path: the file; created when it is not there.
        options: bounds and times.
        hooks: what is called on that thread, and at the end; no heartbeats, which a file brings in too late.
    """

    def __init__(self, path: Path, options: TelemetryOptions | None = None, hooks: SinkHooks | None = None) -> None:
        self._options = options or TelemetryOptions()
        self._hooks = hooks or SinkHooks()
        self._path = path
        self.outbox = Outbox(self._options.max_events, self._options.max_bytes)
        self.failures = 0
        self._wake = threading.Event()
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        _living.add(self)

    def send(self, letter: Letter, *, urgent: bool = False) -> None:
        """Take an event; never blocks, never raises."""
        if self._closed:
            self.outbox.refuse()
            return
        self.outbox.put(letter)
        if self._thread is None:
            self.start()
        if urgent:
            self._wake.set()

    def start(self) -> None:
        """Start the thread, if it does not run. Waits for no lock: whoever holds it is starting the thread."""
        if self._thread is None and not self._closed and self._starting.acquire(blocking=False):
            try:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="guardian-telemetry", daemon=True)
                    thread.start()
                    self._thread = thread
            finally:
                self._starting.release()

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was taken is written or dropped; false when the time was up first."""
        self._wake.set()
        return self.outbox.wait_settled(timeout_s)

    def close(self, timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
        """Flush, and end the thread; returns whether everything was written or dropped in time."""
        if not self._closed and self._thread is not None:
            self._hooks.farewell()
        self._closed = True
        thread = self._thread
        self._wake.set()
        done = self.outbox.wait_settled(timeout_s) if thread is not None else True
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        _living.discard(self)
        return done

    def _run(self) -> None:
        while True:
            closing = self._closed
            self._hooks.sweep()
            self._wake.wait(self._options.linger_s)
            self._wake.clear()
            while letters := self.outbox.take(_ROUND):
                self._write(letters)
            if closing:
                return

    def _write(self, letters: list[Letter]) -> None:
        written = 0
        try:
            with self._path.open("ab") as file:
                file.write(b"".join(letter.value + b"\n" for letter in letters))
            written = len(letters)
        except OSError as error:
            self.failures += 1
            _log.warning("events are lost, %s cannot be written: %s", self._path, error)
        finally:
            self.outbox.settle(delivered=written, dropped=len(letters) - written)


_living: weakref.WeakSet[FileSink] = weakref.WeakSet()


def _close_all() -> None:
    for sink in list(_living):
        sink.close(FLUSH_AT_EXIT_S)


atexit.register(_close_all)
