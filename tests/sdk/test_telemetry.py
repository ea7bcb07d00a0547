"""Telemetry arrives as ingest reads it, and never blocks, fails or outgrows its application."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import GuardianProvider, Served, Telemetry, TelemetryOptions
from guardian.sdk.outbox import Letter, Outbox
from guardian.wire.events import decode_hot, decode_telemetry
from tests.brokers import Broker, settings_for
from tests.eventually import eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import arrived, closed_port, guardian, installed, provider_for

SERVED = Served(FLAG, "on", 1_763_699_000_456, "split", True)
SILENT = TelemetryOptions(heartbeat_s=0, linger_s=0.02, instance="one")


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics on the embedded broker."""
    made = settings_for(embedded, "telemetry")
    asyncio.run(create_topics(made))
    return made


def telemetry_for(settings: Settings, options: TelemetryOptions = SILENT, **arguments: Any) -> Telemetry:
    return Telemetry("checkout", bootstrap=settings.bootstrap, prefix=settings.prefix, options=options, **arguments)


def nowhere() -> str:
    return f"127.0.0.1:{closed_port()}"


def told(settings: Settings, telemetry: Telemetry, count: int) -> list[dict[str, Any]]:
    """What arrived, by time; every event is one that ingest takes."""
    assert telemetry.flush(60)
    values = asyncio.run(arrived(settings, count))
    for value in values:
        decode_telemetry(value)
    return sorted((orjson.loads(value) for value in values), key=lambda event: event["ts"])


def test_a_measured_block_becomes_an_event_with_version_and_assignment(settings: Settings) -> None:
    with telemetry_for(settings) as telemetry:
        before = time.time()
        with telemetry.measure(SERVED, subject="u-1", attributes={"region": "eu"}, metrics={"cache_hit": 1}):
            pass
        (event,) = told(settings, telemetry, 1)
    assert before <= event.pop("ts") <= time.time()
    assert 0 <= event.pop("latency_ms") < 1_000
    assert event == {
        "flag": FLAG, "variant": "on", "outcome": "ok", "service": "checkout", "instance": "one", "subject": "u-1",
        "attributes": {"region": "eu"}, "metrics": {"cache_hit": 1}, "flag_version": 1_763_699_000_456,
        "assignment": "split",
    }  # fmt: skip


def test_an_exception_is_told_and_goes_on_its_way(settings: Settings) -> None:
    def fail(error: BaseException) -> None:
        with telemetry.measure(SERVED):
            raise error

    def crash() -> None:
        with telemetry.measure(SERVED) as block:
            block.fields["outcome"] = "crash"
            _ = 1 / 0

    with telemetry_for(settings) as telemetry:
        for error in (KeyError("x"), TimeoutError(), asyncio.CancelledError(), SystemExit()):
            with pytest.raises(type(error)):
                fail(error)
        with pytest.raises(ZeroDivisionError):
            crash()
        events = told(settings, telemetry, 5)
        assert telemetry.delivered == 5
    assert [(event["outcome"], event["error_type"]) for event in events] == [
        ("error", "KeyError"), ("timeout", "TimeoutError"), ("timeout", "CancelledError"), ("timeout", "SystemExit"),
        ("crash", "ZeroDivisionError"),
    ]  # fmt: skip


