"""Serve under attack: what is not said well is refused, what has no end is cut off, and the next one is served."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from guardian.serve.faults import Refused
from guardian.serve.taking import split_events
from tests.serve.raw import peer
from tests.serve.running import Running

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
