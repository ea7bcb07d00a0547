"""Requests begin in turn: operators at once, the clients of a lane one after the other, and too many are refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from guardian.serve.access import Caller
from guardian.serve.faults import Refused
from guardian.serve.request_queue import Lane, RequestQueue, lane_of
from tests.eventually import eventually


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, 60))


class Order:
    """Requests that wait, and the order in which they began."""

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self.began: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, lane: Lane, client: str, count: int = 1) -> None:
        for number in range(count):
            self.tasks.append(asyncio.create_task(self._wait(lane, client, f"{client}{number}")))

    async def _wait(self, lane: Lane, client: str, name: str) -> None:
        await self._queue.turn(lane, client)
        self.began.append(name)


def test_B8_a_crowd_of_one_client_holds_nobody_else_up() -> None:
    async def scene() -> None:
        order = Order(RequestQueue(100))
        order.ask(Lane.OTHERS, "crowd", 50)
        order.ask(Lane.OTHERS, "viewer", 2)
        order.ask(Lane.OPERATORS, "anna", 3)
        order.ask(Lane.HEALTH, "probe", 1)
        await asyncio.gather(*order.tasks)
        assert {order.began.index(f"anna{number}") for number in range(3)} <= set(range(5))
        assert order.began.index("probe0") < 6
        assert order.began.index("viewer1") < 12
        assert [name for name in order.began if name.startswith("crowd")] == [f"crowd{n}" for n in range(50)]

    play(scene())


def test_one_round_of_the_loop_begins_one_request_of_strangers() -> None:
    async def scene() -> None:
        order = Order(RequestQueue(100))
        order.ask(Lane.OTHERS, "crowd", 20)
        counts = []
        while len(order.began) < 20:
            counts.append(len(order.began))
            await asyncio.sleep(0)
        assert max(after - before for before, after in itertools.pairwise(counts)) == 1
        await asyncio.gather(*order.tasks)

    play(scene())


@pytest.mark.parametrize(
    ("of_one_client", "at_most", "status", "word"),
    [(4, 100, 429, "4 requests of this client wait"), (100, 4, 503, "4 requests wait already")],
)
def test_B8_one_too_many_is_refused_late_and_is_asked_to_come_again(
    of_one_client: int, at_most: int, status: int, word: str
) -> None:
    async def scene() -> None:
        queue = RequestQueue(of_one_client, at_most, refused_after_s=0.01)
        order = Order(queue)
        order.ask(Lane.OTHERS, "crowd", 5)
        found = await asyncio.gather(*order.tasks, return_exceptions=True)
        (refusal,) = [one for one in found if one is not None]
        assert isinstance(refusal, Refused)
        assert (refusal.status, refusal.message) == (status, word)
        assert refusal.headers == {"Retry-After": "1"}
        await queue.turn(Lane.OTHERS, "crowd")

    play(scene())


def test_those_who_wait_for_a_refusal_are_bounded_and_the_next_loses_its_connection() -> None:
    async def scene() -> None:
        order = Order(RequestQueue(1, 1, refused_after_s=3_600))
        order.ask(Lane.OTHERS, "crowd", 3)
        await eventually(order.tasks[2].done)
        with pytest.raises(Refused) as refusal:
            order.tasks[2].result()
        assert refusal.value.headers["Connection"] == "close"
        assert not order.tasks[1].done()
        order.tasks[1].cancel()

    play(scene())


def test_a_request_that_is_given_up_takes_no_turn() -> None:
    async def scene() -> None:
        order = Order(RequestQueue(10))
        order.ask(Lane.OTHERS, "a", 3)
        await asyncio.sleep(0)
        order.tasks[0].cancel()
        await asyncio.gather(*order.tasks, return_exceptions=True)
        assert order.began == ["a1", "a2"]

    play(scene())


@pytest.mark.parametrize(
    ("is_operator", "path", "lane"),
    [
        (True, "/v1/kill", Lane.OPERATORS),
        (True, "/readyz", Lane.OPERATORS),
        (False, "/readyz", Lane.HEALTH),
        (False, "/livez", Lane.HEALTH),
        (False, "/v1/kill", Lane.OTHERS),
        (False, "/", Lane.OTHERS),
    ],
)
def test_who_waits_with_whom(is_operator: bool, path: str, lane: Lane) -> None:
    assert lane_of(Caller("a", is_operator), path) is lane
