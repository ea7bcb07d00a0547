"""A connection that asks for nothing, or takes nothing, is ended: places are few, and an operator may need one."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class Impatient(H11Protocol):
    """Uvicorn's protocol, which waits for a request's head as long as the peer likes, with an end to every wait.

    Uvicorn itself ends a connection that is idle between two requests. Here are ended too: one that never asks, one
    whose head comes byte by byte, and one that does not take the rest of its answer.
    """

    head_within_s: ClassVar[float] = 15.0
    """From the first moment to the end of the head: of the connection, or of the bytes behind an answer."""
    rest_within_s: ClassVar[float] = 60.0
    """So long the rest of an answer may take when the connection is ended."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes: the end of a head ends the wait for it, a part of one does not."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose peer leaves the rest of its answer lying."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.rest_within_s, self.transport.abort)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.head_within_s, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
