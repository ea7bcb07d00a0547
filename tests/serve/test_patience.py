"""A peer that holds a connection for nothing is sent away; one that asks is answered, however long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from guardian.serve.patience import Impatient
from tests.eventually import eventually

LARGE = b"x" * 50_000_000
ASK = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hasty(Impatient):
    """The same with little patience."""

    head_within_s = 0.3
    rest_within_s = 0.3


class Server:
    """A server whose answer to /later comes when `go` is set.

    Args:
        go: lets it come.
    """

    def __init__(self, go: asyncio.Event) -> None:
        self._go = go
        self.state = ServerState()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, later, or with more than fits between two machines."""
        if scope["path"] == "/later":
            await self._go.wait()
        body = LARGE if scope["path"] == "/large" else b"here"
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Streams]:
        """Serve, and connect to it."""
        config = uvicorn.Config(
            self.app, http=Hasty, ws="none", lifespan="off", log_config=None, interface="asgi3", timeout_keep_alive=1
        )
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Hasty(config, self.state, {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
                await eventually(lambda: not self.state.connections)


def scene(play: Callable[[Server, asyncio.Event, Streams], Coroutine[Any, Any, None]]) -> None:
    """Play against a server of its own."""

    async def run() -> None:
        go = asyncio.Event()
        server = Server(go)
        async with server.connected() as streams:
            await play(server, go, streams)

    asyncio.run(run())


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What is still said until the other side hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionResetError:
        return b""


def test_who_says_nothing_is_sent_away() -> None:
    async def play(server: Server, go: asyncio.Event, streams: Streams) -> None:
        assert await ended(streams[0]) == b""
        await eventually(lambda: not server.state.connections)

    scene(play)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    async def play(server: Server, go: asyncio.Event, streams: Streams) -> None:
        reader, writer = streams
        ending = asyncio.create_task(ended(reader))

        def drip() -> bool:
            writer.write(b"G" if not ending.done() else b"")
            return ending.done()

        await eventually(drip)
        assert await ending == b""

    scene(play)


def test_a_body_that_goes_on_behind_its_answer_is_cut_off() -> None:
    async def play(server: Server, go: asyncio.Event, streams: Streams) -> None:
        reader, writer = streams
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert await reader.readuntil(b"here")
        ending = asyncio.create_task(ended(reader))

        def pour() -> bool:
            writer.write(b"x" if not ending.done() else b"")
            return ending.done()

        await eventually(pour)

    scene(play)


def test_an_answer_that_is_left_lying_does_not_keep_its_connection() -> None:
    async def play(server: Server, go: asyncio.Event, streams: Streams) -> None:
        streams[1].write(ASK % b"large")
        await eventually(lambda: server.state.total_requests == 1)
        await eventually(lambda: not server.state.connections)

    scene(play)


def test_who_has_asked_is_waited_for_and_may_ask_again() -> None:
    async def play(server: Server, go: asyncio.Event, streams: Streams) -> None:
        reader, writer = streams
        writer.write(ASK % b"later")
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        await eventually(lambda: loop.time() > asked_s + 2 * Hasty.head_within_s)
        go.set()
        assert await asyncio.wait_for(reader.readuntil(b"here"), 60)
        writer.write(ASK % b"now")
        assert await asyncio.wait_for(reader.readuntil(b"here"), 60)

    scene(play)
