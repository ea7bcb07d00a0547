"""Bodies share a bounded room: who sends slowly gives way, and who sends too slowly is not waited for."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from guardian.kafka.embedded import EmbeddedBroker
from guardian.serve.access import Caller
from guardian.serve.bodies import Place, Room
from guardian.serve.faults import Refused
from tests.brokers import settings_for
from tests.serve.raw import peer
from tests.serve.running import guardian


class Body(Place):
    """A body of which a test says whether it is read, and how fast."""

    is_read = True
    rate = 1.0


def place(stack: ExitStack, room: Room, key: str, size: int, rate: float = 1.0) -> Body:
    """A body that holds so many bytes."""
    found = stack.enter_context(room.place(Caller(key, is_operator=False)))
    found.__class__ = Body
    assert isinstance(found, Body)
    found.rate = rate
    room.take(found, size)
    return found


def test_B8_in_a_full_room_the_slowest_body_of_the_client_that_holds_most_gives_way() -> None:
    room = Room(100, 100, 10)
    with ExitStack() as stack:
        small = place(stack, room, "small", 10, 0.1)
        slow, quick = place(stack, room, "large", 45, 2.0), place(stack, room, "large", 45, 9.0)
        newcomer = place(stack, room, "new", 20, 5.0)
        assert [one.was_spared for one in (small, slow, quick, newcomer)] == [False, True, False, False]
        room.take(newcomer, 25)  # what the slow one held is free at once
        assert not quick.was_spared
    with ExitStack() as stack:
        place(stack, room, "all", 100)  # and all of it in the end


def test_a_body_that_has_been_read_is_not_given_up() -> None:
    room = Room(100, 100, 10)
    with ExitStack() as stack:
        done = place(stack, room, "done", 100)
        done.is_read = False
        with pytest.raises(Refused, match="as many bodies as fit into memory") as refusal:
            place(stack, room, "new", 1)
        assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
        assert not done.was_spared


def test_B8_one_client_fills_its_own_part_only() -> None:
    room = Room(100, 50, 3)
    with ExitStack() as stack:
        slow, quick = place(stack, room, "greedy", 25, 1.0), place(stack, room, "greedy", 25, 3.0)
        third = place(stack, room, "greedy", 20, 2.0)
        assert (slow.was_spared, quick.was_spared) == (True, False)
        with pytest.raises(Refused, match="fill the memory that it may use"):
            room.take(third, 10)  # it is the slowest of its client itself
        with pytest.raises(Refused, match="3 bodies of this client") as refusal:
            place(stack, room, "greedy", 0)
        assert refusal.value.status == 429
        place(stack, room, "other", 50)


def test_B8_a_body_that_does_not_come_is_not_waited_for(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "slow-body", serve_body_rate=1_000_000)
    with guardian(settings, roles=False) as running, peer(running.url) as slow:
        slow.say("POST /v1/rollouts/a/kill HTTP/1.1", "Host: localhost", "Content-Length: 100", "", "{")
        assert slow.status() == 408
