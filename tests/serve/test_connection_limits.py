"""A newcomer always gets in, whoever holds how many connections, and no client takes the time of all to be read."""

from __future__ import annotations

import resource

import pytest

from guardian.serve.client_address import ClientAddresses
from guardian.serve.connection_limits import (
    ACCEPTED_AT_ONCE,
    BURST_S,
    CLIENT_SHARE,
    ConnectionLimits,
    PacedListener,
    Waits,
    allow_files,
)


class Peer:
    """A connection that only notes whether it was ended."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.is_ended = False

    def give_way(self) -> None:
        self.is_ended = True


class Clock:
    """A clock that a test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def limits(at_most: int, of_one_client: int = 1_000, clock: Clock | None = None) -> ConnectionLimits:
    return ConnectionLimits(at_most, of_one_client, ClientAddresses(["10.0.0.1"]), clock or Clock())


def enter(found: ConnectionLimits, host: str, count: int = 1, waits: Waits | None = Waits.REQUEST) -> list[Peer]:
    """Connect, and wait for this."""
    peers = [Peer(host) for _ in range(count)]
    for peer in peers:
        assert found.enter(peer)
        found.note(peer, waits)
    return peers


def ended(peers: list[Peer]) -> int:
    return sum(peer.is_ended for peer in peers)


def test_B8_of_the_client_that_has_most_the_oldest_connection_gives_way() -> None:
    found = limits(10)
    few, many = enter(found, "10.0.0.8", 2), enter(found, "10.0.0.9", 8)
    newcomers = enter(found, "10.0.0.7", 3)
    assert [peer.is_ended for peer in many] == [True] * 3 + [False] * 5
    assert ended(few) == ended(newcomers) == 0


def test_B8_a_client_that_opens_thousands_closes_only_its_own() -> None:
    found = limits(100)
    operator = enter(found, "10.0.0.8")
    flood = enter(found, "10.0.0.9", 5_000)
    assert (ended(operator), ended(flood)) == (0, 5_000 - 99)


def test_B8_one_client_has_so_many_and_a_trusted_proxy_more() -> None:
    found = limits(100, 5)
    assert ended(enter(found, "10.0.0.9", 8)) == 3
    assert ended(enter(found, "10.0.0.1", 50)) == 0


def test_who_asks_for_nothing_gives_way_before_who_sends_a_body_and_who_is_answered_never() -> None:
    found = limits(4)
    answered = enter(found, "10.0.0.9", 2, None)
    body = enter(found, "10.0.0.9", 1, Waits.BODY)
    silent = enter(found, "10.0.0.8")
    enter(found, "10.0.0.7", waits=None)
    assert (ended(silent), ended(body)) == (1, 0)
    enter(found, "10.0.0.7", waits=None)
    assert (ended(body), ended(answered)) == (1, 0)


def test_the_order_is_that_of_waiting_not_of_coming() -> None:
    found = limits(2)
    (first,) = enter(found, "10.0.0.9", waits=None)
    (second,) = enter(found, "10.0.0.9")
    found.note(first, Waits.REQUEST)
    enter(found, "10.0.0.9")
    assert (first.is_ended, second.is_ended) == (False, True)


def test_a_tenth_more_is_let_in_while_nobody_can_give_way_and_not_one_more() -> None:
    found = limits(20)
    busy = enter(found, "10.0.0.9", 22, None)
    assert not found.enter(Peer("10.0.0.8"))
    found.leave(busy[0])
    assert found.enter(Peer("10.0.0.8"))
    assert ended(busy) == 0


def test_who_has_left_is_forgotten_once() -> None:
    found = limits(2)
    (peer,) = enter(found, "10.0.0.9")
    for _ in range(3):
        found.leave(peer)
        found.note(peer, Waits.REQUEST)
    assert ended(enter(found, "10.0.0.8", 2)) == 0


def test_a_client_that_took_its_time_waits_and_another_does_not() -> None:
    clock = Clock()
    found = limits(10, clock=clock)
    (greedy,), (other,) = enter(found, "10.0.0.9"), enter(found, "10.0.0.8")
    assert found.wait_s(greedy) == 0
    found.spend(greedy, BURST_S + 0.01)
    assert found.wait_s(greedy) == pytest.approx(0.01 / CLIENT_SHARE)
    assert found.wait_s(other) < found.wait_s(greedy)
    clock.now_s += 0.01 / CLIENT_SHARE
    assert found.wait_s(greedy) == pytest.approx(0)


def test_many_clients_together_are_bounded_too() -> None:
    found = limits(100)
    peers = [enter(found, f"10.0.1.{number}")[0] for number in range(20)]
    for peer in peers:
        found.spend(peer, BURST_S / 2)
    (newcomer,) = enter(found, "10.0.2.1")
    assert found.wait_s(newcomer) > 0


def test_a_listener_gives_few_connections_at_a_time() -> None:
    class Endless(PacedListener):
        """Always has one more."""

        def _accept(self) -> tuple[int, str]:
            peer = PacedListener()
            return peer.detach(), "peer"

    with Endless() as listener:
        for _ in range(3):
            for _ in range(ACCEPTED_AT_ONCE):
                connection, _ = listener.accept()
                connection.close()
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_the_limit_of_open_files_is_raised_to_what_is_needed_and_never_lowered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
        allow_files(1_000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(1_356, hard)
        allow_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(1_356, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
