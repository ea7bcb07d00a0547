"""Under every flood a command goes through, whoever floods from how many addresses; the floods are bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from guardian.kafka.embedded import EmbeddedBroker
from tests.brokers import settings_for
from tests.serve.raw import Peer, peer
from tests.serve.running import Running, guardian, token_entry

HOST = "Host: localhost"
ROLES = ("viewer", "sender", "operator")
PAGER = "secret of the pager"
BODY_BYTES = 65_536


@pytest.fixture(scope="module")
def target(embedded: EmbeddedBroker) -> Iterator[Running]:
    """Serve alone with tokens: its producer writes, nobody answers commands."""
    tokens = [token_entry(role, role, f"secret-{role}") for role in ROLES]
    tokens.append(token_entry("pager", "viewer", PAGER))
    settings = settings_for(embedded, "floods", tokens=tokens, serve_body_bytes=BODY_BYTES)
    with guardian(settings, roles=False) as running:
        running.until(lambda: kills(running))
        with running.client("secret-viewer") as client:
            running.until(lambda: client.get("/v1/rollouts").status_code == 200)
        yield running


def kills(target: Running) -> bool:
    """Whether a command of an operator gets into the log, on a new connection."""
    with target.client("secret-operator") as client:
        return client.post("/v1/rollouts/a/kill", json={"wait_ms": 0}).status_code == 202


def head(method: str, path: str, role: str, *more: str) -> tuple[str, ...]:
    return (f"{method} {path} HTTP/1.1", HOST, f"Authorization: Bearer secret-{role}", *more, "")


def address(number: int) -> str:
    return f"127.0.{1 + number // 200}.{1 + number % 200}"


@pytest.mark.parametrize("clients", [1, 40, 1_100])
def test_B8_1100_idle_connections_keep_no_operator_out(target: Running, clients: int) -> None:
    with ExitStack() as stack:
        for number in range(1_100):
            stack.enter_context(peer(target.url, address(number % clients)))
        assert kills(target)
        with target.client(PAGER) as client:
            assert client.get("/v1/alerts").status_code == 200


def test_B8_an_operator_that_is_connected_already_is_not_the_one_who_gives_way(target: Running) -> None:
    with target.client("secret-operator") as operator, ExitStack() as stack:
        for number in range(1_100):
            if number % 100 == 0:
                assert operator.post("/v1/rollouts/a/kill", json={"wait_ms": 0}).status_code == 202
            stack.enter_context(peer(target.url, "127.0.9.9"))


def test_B8_200_streams_of_one_viewer_shut_no_pager_out(target: Running) -> None:
    with ExitStack() as stack:
        refused = 0
        for number in range(200):
            viewer = stack.enter_context(peer(target.url, address(number)))
            viewer.say(*head("GET", "/v1/stream/flags", "viewer"))
            refused += viewer.status() == 503
        assert refused == 200 - target.settings.serve_client_streams
        for token, stream in ((PAGER, "alerts"), (PAGER, "flags"), ("secret-operator", "decisions")):
            client = stack.enter_context(target.client(token))
            with client.stream("GET", f"/v1/stream/{stream}") as response:
                assert response.status_code == 200
                assert next(response.iter_lines()).startswith("retry: ")
        assert kills(target)


@pytest.mark.parametrize("clients", [1, 16])
def test_B8_16_slow_bodies_refuse_no_other_sender(target: Running, clients: int) -> None:
    event = {"ts": time.time(), "flag": "a", "variant": "on", "outcome": "ok"}
    with ExitStack() as stack:
        for number in range(16):
            slow = stack.enter_context(peer(target.url, address(number % clients)))
            slow.say(*head("POST", "/v1/events", "sender", f"Content-Length: {BODY_BYTES}"))
            slow.pour(b" " * (BODY_BYTES - 1_000))
        with target.client("secret-sender") as sender:
            assert sender.post("/v1/events", json=[event] * 600).status_code == 202
        assert kills(target)


def one_byte_chunks(stranger: Peer) -> None:
    stranger.say("POST /v1/events HTTP/1.1", HOST, "Transfer-Encoding: chunked", "")
    stranger.pour(b"1\r\nx\r\n" * 5_000)


def slow_head(stranger: Peer) -> None:
    stranger.pour(b"GET / HTT")


def pipelined(stranger: Peer) -> None:
    stranger.pour("\r\n".join((*head("GET", "/v1/rollouts", "viewer"), "")).encode() * 50)


def half_closed(stranger: Peer) -> None:
    stranger.say(*head("GET", "/", "viewer"))
    stranger.close_sending()


def old(stranger: Peer) -> None:
    stranger.say("POST /v1/rollouts/a/kill HTTP/1.0", "Connection: keep-alive", "")


def no_http(stranger: Peer) -> None:
    stranger.pour(b"\x16\x03\x01" * 1_000 + b"\r\n\r\n")


def promises(stranger: Peer) -> None:
    stranger.say(*head("POST", "/v1/events", "sender", "Content-Length: 60000", "Expect: 100-continue"))


@pytest.mark.parametrize(
    "attack", [one_byte_chunks, slow_head, pipelined, half_closed, old, no_http, promises], ids=lambda one: one.__name__
)
def test_a_command_goes_through_a_flood_from_many_addresses(target: Running, attack: Callable[[Peer], None]) -> None:
    with ExitStack() as stack:
        for number in range(100):
            stranger = stack.enter_context(peer(target.url, address(number)))
            with suppress(OSError):
                attack(stranger)
            if number % 25 == 0:
                assert kills(target)
        assert kills(target)
    assert target.until(lambda: kills(target))


def test_a_slow_reader_of_many_answers_keeps_nobody_from_theirs(target: Running) -> None:
    with ExitStack() as stack:
        for number in range(50):
            lazy = stack.enter_context(peer(target.url, address(number)))
            lazy.say(*head("GET", "/openapi.json", "viewer"))
        with target.client("secret-viewer") as client:
            assert client.get("/").status_code == 200
        assert kills(target)


def test_a_refused_request_says_why_and_when_to_come_again(target: Running) -> None:
    """More of one token than may wait: those that are refused hear it, and all are answered."""
    line = "\r\n".join((*head("GET", "/v1/rollouts", "viewer"), "")).encode()
    with ExitStack() as stack:
        crowd = [stack.enter_context(peer(target.url, address(number))) for number in range(150)]
        for one in crowd:
            one.pour(line)
        found = [one.hears() for one in crowd]
    statuses = {int(answer.split()[1]) for answer in found}
    assert statuses <= {200, 429}
    for answer in found:
        if answer.split()[1] == b"429":
            assert b"retry-after: 1" in answer
