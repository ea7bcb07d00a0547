"""Readiness tells the truth, odd requests do not multiply the figures, and an address that is taken is named."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import generate_latest

from guardian.cli.ports import free_port
from guardian.core.outputs import Beat
from guardian.errors import SettingsError
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import load_settings
from guardian.serve.app import Frame
from guardian.serve.board import Board
from guardian.serve.faults import install_faults
from guardian.serve.loop import run_serve
from guardian.serve.site import build_site
from guardian.serve.streams import Hub
from guardian.wire.outputs import encode_output
from tests.brokers import CACHE, settings_for
from tests.raw_batches import NO_SUCH_CODEC, batch, send_raw, with_codec
from tests.serve.running import Running, guardian, spec
from tests.serve.samples import AT_MS, raw


def reasons(running: Running) -> str:
    """What readiness says."""
    with running.client() as client:
        return "; ".join(client.get("/readyz").json()["reasons"])


def test_without_kafka_the_process_lives_and_says_what_is_missing() -> None:
    settings = load_settings(environ={}, bootstrap=f"127.0.0.1:{free_port()}")
    with guardian(settings, roles=False) as running, running.client() as client:
        assert client.get("/healthz").json() == {"alive": True}
        running.until(lambda: "no answer from Kafka" in reasons(running))
        answer = client.post("/v1/rollouts/a/kill")
        assert (answer.status_code, answer.json()["reason"]) == (503, "kafka")
        assert answer.headers["retry-after"] == "2"
        assert client.get("/v1/rollouts").json()["reason"] == "not_ready"
        assert client.get("/v1/stream/flags").status_code == 503
        assert client.post("/v1/rollouts?dry_run=true", content=spec("a")).status_code == 503
        assert client.get("/").status_code == 200


def test_a_ready_guardian_has_no_reasons(house: Running) -> None:
    with house.client() as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": [], "warnings": []})


def test_B4_what_guardian_left_out_is_a_warning_of_a_ready_serve(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "left-out")
    with guardian(settings) as running, running.client() as client:
        running.until(running.ready)
        bad = with_codec(batch([b"{}"], at_ms=1), NO_SUCH_CODEC)
        asyncio.run(send_raw(settings, "telemetry", 1, bad))
        running.until(lambda: "cannot be read" in "; ".join(client.get("/readyz").json()["warnings"]))
        assert client.get("/readyz").status_code == 200


def test_without_decide_serve_is_not_ready_and_says_which_partitions_are_silent(embedded: EmbeddedBroker) -> None:
    with guardian(settings_for(embedded, "no-decide"), roles=False) as running:
        running.until(lambda: reasons(running).startswith("decide has given"))
        assert reasons(running) == "decide has given no sign of life: partitions 0, 1, 2, 3 of 4"


def test_livez_and_healthz_say_the_same(http: httpx.Client) -> None:
    assert http.get("/livez").json() == http.get("/healthz").json() == {"alive": True}


def test_U1_without_ingest_guardian_is_not_ready_and_no_answer_looks_like_it(embedded: EmbeddedBroker) -> None:
    """Decide and serve live, and give signs of life: but nothing is judged."""
    with guardian(settings_for(embedded, "no-ingest"), kinds=("commands",)) as running, running.client() as client:
        running.until(lambda: reasons(running).startswith("guardian is blind"))
        assert client.post("/v1/rollouts", content=spec("a")).status_code == 200
        running.until(lambda: client.get("/v1/rollouts/a").status_code == 200)
        whole, one = client.get("/v1/rollouts").json(), client.get("/v1/rollouts/a").json()
        assert whole["rollouts"][0]["state"]["flag"] == one["state"]["flag"] == "a"
        for found in (whole["reasons"], one["reasons"]):
            assert found[0].startswith("guardian is blind: no ingest process has reported yet; no trigger")
        page = client.get("/").text
        assert "what is shown is what stands now" not in page
        assert "not ready: guardian is blind" in page
        assert client.get("/readyz?part=serve").json() == {"ready": True, "reasons": [], "warnings": []}
        assert client.get("/readyz?part=other").status_code == 422


class Clock:
    """A clock that a test moves."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def beat_to(board: Board, partition: int, blind: str = "") -> None:
    """A beat comes."""
    message = encode_output(Beat(partition, AT_MS, -1 if blind else 0, blind))
    board.take("flags", raw("flags", message.key, message.value, partition=partition))


