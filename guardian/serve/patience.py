"""Connections under bounds: an end to every wait, a place while nobody needs it more, and reading part by part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from guardian.serve.connection_limits import ConnectionLimits, Waits

PART_BYTES: Final = 8_192
"""Read at a time of one connection; then the others get a turn."""
FREE_BYTES: Final = 1_024
"""Of each request, read at once whatever its client has taken before: the head of a command fits."""


class Impatient(H11Protocol):
    """Uvicorn's protocol, which waits for a request's head as long as the peer likes, with an end to every wait.

    Uvicorn itself ends a connection that is idle between two requests. Here are ended too: one that never asks, one
    whose head comes byte by byte, and one that does not take the rest of its answer.
    """

    head_within_s: ClassVar[float] = 15.0
    """From the first moment to the end of the head: of the connection, or of the bytes behind an answer."""
    rest_within_s: ClassVar[float] = 60.0
    """So long the rest of an answer may take when the connection is ended."""
    limits: ClassVar[ConnectionLimits | None] = None
    """Bounds that all connections share; None for none. `limited_by` sets it."""

    _waiting: asyncio.TimerHandle | None = None
    _reading: asyncio.Handle | None = None
    _request_bytes = 0
    flow: _Flow

    @property
    def host(self) -> str:
        """The peer's address."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._held = bytearray()
        self.flow = _Flow(transport, self._read_on)
        if self.limits is not None and not self.limits.enter(self):
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self.limits is not None:
            self.limits.leave(self)
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, a part at a time."""
        if self._held or len(data) > PART_BYTES or self._must_wait_s(len(data)):
            self._held += data
            self._read_on()
        else:
            self._take(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._request_bytes = 0
        super().on_response_complete()
        self._note()

    def give_way(self) -> None:
        """End the connection now: its place is needed."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose peer leaves the rest of its answer lying."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.rest_within_s, self.transport.abort)

    def _take(self, data: bytes) -> None:
        """Read bytes: the end of a head ends the wait for it, a part of one does not."""
        began_s = time.perf_counter()
        self._request_bytes += len(data)
        super().data_received(data)
        if self.limits is not None:
            self.limits.spend(self, time.perf_counter() - began_s)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()
        self._note()

    def _read_on(self) -> None:
        """Stop reading from the peer until what is held back has been taken."""
        self.flow.hold()
        if self._reading is None:
            self._reading = self.loop.call_soon(self._take_held)

    def _take_held(self) -> None:
        """Take the next part of what is held back, when it is this client's turn."""
        self._reading = None
        if self.transport.is_closing():
            self._held.clear()
        elif self.flow.read_paused:
            return  # the request before is not answered yet, or its body not taken: `resume_reading` comes back here
        elif wait_s := self._must_wait_s(min(len(self._held), PART_BYTES)):
            self._reading = self.loop.call_later(wait_s, self._take_held)
        elif self._held:
            part = bytes(self._held[:PART_BYTES])
            del self._held[:PART_BYTES]
            self._take(part)
            self._read_on()
        else:
            self.flow.release()

    def _must_wait_s(self, size: int) -> float:
        if self.limits is None or self._request_bytes + size <= FREE_BYTES:
            return 0.0
        return self.limits.wait_s(self)

    def _note(self) -> None:
        """Note what the connection waits for: one that waits for its peer can be spared."""
        if self.limits is None:
            return
        waits = None
        if self.cycle is None or self.cycle.response_complete:
            waits = Waits.REQUEST
        elif self.cycle.more_body and not self.cycle.response_started:
            waits = Waits.BODY
        self.limits.note(self, waits)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.head_within_s, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class _Flow(FlowControl):
    """Uvicorn's flow control with a second reason not to read: bytes that are held back.

    Args:
        transport: the connection.
        read_on: called when uvicorn wants more, and bytes are held back.
    """

    def __init__(self, transport: asyncio.Transport, read_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self._read_on = read_on
        self._holding = False

    def hold(self) -> None:
        """Read nothing from the peer."""
        if not self._holding:
            self._holding = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read from the peer, unless uvicorn does not want to."""
        self._holding = False
        if not self.read_paused:
            self._transport.resume_reading()

    def pause_reading(self) -> None:
        """Stop for uvicorn."""
        if self._holding:
            self.read_paused = True
        else:
            super().pause_reading()

    def resume_reading(self) -> None:
        """Go on for uvicorn: first with what is held back."""
        if self._holding:
            self.read_paused = False
            self._read_on()
        else:
            super().resume_reading()


def limited_by(limits: ConnectionLimits) -> type[Impatient]:
    """Return the protocol of one server: its connections share these limits."""
    return type("LimitedConnection", (Impatient,), {"limits": limits})
