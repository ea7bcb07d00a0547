"""ASGI middleware: responses are measured to the end of their body, streams too.

    app.add_middleware(GuardianAsgiMiddleware)          # FastAPI, Starlette
    app = GuardianAsgiMiddleware(app)                   # any other

    telemetry.measure_response(details, subject=user)   # in the handler

It needs no framework and adds nothing to the response.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from guardian.sdk.responses import CLIENT_GONE, STALLED_AFTER_S, ResponseInProgress, leave

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_LAST_BY_ITSELF = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class GuardianAsgiMiddleware:
    """Ends the measurements of `Telemetry.measure_response` with the response; adds nothing to it.

    Args:
        app: the application.
        stalled_after_s: see ResponseInProgress.
    """

    def __init__(self, app: Application, stalled_after_s: float | None = STALLED_AFTER_S) -> None:
        self._app = app
        self._stalled_after_s = stalled_after_s

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        response = ResponseInProgress(self._stalled_after_s)
        connection = _Connection(response, receive, send)
        token = response.enter()
        try:
            await self._app(scope, connection.receive, connection.send)
        except BaseException as error:
            connection.app_ended(error)
            raise
        else:
            connection.app_ended(None)
        finally:
            leave(token)


class _Connection:
    """What goes to and fro between the application and the server.

    Args:
        response: told about it.
        receive, send: the server's.
    """

    def __init__(self, response: ResponseInProgress, receive: Receive, send: Send) -> None:
        self._response = response
        self._receive = receive
        self._send = send
        self._client_gone = False
        self._expects_trailers = False

    async def receive(self) -> Message:
        """Pass on what the client sends, and notice that it goes away."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._client_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the application sends, and notice the last of it."""
        if message["type"] == "http.response.start":
            self._response.status = message["status"]
            self._expects_trailers = bool(message.get("trailers"))
        self._response.sending()
        try:
            await self._send(message)
        except OSError:
            self._client_gone = True
            raise
        finally:
            self._response.waiting()
        if message["type"] != "http.response.start":
            self._response.sent()
        if self._is_last(message):
            self._response.complete()

    def app_ended(self, error: BaseException | None) -> None:
        """End what the last chunk of the body has not ended."""
        if self._client_gone and (error is None or _comes_of_disconnecting(error)):
            self._response.left()
        else:
            self._response.broken(error)

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        if self._expects_trailers:
            return False
        return kind in _LAST_BY_ITSELF or (kind == "http.response.body" and not message.get("more_body", False))


def _comes_of_disconnecting(error: BaseException) -> bool:
    return not isinstance(error, Exception) or isinstance(error, OSError) or type(error).__name__ == CLIENT_GONE
