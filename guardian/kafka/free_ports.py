"""Free ports for servers that are started here: below the range that the kernel gives to outgoing connections.

A port of that range may be taken by any client between the choice and the start. And while a server is away, a client
that tries again and again to reach it may be given that very port for its own end: it then speaks to itself, and the
server cannot come back.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Final

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_RANGE_START: Final = 32_768
_LOWEST: Final = 10_240
_FEWEST: Final = 1_000
"""With fewer ports below the kernel's range than this, the kernel chooses."""
_TRIES: Final = 200


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return different ports that nobody listens on at this moment.

    Args:
        count: how many.
        host: the address to listen on.

    Raises:
        OSError: the address cannot be listened on.
    """
    taken: list[socket.socket] = []
    try:
        for _ in range(count):
            taken.append(_bound(host))
        return [int(one.getsockname()[1]) for one in taken]
    finally:
        for one in taken:
            one.close()


def _bound(host: str) -> socket.socket:
    """A socket on a free port."""
    below = _range_start() - _LOWEST
    for _ in range(_TRIES if below >= _FEWEST else 0):
        one = socket.socket()
        try:
            one.bind((host, _LOWEST + secrets.randbelow(below)))
        except OSError:
            one.close()
        else:
            return one
    one = socket.socket()
    try:
        one.bind((host, 0))
    except OSError:
        one.close()
        raise
    return one


def _range_start() -> int:
    """The first port that the kernel gives to outgoing connections."""
    try:
        return int(_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_RANGE_START
