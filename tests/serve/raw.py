"""A peer that speaks HTTP by hand, as nobody does who means well."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

ANSWER_WITHIN_S = 30.0


class Peer:
    """One connection.

    Args:
        door: it.
    """

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def say(self, *lines: str | bytes) -> None:
        """Send lines as they are, each with its end."""
        self.pour(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines))

    def pour(self, data: bytes) -> None:
        """Send bytes."""
        self._door.sendall(data)

    def close_sending(self) -> None:
        """Say that nothing more will come, and go on listening."""
        self._door.shutdown(socket.SHUT_WR)

    def hears(self) -> bytes:
        """What comes next, nothing when the other side has hung up."""
        try:
            return self._door.recv(65_536)
        except ConnectionResetError:
            return b""

    def status(self) -> int:
        """The status of the next answer, 0 when the other side hangs up instead."""
        line = self.hears().partition(b"\r\n")[0]
        return int(line.split()[1]) if line else 0


@contextmanager
def peer(url: str, source: str = "") -> Iterator[Peer]:
    """Connect to a server for the length of the block.

    Args:
        url: the server.
        source: the address to come from, such as 127.0.0.9; empty for any.
    """
    place = urlsplit(url)
    address = (source, 0) if source else None
    with socket.create_connection((place.hostname or "", place.port or 80), ANSWER_WITHIN_S, address) as door:
        yield Peer(door)