def test_U1_blindness_is_a_reason_after_30_seconds_and_until_guardian_sees() -> None:
    clock = Clock()
    board = Board(Hub(), lambda _: None, lambda _: None, clock)
    site = replace(build_site(load_settings(environ={}, partitions=2)), board=board)
    board.past_is_read()
    for partition in range(2):
        beat_to(board, partition)
    for _ in range(6):
        clock.now_s += 5
        beat_to(board, 0, "4 source partitions do not report")
        beat_to(board, 1)
        assert site.guardian_problems() == []
    clock.now_s += 5
    beat_to(board, 0, "4 source partitions do not report")
    beat_to(board, 1)
    assert site.guardian_problems() == [
        "guardian is blind for 35 s: 4 source partitions do not report; no trigger that needs evidence fires,"
        " nothing is promoted (partitions 0 of 2)"
    ]
    beat_to(board, 0)
    assert site.guardian_problems() == []


def test_U1_a_guardian_that_was_never_seen_to_see_is_blind_at_once() -> None:
    site = replace(
        build_site(load_settings(environ={}, partitions=1)), board=Board(Hub(), lambda _: None, lambda _: None)
    )
    site.board.past_is_read()
    beat_to(site.board, 0, "no ingest process has reported yet")
    assert site.guardian_problems()[0].startswith("guardian is blind: no ingest process has reported yet")


def test_U1_beats_of_decide_before_this_version_say_nothing_of_blindness() -> None:
    site = replace(
        build_site(load_settings(environ={}, partitions=1)), board=Board(Hub(), lambda _: None, lambda _: None)
    )
    site.board.past_is_read()
    site.board.take("flags", raw("flags", b"_beat", b'{"beat": true, "partition": 0, "ts": 1.5}'))
    assert site.guardian_problems() == []


@pytest.mark.kafka
def test_topics_that_are_missing_are_named(kafka: ApacheKafka) -> None:
    with guardian(settings_for(kafka, "missing"), roles=False) as running:
        running.until(lambda: "is not there" in reasons(running))
        with running.client() as client:
            assert client.get("/v1/rollouts").status_code == 503


@pytest.mark.kafka
def test_a_killed_kafka_makes_it_unready_and_its_return_makes_it_whole_again() -> None:
    own = ApacheKafka(CACHE, heap_mb=256)
    asyncio.run(own.start())
    try:
        with guardian(settings_for(own, "killed-http")) as running, running.client() as client:
            running.until(running.ready)
            assert client.post("/v1/rollouts", content=spec("before")).status_code == 200
            running.until(lambda: client.get("/v1/rollouts/before").status_code == 200)
            own.kill()
            running.until(lambda: not running.ready())
            assert client.get("/v1/rollouts/before").status_code == 200
            asyncio.run(own.start())
            running.until(running.ready, within=90)
            assert client.post("/v1/rollouts", content=spec("after")).status_code == 200
            running.until(lambda: client.get("/v1/rollouts/after").status_code == 200)
    finally:
        asyncio.run(own.stop())
        own.forget()


def test_an_address_that_is_taken_is_named_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = load_settings(environ={}, serve_port=other.getsockname()[1])
        with pytest.raises(SettingsError, match="serve cannot listen") as error:
            asyncio.run(run_serve(settings, stop=asyncio.Event()))
    assert "serve_port" in error.value.fix


def test_a_host_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="no-such-host"):
        asyncio.run(run_serve(load_settings(environ={}, serve_host="no-such-host.invalid"), stop=asyncio.Event()))


# Figures


def test_openmetrics_is_spoken_to_who_asks_for_it(http: httpx.Client) -> None:
    answer = http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_odd_methods_and_paths_do_not_multiply_the_figures(http: httpx.Client) -> None:
    for number in range(5):
        http.request(f"ODD{number}", f"/odd/{number}")
    lines = [line for line in http.get("/metrics").text.splitlines() if "guardian_serve_requests_total" in line]
    assert [line for line in lines if "ODD" in line or "/odd" in line] == []
    assert [line for line in lines if 'method="other"' in line]


def test_nothing_of_serve_names_another_host() -> None:
    room = Path(__file__).parents[2] / "guardian" / "serve"
    addresses = {
        found
        for file in room.glob("*.py")
        for found in re.findall(r"https?://[^\s\"'{}]+", file.read_text(encoding="utf-8"))
    }
    assert {address.split(":8620")[0] for address in addresses} <= {"http://127.0.0.1", "http://["}


def test_a_route_that_dies_is_answered_without_its_secrets_and_counted() -> None:
    app = FastAPI()
    install_faults(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Frame(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://serve") as client:
            return await client.get("/broken")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "a secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 'code="500",method="GET",route="/broken"' in generate_latest().decode()
