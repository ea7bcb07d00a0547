"""Places for connections, and the time that each client may take to be read."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Protocol

from guardian.serve import metrics
from guardian.serve.client_address import ClientAddresses

log = logging.getLogger(__name__)

ACCEPTED_AT_ONCE: Final = 4
"""New connections a round of the event loop: between them everybody who is connected gets a turn."""
RESERVE: Final = 10
"""One tenth more connections than configured are let in while none of those that are there can give way."""
OTHER_FILES: Final = 256
"""Files that the process needs beside its connections: Kafka, the log, the embedded broker."""
CLIENT_SHARE: Final = 0.25
ALL_SHARE: Final = 0.5
BURST_S: Final = 0.05
"""Of one core, the share that reading requests takes: of one client and of all, once a burst is used up. A body in
chunks of one byte costs a thousand times its size."""


class Waits(IntEnum):
    """What a connection waits for its peer to send; who waits for less gives way first."""

    REQUEST = 0  # it is idle, or the head of a request is not complete
    BODY = 1


class Connection(Protocol):
    """What can be asked to give way."""

    @property
    def host(self) -> str:
        """The peer's address."""
        ...

    def give_way(self) -> None:
        """End it now."""
        ...


class _Client:
    """The connections of one address.

    Args:
        at_s: the clock's time.
    """

    def __init__(self, at_s: float) -> None:
        self.count = 0
        # A dict keeps the order of arrival and forgets in one step: the first has waited longest.
        self.waiting: tuple[dict[Connection, None], ...] = ({}, {})
        self.bucket = _Bucket(CLIENT_SHARE, at_s)


class _Bucket:
    """Time that was spent, less the share that has come back since.

    Args:
        share: seconds that come back in a second.
        at_s: the clock's time.
    """

    def __init__(self, share: float, at_s: float) -> None:
        self._share, self._at_s, self._level_s = share, at_s, 0.0

    def spend(self, took_s: float, at_s: float) -> None:
        """Add what was spent."""
        self._level_s = max(0.0, self._level_s - (at_s - self._at_s) * self._share) + took_s
        self._at_s = at_s

    def wait_s(self, at_s: float) -> float:
        """Return in how many seconds more may be spent."""
        return max(0.0, (self._level_s - BURST_S) / self._share - (at_s - self._at_s))


class ConnectionLimits:
    """Lets every newcomer in, and ends the connection that can be spared best.

    That is one which waits for its peer: of the client that has most of these, the oldest. So whoever opens thousands
    of connections closes their own, and a newcomer has its request read before it is the oldest.

    Args:
        at_most: connections.
        of_one_client: connections of one address; trusted proxies are free of it.
        addresses: tells clients apart.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        at_most: int,
        of_one_client: int,
        addresses: ClientAddresses,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._at_most, self._of_one_client = at_most, of_one_client
        self._addresses = addresses
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._inside: dict[Connection, str] = {}
        self._bucket = _Bucket(ALL_SHARE, clock())

    def enter(self, connection: Connection) -> bool:
        """Take a connection in, and make room for it; False when there is none.

        Args:
            connection: new; it waits for its first request.
        """
        is_full = len(self._inside) >= self._at_most and not self._spare(self._heaviest)
        if is_full and len(self._inside) >= self._at_most + max(1, self._at_most // RESERVE):
            metrics.SHED.labels("connection").inc()
            return False
        name = self._addresses.of_peer(connection.host)
        client = self._clients.setdefault(name, _Client(self._clock()))
        client.count += 1
        self._inside[connection] = name
        if client.count > self._of_one_client and not self._addresses.is_proxy(connection.host):
            self._spare(lambda _: client)
        client.waiting[Waits.REQUEST][connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection; one that is not there any more is forgotten already."""
        if (name := self._inside.pop(connection, None)) is None:
            return
        client = self._clients[name]
        client.count -= 1
        for waiting in client.waiting:
            waiting.pop(connection, None)
        if not client.count:
            del self._clients[name]

    def note(self, connection: Connection, waits: Waits | None) -> None:
        """Note what a connection waits for; one that goes on waiting for the same keeps its age.

        Args:
            connection: it.
            waits: what for; None when the answer is being made, or a stream is sent.
        """
        if (name := self._inside.get(connection)) is None:
            return
        for kind, waiting in enumerate(self._clients[name].waiting):
            if kind == waits:
                waiting.setdefault(connection)
            else:
                waiting.pop(connection, None)

    def wait_s(self, connection: Connection) -> float:
        """Return in how many seconds more of a connection may be read."""
        now_s = self._clock()
        wait_s = self._bucket.wait_s(now_s)
        if (name := self._inside.get(connection)) is not None:
            wait_s = max(wait_s, self._clients[name].bucket.wait_s(now_s))
        return wait_s

    def spend(self, connection: Connection, took_s: float) -> None:
        """Note how long it took to read what a connection sent."""
        now_s = self._clock()
        self._bucket.spend(took_s, now_s)
        if (name := self._inside.get(connection)) is not None:
            self._clients[name].bucket.spend(took_s, now_s)

    def _heaviest(self, kind: Waits) -> _Client:
        return max(self._clients.values(), key=lambda client: len(client.waiting[kind]))

    def _spare(self, choose: Callable[[Waits], _Client]) -> bool:
        """End the connection that has waited longest of a client; whether there was one."""
        for kind in Waits:
            if oldest := next(iter(choose(kind).waiting[kind]), None):
                self.leave(oldest)
                oldest.give_way()
                metrics.SHED.labels("connection").inc()
                return True
        return False


class PacedListener(socket.socket):
    """A listening socket that gives asyncio few connections at a time.

    Asyncio accepts as many as the backlog holds before anybody else gets a turn. Here the next round of the loop goes
    on: the others wait in the kernel, where they cost nothing.
    """

    _accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection.

        Raises:
            BlockingIOError: there is none, or it is somebody else's turn.
        """
        if self._accepted >= ACCEPTED_AT_ONCE:
            self._accepted = 0
            raise BlockingIOError
        try:
            found = super().accept()
        except OSError:
            self._accepted = 0
            raise
        self._accepted += 1
        return found


def allow_files(connections: int) -> None:
    """Raise the process's limit of open files to what its connections need; without it accept would fail.

    Args:
        connections: as many as serve holds at a time.
    """
    needed = connections + connections // RESERVE + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    if allowed < needed:
        log.warning(
            "serve may open %d files and needs %d: lower serve_connections, or raise the limit (ulimit -n)",
            allowed,
            needed,
        )
