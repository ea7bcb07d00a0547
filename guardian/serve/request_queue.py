"""The order in which requests begin: operators first, then everybody in turn, a few a round of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from guardian.serve import metrics
from guardian.serve.access import Access, Caller
from guardian.serve.faults import Refused, fault_document
from guardian.serve.replies import json_reply

MAX_WAITING: Final = 256
"""Requests in a lane. The next one is refused: its sender may come again."""
REFUSED_AFTER_S: Final = 1.0
"""A refusal comes late: a client that asks again at once would cost as much as one that is answered."""
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
        of_one_client: requests of one client that may wait in a lane.
        at_most: requests that may wait in a lane.
        refused_after_s: how late a refusal comes.
    """

    def __init__(
        self, of_one_client: int, at_most: int = MAX_WAITING, refused_after_s: float = REFUSED_AFTER_S
    ) -> None:
        self._at_most, self._refused_after_s = at_most, refused_after_s
        self._of_one_client = of_one_client
        self._waiting: dict[Lane, dict[str, deque[asyncio.Future[None]]]] = {lane: {} for lane in Lane}
        self._counts = dict.fromkeys(Lane, 0)
        self._refused_count = 0
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
            raise await self._refusal(HTTPStatus.TOO_MANY_REQUESTS, f"{len(of_client)} requests of this client wait")
        if self._counts[lane] >= self._at_most:
            if not of_client:
                del self._waiting[lane][client]
            raise await self._refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._at_most} requests wait already")
        turn = asyncio.get_running_loop().create_future()
        of_client.append(turn)
        self._counts[lane] += 1
        self._schedule()
        await turn

    async def _refusal(self, status: HTTPStatus, message: str) -> Refused:
        """Return the refusal of a request, late unless too many wait for theirs: those cost their connection."""
        metrics.SHED.labels("request").inc()
        headers = {"Retry-After": "1"}
        if self._refused_count < self._at_most:
            self._refused_count += 1
            try:
                await asyncio.sleep(self._refused_after_s)
            finally:
                self._refused_count -= 1
        else:
            headers["Connection"] = "close"
        return Refused(status, "busy", message, "send fewer requests at a time", headers=headers)

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
                body = fault_document(refusal.reason, refusal.message, refusal.fix)
                await json_reply(body, refusal.status, headers=refusal.headers)(scope, receive, send)
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