def test_an_evaluation_of_the_provider_is_taken_as_it_is(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian(settings) as writer:
            await writer.write(written(version=9, weight_bp=10_000))

    asyncio.run(scene())
    with installed(provider_for(settings)) as client, telemetry_for(settings) as telemetry:
        found = client.get_boolean_details(FLAG, False)
        unknown = client.get_boolean_details("unknown", False)
        telemetry.request([found, unknown], latency_ms=3.5)
        (event,) = told(settings, telemetry, 1)
        assert telemetry.unattributed_count == 1
    assert (event["flag"], event["variant"], event["flag_version"], event["assignment"]) == (FLAG, "off", 9, "default")


def test_every_kind_of_event_is_one_that_ingest_takes(settings: Settings) -> None:
    with telemetry_for(settings) as telemetry:
        telemetry.request(flag=FLAG, variant="off", flag_version=3, assignment="outside", outcome="hang")
        telemetry.request(flags={FLAG: "on", "other": "off"}, outcome="error", error_type="Timeout")
        telemetry.request([SERVED, Served("other", "off", 4, "split")])
        telemetry.exposure(SERVED, subject="u-8")
        telemetry.gauge(FLAG, {"queue": 7})
        telemetry.feedback(SERVED, "complaint", subject="u-7")
        telemetry.heartbeat()
        events = told(settings, telemetry, 8)
    assert [event.get("kind", "request") for event in events] == [
        "request", "request", "request", "request", "exposure", "gauge", "feedback", "heartbeat",
    ]  # fmt: skip
    assert events[1]["flags"] == {FLAG: "on", "other": "off"}
    assert events[5]["metrics"] == {"queue": 7}
    assert (events[6]["feedback"], events[6]["severity"]) == ("complaint", "warning")


def test_requests_take_the_hot_path_of_ingest(settings: Settings) -> None:
    with telemetry_for(settings) as telemetry:
        for number in range(50):
            telemetry.request(SERVED, latency_ms=1.5, subject=f"u-{number}", attributes={"line": "a\nb"})
        assert telemetry.flush(60)
        hot = decode_hot(asyncio.run(arrived(settings, 50)))
    assert hot is not None
    assert {(event.flag, event.variant, event.latency_ms) for event in hot} == {(FLAG, "on", 1.5)}


def test_a_crash_is_sent_at_once_and_takes_along_what_waits(settings: Settings) -> None:
    patient = TelemetryOptions(heartbeat_s=0, linger_s=3_600)
    with telemetry_for(settings, patient) as telemetry:
        telemetry.request(SERVED)
        assert telemetry.flush(60)  # connected from here on
        telemetry.request(SERVED)
        telemetry.request(SERVED, outcome="crash")
        assert len(asyncio.run(arrived(settings, 3))) == 3


def test_heartbeats_tell_versions_in_use_drops_and_usage(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian(settings) as writer:
            await writer.write(written(version=9))

    asyncio.run(scene())
    options = TelemetryOptions(heartbeat_s=0.1, linger_s=0.02, instance="one")
    provider = provider_for(settings)
    with installed(provider) as client, telemetry_for(settings, options, provider=provider) as telemetry:
        client.get_boolean_details(FLAG, False)
        client.get_string_details(FLAG, "of another type")
        telemetry.request(SERVED, outcome="purple")
        beats = [orjson.loads(value) for value in asyncio.run(arrived(settings, 4))]
    newest = max(beats, key=lambda event: event["ts"])
    assert (newest["kind"], newest["service"], newest["instance"]) == ("heartbeat", "checkout", "one")
    assert newest["flags"] == {FLAG: 9}
    assert (newest["dropped"], newest["evaluation_errors"]) == (1, 1)
    assert newest["memory_bytes"] > 1_000_000
    assert newest["cpu_pct"] >= 0
    for beat in beats:
        decode_telemetry(orjson.dumps(beat))


def test_with_the_broker_away_memory_is_bounded_and_every_drop_is_counted() -> None:
    options = TelemetryOptions(heartbeat_s=0, max_events=100, backoff_s=0.01)
    telemetry = Telemetry("checkout", bootstrap=nowhere(), options=options)
    for number in range(1_000):
        telemetry.request(SERVED, subject=f"u-{number}")
    assert telemetry.dropped == 900
    # False is what is said when the time was up: without a limit it would end once all was given up, and be true.
    assert not telemetry.flush(0.2)
    assert not telemetry.close(0.2)
    assert (telemetry.delivered, telemetry.dropped) == (0, 1_000)
    telemetry.request(SERVED)
    assert telemetry.dropped == 1_001


def test_the_oldest_events_are_dropped_first_and_bytes_are_bounded_too() -> None:
    outbox = Outbox(max_events=3, max_bytes=10)
    for number in range(5):
        outbox.put(Letter("t", None, b"%d" % number))
    assert [letter.value for letter in outbox.take(10)] == [b"2", b"3", b"4"]
    outbox.put(Letter("t", None, b"small"))
    outbox.put(Letter("t", None, b"rather big"))
    assert [letter.value for letter in outbox.take(10)] == [b"rather big"]
    assert (outbox.accepted, outbox.dropped) == (7, 3)
    outbox.put(Letter("t", None, b"larger than everything"))
    assert len(outbox) == 0


def test_what_the_broker_did_not_acknowledge_in_time_counts_as_dropped() -> None:
    async def scene() -> None:
        options = TelemetryOptions(heartbeat_s=0, deliver_within_s=0.3, backoff_s=0.01)
        async with EmbeddedBroker() as broker:
            telemetry = Telemetry("checkout", None, broker.bootstrap, "lost", options)
            telemetry.request(SERVED)
            assert await asyncio.to_thread(telemetry.flush, 10)
        for _ in range(50):
            telemetry.request(SERVED)
        assert await asyncio.to_thread(telemetry.flush, 10)
        assert (telemetry.delivered, telemetry.dropped) == (1, 50)
        await asyncio.to_thread(telemetry.close, 0.1)

    asyncio.run(scene())


def test_events_that_wait_for_the_broker_arrive_when_it_comes(settings: Settings) -> None:
    async def scene() -> None:
        port = closed_port()
        options = TelemetryOptions(heartbeat_s=0, backoff_s=0.02, backoff_most_s=0.05)
        telemetry = Telemetry("checkout", None, f"127.0.0.1:{port}", settings.prefix, options)
        for _ in range(100):
            telemetry.request(SERVED)
        await eventually(lambda: telemetry.failures > 1)
        # From here on there is somebody at the address: the embedded broker, behind a door.
        door = await asyncio.start_server(lambda reader, writer: forward(reader, writer, settings), "127.0.0.1", port)
        async with door:
            assert len(await arrived(settings, 100)) == 100
            assert await asyncio.to_thread(telemetry.close)
        assert (telemetry.delivered, telemetry.dropped) == (100, 0)

    asyncio.run(scene())


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings) -> None:
    host, port = settings.bootstrap.split(":")
    inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
    await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "purple"},
        {"flag": FLAG},
        {"flag": FLAG, "variant": "half \ud83d"},
        {"flag": FLAG, "variant": "on", "ts": "yesterday", "flag_version": 2**65},
        {"flags": 5},
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_counted_and_nothing_is_raised(tmp_path: Path, fields: dict[str, Any]) -> None:
    options = TelemetryOptions(path=tmp_path / "events.jsonl")
    with Telemetry("checkout", options=options) as telemetry:
        telemetry.request(**fields)
        assert telemetry.dropped == 1


