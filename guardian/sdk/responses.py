"""One HTTP response on its way to the client, and the measurements that end with the last of its body.

How a response ends:

- complete: the last chunk was sent. `ok`, or `error` if its status is 500 or more.
- broken: the application raised, or stopped before the end of the body. `error`, or `timeout` if it was cancelled.
- left by the client: before the first chunk it is a `timeout`, as people leave what does not answer. Later it is `ok`,
  as every download and every event stream may end so, unless the application had been silent for `stalled_after_s`.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Final

from guardian.sdk.measurement import Measurement, failure_of

STALLED_AFTER_S: Final = 20.0
CLIENT_GONE: Final = "ClientDisconnect"
"""The `error_type` of a response that the client left as a timeout; Starlette's exception for it has this name."""


class ResponseInProgress:
    """What the middleware knows of one response.

    Args:
        stalled_after_s: a client that leaves after the application has sent nothing for so many seconds left because
            of that; None for never.
    """

    def __init__(self, stalled_after_s: float | None = STALLED_AFTER_S) -> None:
        self._stalled_after_s = stalled_after_s
        self._measurements: list[Measurement] = []
        self._body_began = False
        self._ended = False
        self.status = 0

    def add(self, measurement: Measurement) -> None:
        """Begin a measurement that ends with this response."""
        if not self._ended:
            measurement.begin()
            self._measurements.append(measurement)

    def sending(self) -> None:
        """A chunk is handed to the server: until it is taken, the client is waited for, and not the application."""
        for measurement in self._measurements:
            measurement.keep_alive(math.inf)

    def sent(self) -> None:
        """A chunk of the body has left the application."""
        self._body_began = True

    def waiting(self) -> None:
        """The application is waited for again."""
        for measurement in self._measurements:
            measurement.keep_alive()

    def complete(self) -> None:
        """The last of the body was sent."""
        for measurement in self._take():
            if self.status >= 500:
                measurement.finish("error", f"HTTP{self.status}")
            else:
                measurement.finish()

    def broken(self, error: BaseException | None) -> None:
        """The application ended before the body did.

        Args:
            error: what it raised; None when it returned.
        """
        for measurement in self._take():
            if error is None:
                measurement.finish("error", "IncompleteResponse")
            elif self._body_began:  # an answer cannot be given any more
                measurement.finish(failure_of(error), type(error).__name__)
            else:
                measurement.end(error)

    def left(self) -> None:
        """The client went away before the end of the body."""
        now_s = time.perf_counter()
        for measurement in self._take():
            stalled = self._stalled_after_s is not None and measurement.idle_s(now_s) > self._stalled_after_s
            if stalled or not self._body_began:
                measurement.finish("timeout", CLIENT_GONE)
            else:
                measurement.finish()

    def _take(self) -> list[Measurement]:
        self._ended = True
        found, self._measurements = self._measurements, []
        return found

    def enter(self) -> Token[ResponseInProgress | None]:
        """Make it the one that `measure_response` finds; returns what `leave` needs."""
        return _current.set(self)


_current: Final[ContextVar[ResponseInProgress | None]] = ContextVar("guardian_response", default=None)


def response_in_progress() -> ResponseInProgress | None:
    """Return the response that is being made; None outside of the middleware, and when it has ended."""
    found = _current.get()
    return None if found is None or found._ended else found


def leave(token: Token[ResponseInProgress | None]) -> None:
    """Undo `enter`."""
    with suppress(ValueError):  # the garbage collector ends an application in a context of its own
        _current.reset(token)
