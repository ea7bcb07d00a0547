"""Case H3 under ASGI: a response is measured to the end of its body."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse

from guardian.sdk.asgi import GuardianAsgiMiddleware
from guardian.sdk.measurement import Measurement
from tests.sdk.telling import SERVED, Client, client

Handler = Callable[[Any, Any, Any], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": []}


def chunk(more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"x", "more_body": more}


class Server:
    """An ASGI server with one client.

    Args:
        incoming: what the client sends.
        gone_after: sends that work before the client is gone; None for all.
    """

    def __init__(self, *incoming: dict[str, Any], gone_after: int | None = None) -> None:
        self.incoming = list(incoming)
        self.gone_after = gone_after
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.incoming:
            return self.incoming.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(self, message: dict[str, Any]) -> None:
        if self.gone_after is not None and len(self.sent) >= self.gone_after:
            raise OSError("the client is gone")
        self.sent.append(message)

    async def serve(self, app: Handler, **options: Any) -> None:
        middleware = GuardianAsgiMiddleware(app, **options)
        await middleware({"type": "http"}, self.receive, self.send)


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Client]:
    with client(tmp_path) as found:
        yield found


@contextmanager
def raised(error: type[BaseException] | None) -> Iterator[None]:
    if error is None:
        yield
    else:
        with pytest.raises(error):
            yield


def test_H3_a_stream_is_ok_when_its_last_chunk_is_sent_and_not_before(telemetry: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED, subject="u-1")
        began_s = time.perf_counter()
        await send(START)
        for _ in range(3):
            await send(chunk())
            assert telemetry.told() == []
        passed_ms.append((time.perf_counter() - began_s) * 1000)
        await send(chunk(more=False))
        assert len(telemetry.told()) == 1
        raise ValueError("a task in the background, after the response")

    passed_ms: list[float] = []
    with pytest.raises(ValueError, match="background"):
        asyncio.run(Server().serve(app))
    (event,) = telemetry.told()
    assert (event["outcome"], event["subject"], event["latency_ms"] > passed_ms[0]) == ("ok", "u-1", True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), ("error", "ValueError")),
        (HTTPException(404), ("error", "HTTPException")),  # too late for an answer
        (TimeoutError(), ("timeout", "TimeoutError")),
        (asyncio.CancelledError(), ("timeout", "CancelledError")),
        (None, ("error", "IncompleteResponse")),
    ],
    ids=repr,
)
def test_H3_a_stream_that_breaks_in_the_middle_is_an_error(
    telemetry: Client, error: BaseException | None, expected: tuple[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await send(chunk())
        if error is not None:
            raise error

    with raised(None if error is None else type(error)):
        asyncio.run(Server().serve(app))
    assert telemetry.outcomes() == [expected]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), ("error", "ValueError")),
        (HTTPException(404), ("ok", None)),
        (None, ("error", "IncompleteResponse")),
    ],
    ids=repr,
)
def test_before_the_body_an_exception_counts_as_in_a_measured_block(
    telemetry: Client, error: Exception | None, expected: tuple[str, str | None]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        if error is not None:
            raise error

    with raised(None if error is None else type(error)):
        asyncio.run(Server().serve(app))
    assert telemetry.outcomes() == [expected]


@pytest.mark.parametrize("noticed", ["receive", "send", "cancelled"])
def test_H3_a_client_that_leaves_in_the_middle_of_a_stream_is_no_failure(telemetry: Client, noticed: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await send(chunk())
        if noticed == "send":
            await send(chunk())
        assert (await receive())["type"] == "http.disconnect"
        if noticed == "cancelled":
            raise asyncio.CancelledError

    server = Server({"type": "http.disconnect"}, gone_after=2 if noticed == "send" else None)
    with raised({"send": OSError, "cancelled": asyncio.CancelledError}.get(noticed)):
        asyncio.run(server.serve(app))
    assert telemetry.outcomes() == [("ok", None)]


def test_H3_a_client_that_leaves_before_the_first_chunk_was_not_answered_in_time(telemetry: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await receive()

    asyncio.run(Server({"type": "http.disconnect"}).serve(app))
    assert telemetry.outcomes() == [("timeout", "ClientDisconnect")]


@pytest.mark.parametrize(("stalled_after_s", "outcome"), [(0.0, "timeout"), (3_600.0, "ok"), (None, "ok")])
def test_H3_a_client_that_leaves_a_stream_that_stalled_was_not_answered_either(
    telemetry: Client, stalled_after_s: float | None, outcome: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await send(chunk())
        await receive()

    asyncio.run(Server({"type": "http.disconnect"}).serve(app, stalled_after_s=stalled_after_s))
    assert [found for found, _ in telemetry.outcomes()] == [outcome]


def test_an_error_of_the_application_after_the_client_left_stays_an_error(telemetry: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await send(chunk())
        await receive()
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(Server({"type": "http.disconnect"}).serve(app))
    assert telemetry.outcomes() == [("error", "KeyError")]


def test_a_stream_hangs_only_while_the_application_is_waited_for(telemetry: Client) -> None:
    blocks: list[Measurement] = []

    def looked_at_after(seconds: float) -> None:
        blocks[0].tell_hang(time.perf_counter() + seconds)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        blocks.append(telemetry.measure_response(SERVED, hang_after_s=60))
        blocks[0].keep_alive(time.perf_counter() - 50)
        await send(START)
        looked_at_after(50)
        await send(chunk())
        looked_at_after(50)
        assert telemetry.told() == []
        looked_at_after(61)
        await send(chunk(more=False))

    class Slow(Server):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            looked_at_after(10_000)  # the client takes its time

    asyncio.run(Slow().serve(app))
    assert telemetry.outcomes() == [("hang", None)]


def test_trailers_and_files_end_a_response_too(telemetry: Client) -> None:
    async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send({**START, "trailers": True})
        await send(chunk(more=False))
        assert telemetry.told() == []
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": []})
        assert len(telemetry.told()) == 1

    async def with_file(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)
        await send(START)
        await send({"type": "http.response.pathsend", "path": "/x"})

    for app in (with_trailers, with_file):
        asyncio.run(Server().serve(app))
    assert telemetry.outcomes() == [("ok", None)] * 2


def test_other_connections_pass_and_outside_of_a_response_nothing_is_told(
    telemetry: Client, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.measure_response(SERVED)

    asyncio.run(GuardianAsgiMiddleware(app)({"type": "websocket"}, Server().receive, Server().send))
    telemetry.measure_response(SERVED)
    assert (telemetry.told(), telemetry.dropped) == ([], 2)
    (message,) = caplog.messages
    assert "measure_response outside of a request that guardian's middleware sees" in message


def fastapi(telemetry: Client) -> FastAPI:
    app = FastAPI()
    app.add_middleware(GuardianAsgiMiddleware)

    @app.get("/{what}")
    async def get(what: str) -> Any:
        telemetry.measure_response(SERVED, subject=what)
        if what == "missing":
            raise HTTPException(404)
        if what == "moved":
            return RedirectResponse("/")
        if what == "unavailable":
            return JSONResponse({}, 503)
        if what == "broken":
            raise ValueError
        return StreamingResponse(rows(what))

    @app.get("/sync/{what}")
    def sync(what: str) -> str:  # on a thread of its own
        telemetry.measure_response(SERVED, subject=f"sync {what}")
        return what

    async def rows(what: str) -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.sleep(0)
        if what == "breaks":
            raise ValueError
        yield b"2"

    return app


def test_H3_H4_a_fastapi_application_tells_what_its_clients_got(telemetry: Client) -> None:
    async def scene() -> None:
        transport = httpx.ASGITransport(fastapi(telemetry), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            for what in ("missing", "moved", "unavailable", "broken", "whole", "breaks", "sync/whole"):
                await http.get(f"/{what}")

    asyncio.run(scene())
    assert [(event["subject"], event["outcome"], event.get("error_type")) for event in telemetry.told()] == [
        ("missing", "ok", None), ("moved", "ok", None), ("unavailable", "error", "HTTP503"),
        ("broken", "error", "ValueError"), ("whole", "ok", None), ("breaks", "error", "ValueError"),
        ("sync whole", "ok", None),
    ]  # fmt: skip
