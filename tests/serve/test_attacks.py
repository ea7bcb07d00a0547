"""Serve under attack: what is not said well is refused, what has no end is cut off, and the next one is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import pytest

from guardian.kafka.embedded import EmbeddedBroker
from guardian.serve.faults import Refused
from guardian.serve.taking import split_events
from tests.brokers import settings_for
from tests.serve.raw import peer
from tests.serve.running import Running, guardian

HOST = "Host: localhost"


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /healthz HTTP/1.1", "Host: a", "Host: b", ""),
        ("GET /healthz HTTP/1.1", "", ""),
        ("GET /healthz HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 2", ""),
        ("GET /healthz HTTP/1.1", HOST, "Content-Length: " + "9" * 5_000, ""),
        ("POST /v1/kill HTTP/1.1", HOST, "Content-Length: -1", ""),
        ("POST /v1/kill HTTP/1.1", HOST, "Content-Length: +1", "", "x"),
        ("POST /v1/kill HTTP/1.1", HOST, "Content-Length: ¹", "", "x"),
        ("POST /v1/kill HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked", "", "0", ""),
        ("POST /v1/kill HTTP/1.1", HOST, "Transfer-Encoding: xchunked", "", "0", ""),
        ("GET /\x00 HTTP/1.1", HOST, ""),
        ("GET / HTTP/1.1", HOST, "X: " + "a" * 200_000, ""),
        ("GET /" + "a" * 200_000 + " HTTP/1.1", HOST, ""),
        ("BREW /pot HTCPCP/1.0", HOST, ""),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""),
    ],
)
def test_what_is_no_http_is_refused_and_the_next_one_is_served(house: Running, lines: tuple[str, ...]) -> None:
    with peer(house.url) as strange:
        strange.say(*lines)
        assert strange.status() in (0, 400, 404, 431, 501)
    assert house.ready()


def test_a_length_that_promises_too_much_is_refused_before_anything_is_sent(house: Running) -> None:
    with peer(house.url) as greedy:
        greedy.say("POST /v1/events HTTP/1.1", HOST, "Content-Length: 99999999999999999999", "")
        assert greedy.status() == 413


def test_json_lines_without_an_end_are_cut_off(house: Running) -> None:
    with peer(house.url) as endless:
        endless.say("POST /v1/events HTTP/1.1", HOST, "Content-Type: application/x-ndjson")
        endless.say("Transfer-Encoding: chunked", "")
        line = b"{" * 65_536
        for _ in range(house.settings.serve_body_bytes // len(line) + 1):
            endless.say(b"%x" % len(line), line)
        assert endless.status() == 413


def test_two_million_tiny_events_cost_little_more_than_being_read() -> None:
    """Nobody else gets a turn meanwhile: a command to kill would wait."""
    body = b"[" + b"1," * 2_000_000 + b"1]"

    def refused() -> None:
        with pytest.raises(Refused, match="more than 10,000 events"):
            split_events(body, "application/json")

    def took_s(work: Callable[[], object]) -> float:
        before_s = time.process_time()
        work()
        return time.process_time() - before_s

    decoder = msgspec.json.Decoder(list[msgspec.Raw])
    assert min(took_s(refused) for _ in range(3)) < 3 * min(took_s(lambda: decoder.decode(body)) for _ in range(3))


@pytest.mark.parametrize("clients", [1, 30])
def test_B8_bodies_that_come_slowly_give_way_to_one_that_comes_whole(embedded: EmbeddedBroker, clients: int) -> None:
    settings = settings_for(embedded, "slow", serve_body_bytes=65_536)
    event = {"ts": time.time(), "flag": "a", "variant": "on", "outcome": "ok"}
    with guardian(settings, roles=False) as running, running.client() as client, ExitStack() as stack:
        running.until(lambda: client.post("/v1/events", json=event).status_code == 202)
        for number in range(30):
            slow = stack.enter_context(peer(running.url, f"127.0.1.{1 + number % clients}"))
            slow.say("POST /v1/events HTTP/1.1", HOST, "Content-Length: 65536", "")
            slow.pour(b" " * 60_000)
        for _ in range(3):
            assert client.post("/v1/events", json=[event] * 600).status_code == 202
        # An operator is not kept waiting by senders.
        assert client.post("/v1/rollouts/a/kill", json={"wait_ms": 0}).status_code == 202
        assert 'guardian_serve_shed_total{what="body"}' in client.get("/metrics").text


def test_who_hangs_up_within_a_body_is_no_fault_of_guardians_own(
    house: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with house.client() as client:
        before = client.get("/metrics").text.count('code="500"')
        with peer(house.url) as fickle:
            fickle.say("POST /v1/events HTTP/1.1", HOST, "Content-Length: 1000", "", "{")
        counted = 'guardian_serve_requests_total{code="400",method="POST",route="/v1/events"}'
        house.until(lambda: counted in client.get("/metrics").text)
        assert client.get("/metrics").text.count('code="500"') == before
    assert "Traceback" not in caplog.text