def test_figures_that_cannot_be_meant_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Telemetry("checkout", options=TelemetryOptions(path=path)) as telemetry:
        for latency_ms in (math.nan, math.inf, -1.0, None, "slow", True):
            telemetry.request(SERVED, latency_ms=latency_ms, subject=5)  # type: ignore[arg-type]
        telemetry.request(SERVED, attributes={"error": ValueError("x"), 3: {1, 2}})  # type: ignore[dict-item]
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert len(events) == 7
    assert all("latency_ms" not in event for event in events)
    assert events[0]["subject"] == "5"
    for line in path.read_bytes().splitlines():
        decode_telemetry(line)


def test_many_threads_tell_at_once_and_nothing_is_lost(settings: Settings) -> None:
    with telemetry_for(settings) as telemetry:

        def tell() -> None:
            for _ in range(500):
                telemetry.request(SERVED)

        threads = [threading.Thread(target=tell) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert telemetry.flush(60)
        assert (telemetry.delivered, telemetry.dropped) == (4_000, 0)
    assert len(asyncio.run(arrived(settings, 4_000))) == 4_000


def test_a_process_that_just_ends_has_told_everything(settings: Settings) -> None:
    program = (
        "import sys; from guardian.sdk import Served, Telemetry\n"
        "t = Telemetry('checkout', None, sys.argv[1], sys.argv[2])\n"
        "for n in range(100): t.request(Served('f', 'on', n, 'split'))\n"
    )
    command = [sys.executable, "-c", program, settings.bootstrap, settings.prefix]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    values = asyncio.run(arrived(settings, 100))
    assert sum(b'"flag":"f"' in value for value in values) == 100


def test_a_process_that_ends_without_a_broker_does_not_wait_for_it() -> None:
    program = (
        "import sys; from guardian.sdk import Served, Telemetry, TelemetryOptions\n"
        "options = TelemetryOptions(deliver_within_s=3_600)\n"
        "Telemetry('checkout', None, sys.argv[1], options=options).request(Served('f', 'on'))\n"
    )
    subprocess.run([sys.executable, "-c", program, nowhere()], timeout=120, check=True)


def test_a_forked_process_tells_for_itself(settings: Settings) -> None:
    with telemetry_for(settings) as telemetry:
        telemetry.request(SERVED)
        assert telemetry.flush(60)
        child = os.fork()
        if child == 0:
            telemetry.request(SERVED, subject="child")
            os._exit(0 if telemetry.flush(60) and telemetry.delivered == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(asyncio.run(arrived(settings, 2))) == 2


def test_on_either_broker_every_event_arrives_once(broker: Broker) -> None:
    settings = settings_for(broker, "telemetry")
    asyncio.run(create_topics(settings))
    with telemetry_for(settings) as telemetry:
        for number in range(3_000):
            telemetry.request(SERVED, subject=f"u-{number}", latency_ms=1.0)
        assert telemetry.flush(60)
        values = asyncio.run(arrived(settings, 3_000))
    assert len({orjson.loads(value)["subject"] for value in values}) == len(values) == 3_000


def test_a_provider_is_not_needed_for_a_heartbeat(settings: Settings) -> None:
    provider = GuardianProvider(nowhere())
    assert provider.versions_in_use() == {}
    with telemetry_for(settings, provider=provider) as telemetry:
        telemetry.heartbeat()
        (event,) = told(settings, telemetry, 1)
    assert "flags" not in event
