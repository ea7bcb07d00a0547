"""The order in which requests begin: operators first, then everybody in turn, a few a round of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from guardian.serve import metrics
from guardian.serve.access import Access, Caller
from guardian.serve.faults import Refused, fault_document
from guardian.serve.replies import json_reply

MAX_WAITING: Final = 256
"""Requests in a lane. The next one is refused: its sender may come again."""
CALLER: Final = "guardian.caller"
"""The key in ASGI's scope under which routes find who a request is from."""
HEALTH_PATHS: Final = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})


class Lane(Enum):
    """Who waits with whom; the value is how many begin in one round of the event loop."""

    OPERATORS = (0, 8)
    HEALTH = (1, 1)
    OTHERS = (2, 1)


class RequestQueue:
    """Lets requests begin, the clients of a lane in turn.

    Answering a request takes about a millisecond in which nobody else gets a turn. So a thousand that begin together
    would make a command wait for a second at each step of its way.

    Args:
        of_one_client: requests of one client that may wait.
    """

    def __init__(self, of_one_client: int) -> None:
        self._of_one_client = of_one_client
        self._waiting: dict[Lane, dict[str, deque[asyncio.Future[None]]]] = {lane: {} for lane in Lane}
        self._counts = dict.fromkeys(Lane, 0)
        self._is_scheduled = False

    async def turn(self, lane: Lane, client: str) -> None:
        """Wait until a request may begin.

        Args:
            lane: where it waits.
            client: whose it is.

        Raises:
            Refused: too many wait already.
        """
        of_client = self._waiting[lane].setdefault(client, deque())
        if len(of_client) >= self._of_one_client:
            raise _refused(HTTPStatus.TOO_MANY_REQUESTS, f"{len(of_client)} requests of this client wait already")
        if self._counts[lane] >= MAX_WAITING:
            if not of_client:
                del self._waiting[lane][client]
            raise _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_WAITING} requests wait already")
        turn = asyncio.get_running_loop().create_future()
        of_client.append(turn)
        self._counts[lane] += 1
        self._schedule()
        await turn

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Let the next ones begin, and come back in the next round if there are more."""
        self._is_scheduled = False
        for lane in Lane:
            for _ in range(min(lane.value[1], self._counts[lane])):
                self._begin_next(lane)
        if any(self._counts.values()):
            self._schedule()

    def _begin_next(self, lane: Lane) -> None:
        waiting = self._waiting[lane]
        client = next(iter(waiting))
        turns = waiting.pop(client)
        turn = turns.popleft()
        self._counts[lane] -= 1
        if turns:
            waiting[client] = turns  # behind the others
        if not turn.done():
            turn.set_result(None)


class Admission:
    """Around the application: says whose each request is, and makes it wait for its turn.

    Args:
        app: what answers.
        access: tells callers apart.
        queue: the order.
    """

    def __init__(self, app: ASGIApp, access: Access, queue: RequestQueue) -> None:
        self._app, self._access, self._queue = app, access, queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when it is its turn."""
        if scope["type"] == "http":
            caller = scope[CALLER] = self._access.caller(scope)
            try:
                await self._queue.turn(lane_of(caller, scope["path"]), caller.key)
            except Refused as refusal:
                await _reply(refusal, scope["method"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def caller_of(scope: Any) -> Caller:
    """Return whose request it is.

    Args:
        scope: of ASGI, as `Admission` passed it on.
    """
    caller: Caller = scope[CALLER]
    return caller


def lane_of(caller: Caller, path: str) -> Lane:
    """Return where a request waits."""
    if caller.is_operator:
        return Lane.OPERATORS
    return Lane.HEALTH if path in HEALTH_PATHS else Lane.OTHERS


def _refused(status: HTTPStatus, message: str) -> Refused:
    metrics.SHED.labels("request").inc()
    return Refused(status, "busy", message, "send fewer requests at a time", headers={"Retry-After": "1"})


def _reply(refusal: Refused, method: str) -> Response:
    body = fault_document(refusal.reason, refusal.message, refusal.fix)
    # The connection goes too: its next request would be one too many again. Not while a body may be on its way: to
    # close then would reset the connection before the answer is read.
    headers = {**refusal.headers, "Connection": "close"} if method in ("GET", "HEAD") else refusal.headers
    return json_reply(body, refusal.status, headers=headers)
