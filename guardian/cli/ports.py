"""Where serve listens when nobody has said it: the usual port, or any free one."""

from __future__ import annotations

import socket
from typing import Final

from guardian.errors import SettingsError
from guardian.kafka.free_ports import free_ports
from guardian.kafka.settings import Settings

USUAL_PORT: Final = int(Settings.model_fields["serve_port"].default)


def free_port(host: str = "127.0.0.1", port: int = 0) -> int:
    """Return a port that nobody listens on now.

    Args:
        host: the address to listen on.
        port: the one that is wanted; another is returned when it is taken. 0 for any.
    """
    if not port:
        return free_ports(1, host)[0]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return free_port(host)
        return port


def demand_free(host: str, port: int) -> None:
    """Find out that a port is taken before a broker is started for nothing.

    Args:
        host: the address to listen on.
        port: which; 0 for any, which is never taken.

    Raises:
        SettingsError: another process listens there.
    """
    if port and free_port(host, port) != port:
        fix = "another process listens there; give another with --http-port, 0 for any free one"
        raise SettingsError(f"port {port} of {host} is taken", fix)
