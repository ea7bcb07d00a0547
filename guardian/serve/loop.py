"""The stage as a whole: listens at once, follows Kafka as soon as it is there, and ends every stream at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

from guardian.errors import SettingsError
from guardian.kafka.settings import Settings
from guardian.serve import metrics
from guardian.serve.app import build_app
from guardian.serve.connection_limits import ConnectionLimits, PacedListener, allow_files
from guardian.serve.patience import limited_by
from guardian.serve.site import Site, build_site

log = logging.getLogger(__name__)

END_WITHIN_S: Final = 5
"""How long requests under way may take once the end was asked for."""
IDLE_S: Final = 15
DEAD_MS: Final = 60_000
_BACKLOG: Final = 512


async def run_serve(settings: Settings, *, stop: asyncio.Event, listening: Callable[[str], None] | None = None) -> None:
    """Serve HTTP until `stop` is set.

    It listens from the start, Kafka or not: `/readyz` says what is missing.

    Args:
        settings: the installation; `serve_host` and `serve_port` say where to listen.
        stop: ends it cleanly: streams are told, requests under way are answered.
        listening: is told the address, such as `http://127.0.0.1:8620`, once connections are taken.

    Raises:
        SettingsError: the address cannot be listened on.
        InternalError: a fault of guardian's own.
    """
    logging.getLogger("uvicorn.error").addFilter(_FLOOD_FILTER)
    allow_files(settings.serve_connections)
    door = _open_door(settings)
    address = _address(door)
    site = build_site(settings)
    server = _Server(_config(site))
    _say_who_may_write(site, address)
    duties = [asyncio.create_task(duty) for duty in (site.follower.run(), site.letters.run(), site.writer.run())]
    serving = asyncio.create_task(server.serve(sockets=[door]))
    waiting = asyncio.create_task(stop.wait())
    if listening is not None:
        listening(address)
    try:
        await asyncio.wait({*duties, serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(site, server, serving, {*duties, waiting})
        door.close()
    for task in (*duties, serving):
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _end(site: Site, server: uvicorn.Server, serving: asyncio.Task[None], others: set[asyncio.Task[Any]]) -> None:
    """End everything in the order in which each needs the next."""
    # Step 1: the streams, or the server would wait for them.
    site.hub.close()
    # Step 2: the server, which answers what is under way and therefore needs Kafka still.
    server.should_exit = True
    await asyncio.gather(serving, return_exceptions=True)
    # Step 3: what speaks to Kafka; a client whose broker is away may hang in its farewell.
    for task in others:
        task.cancel()
    _, late = await asyncio.wait(others, timeout=END_WITHIN_S)
    for task in late:
        task.cancel()


class _FloodFilter(logging.Filter):
    """Counts what uvicorn would log for every odd request: strangers must not fill the log."""

    _MESSAGES: Final = ("Invalid HTTP request received.", "Unsupported upgrade request.", "No supported WebSocket")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is logged."""
        if not str(record.msg).startswith(self._MESSAGES):
            return True
        metrics.MALFORMED.inc()
        return False


_FLOOD_FILTER: Final = _FloodFilter()


class _Server(uvicorn.Server):
    """Uvicorn without its signals: the process belongs to `guardian run`, which has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(site: Site) -> uvicorn.Config:
    settings = site.settings
    addresses = site.access.addresses
    limits = ConnectionLimits(settings.serve_connections, settings.serve_client_connections, addresses)
    return uvicorn.Config(
        build_app(site),
        http=limited_by(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who is on this machine decides who may write; a header must not be able to say so.
        proxy_headers=False,
        # ConnectionLimits bounds connections: uvicorn would refuse whoever comes last.
        limit_concurrency=None,
        backlog=_BACKLOG,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=END_WITHIN_S,
    )


def _open_door(settings: Settings) -> socket.socket:
    """Take the address, so that a wrong one is named before anything else starts."""
    place = f"{settings.serve_host}:{settings.serve_port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.serve_host, settings.serve_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # The protocol is said in full: asyncio switches off Nagle's waiting, 40 ms an answer, only where it is.
        door = PacedListener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit both: a peer that is gone, or takes nothing, is forgotten by the kernel.
            door.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
            door.bind(address)
            door.listen(_BACKLOG)
        except OSError:
            door.close()
            raise
        return door
    except OSError as error:
        raise SettingsError(
            f"serve cannot listen on {place}: {error.strerror or error}",
            "choose another serve_port or serve_host in guardian.toml or GUARDIAN_SERVE_PORT, GUARDIAN_SERVE_HOST",
        ) from error


def _address(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say_who_may_write(site: Site, address: str) -> None:
    if site.access.is_open:
        writers = "only programs on this machine may write" if site.access.listens_locally else "nobody may write"
        log.warning(
            "serve listens on %s; no tokens are configured: everybody who reaches it may read, %s;"
            " [[tokens]] in guardian.toml changes that",
            address,
            writers,
        )
    else:
        log.info("serve listens on %s; %d tokens may use it", address, len(site.settings.tokens))
