"""The figures of every role, as its process gives them: promtool finds no fault, and they say what happened."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import EMBEDDED_PARTITIONS, Settings
from tests.brokers import settings_for
from tests.metrics import roles
from tests.metrics.roles import ROLES, Roles
from tests.promtool import faults
from tests.serve.running import spec

FLAG: Final = "new-pricing"
GOOD: Final = 40
LATE: Final = 3
DEAD: Final = 2
LATE_BY_S: Final = 600
FRESH_S: Final = 15.0
"""Generous, for a busy machine; what is wrong here is wrong by hours."""


async def send(settings: Settings, topic: str, *values: bytes) -> None:
    """Send values as an application with a Kafka client of its own would: nobody looks at them before ingest does."""
    async with running(producer(settings), settings) as client:
        for value in values:
            await client.send_and_wait(settings.topic(topic), value)


def event(version: int, **fields: Any) -> bytes:
    document = {"ts": time.time(), "flag": FLAG, "variant": "on", "outcome": "ok", "flag_version": version}
    return json.dumps({**document, **fields}).encode()


@pytest.fixture(scope="module")
def house(embedded: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """Every role in a process of its own, after a rollout that a crash took back, late events and dead letters."""
    settings = settings_for(embedded, "figures")
    asyncio.run(create_topics(settings))
    with roles.running(settings, tmp_path_factory.mktemp("figures")) as house:
        with httpx.Client(base_url=house.url, timeout=30, trust_env=False) as client:
            assert client.post("/v1/rollouts", content=spec(FLAG)).json()["ok"]
            assert client.post(f"/v1/rollouts/{FLAG}/start", json={"reason": "a test"}).json()["ok"]
            house.until(lambda: client.get(f"/v1/flags/{FLAG}").status_code == 200)
            version = client.get(f"/v1/flags/{FLAG}").json()["metadata"]["version"]
            late = [event(version, ts=time.time() - LATE_BY_S)] * LATE
            asyncio.run(send(settings, "telemetry", *[event(version)] * GOOD, *[b"{"] * DEAD, *late))
            asyncio.run(send(settings, "commands", b"no command"))
            # Ingest has said how far it is since; what is late now is late for decide, too.
            house.until(lambda: house.value("decide", "guardian_decide_late_events_total") == LATE)
            asyncio.run(send(settings, "telemetry", event(version, outcome="crash")))
            house.until(lambda: "TRIGGER_FIRED" in client.get("/v1/decisions").text)
            client.get("/v1/nothing")
        yield house


@pytest.mark.parametrize("role", ROLES)
def test_promtool_finds_no_fault_with_what_a_role_shows(house: Roles, role: str) -> None:
    found = house.figures(role)
    assert f"guardian_{role}_" in found
    assert faults(found) == ""


def test_a_path_that_is_not_there_is_counted_and_makes_no_series(house: Roles) -> None:
    found = house.figures("serve")
    assert 'guardian_serve_requests_total{code="404",method="GET",route="none"} 1.0' in found
    assert "/v1/nothing" not in found


def test_promtool_is_asked_in_earnest() -> None:
    registry = CollectorRegistry()
    Gauge("guardian_wait_ms", "A wait", registry=registry)
    Gauge("guardian_odd_total", "Odd", registry=registry)
    said = faults(generate_latest(registry).decode())
    assert "guardian_wait_ms metric names should not contain abbreviated units" in said
    assert "guardian_odd_total" in said
    assert faults("guardian_broken{") != ""


# What ingest says


def test_each_event_is_counted_by_its_topic_the_unreadable_ones_too(house: Roles) -> None:
    total = "guardian_ingest_events_total"
    assert house.value("ingest", total, topic=house.settings.topic("telemetry")) == GOOD + LATE + DEAD + 1
    assert house.value("ingest", total, topic=house.settings.topic("commands")) == 3
    assert house.values("ingest", total, topic=house.settings.topic("migrations")) == [0]


def test_each_dead_letter_is_counted_with_its_reason_beside_the_zeros_of_the_others(house: Roles) -> None:
    total = "guardian_ingest_dead_letters_total"
    for topic, count in {"telemetry": DEAD, "commands": 1, "migrations": 0}.items():
        name = house.settings.topic(topic)
        assert house.value("ingest", total, topic=name, reason="malformed_json") == count
        assert house.value("ingest", total, topic=name) == count
        assert house.values("ingest", total, topic=name, reason="time_in_future") == [0]


@pytest.mark.parametrize("topic", ["telemetry", "migrations"])
def test_a_partition_that_is_read_to_its_end_has_no_lag_and_a_watermark_of_now(house: Roles, topic: str) -> None:
    name = house.settings.topic(topic)
    house.until(lambda: house.values("ingest", "guardian_ingest_lag_records", topic=name) == [0] * EMBEDDED_PARTITIONS)

    def is_now() -> bool:
        watermarks = house.values("ingest", "guardian_ingest_watermark_seconds", topic=name)
        assert len(watermarks) == EMBEDDED_PARTITIONS
        return all(0 < time.time() - watermark < FRESH_S for watermark in watermarks)

    house.until(is_now)


def test_commands_have_a_lag_too_and_no_watermark(house: Roles) -> None:
    name = house.settings.topic("commands")
    assert house.values("ingest", "guardian_ingest_lag_records", topic=name) == [0] * EMBEDDED_PARTITIONS
    assert house.values("ingest", "guardian_ingest_watermark_seconds", topic=name) == []


def test_the_time_of_ingests_ticks_is_measured(house: Roles) -> None:
    count = house.value("ingest", "guardian_ingest_tick_seconds_count")
    assert count >= 4
    assert house.value("ingest", "guardian_ingest_tick_seconds_sum") > 0


# What decide says


def test_each_decision_is_counted_by_its_reason_as_it_stands_on_the_topic(house: Roles) -> None:
    with httpx.Client(base_url=house.url, trust_env=False) as client:

        def agree() -> bool:
            written = Counter(one["reason"] for one in client.get("/v1/decisions?limit=1000").json()["decisions"])
            shown = {
                sample.labels["reason"]: sample.value
                for family in text_string_to_metric_families(house.figures("decide"))
                for sample in family.samples
                if sample.name == "guardian_decide_decisions_total" and sample.value
            }
            return {"APPLIED", "STARTED", "TRIGGER_FIRED"} <= set(shown) and shown == written

        house.until(agree)


def test_every_second_each_partition_folds_a_tick_and_its_time_is_measured(house: Roles) -> None:
    name = "guardian_decide_tick_seconds_count"
    before = house.value("decide", name)
    house.until(lambda: house.value("decide", name) >= before + 3 * EMBEDDED_PARTITIONS)
    # One a second and partition, and one more when it was taken over.
    count, life_s = house.value("decide", name), time.time() - house.value("decide", "process_start_time_seconds")
    assert count <= EMBEDDED_PARTITIONS * (life_s + 2)
    assert house.value("decide", "guardian_decide_tick_seconds_sum") > 0


def test_decide_is_neither_behind_nor_blind_and_says_how_old_its_checkpoint_is(house: Roles) -> None:
    assert house.values("decide", "guardian_decide_owned_partitions") == [EMBEDDED_PARTITIONS]
    for name, most in (
        ("guardian_decide_input_age_seconds", FRESH_S),
        ("guardian_decide_input_lag_records", 100),
        ("guardian_watermark_lag_seconds", FRESH_S),
    ):
        house.until(lambda name=name, most=most: max(house.values("decide", name)) < most)
    house.until(lambda: min(house.values("decide", "guardian_decide_checkpoint_age_seconds")) < 2)


def test_serve_is_not_behind_and_knows_decides_sign_of_life(house: Roles) -> None:
    house.until(lambda: house.values("serve", "guardian_serve_lag_records") == [0])
    house.until(lambda: 0 < house.value("serve", "guardian_serve_beat_age_seconds") < FRESH_S)
    assert house.value("serve", "guardian_serve_commands_total", command="start", answer="accepted") == 1
    assert house.values("serve", "guardian_serve_stream_clients", stream="alerts") == [0]


# At the end of the file, for it ends a role


def test_without_ingest_decide_says_that_it_is_blind(house: Roles) -> None:
    house.stop("ingest")
    lag = "guardian_watermark_lag_seconds"
    house.until(lambda: house.values("decide", lag) == [math.inf] * EMBEDDED_PARTITIONS)
    house.until(lambda: max(house.values("decide", "guardian_decide_input_age_seconds")) < FRESH_S)


def test_without_decide_the_age_of_its_last_sign_of_life_grows(house: Roles) -> None:
    age = "guardian_serve_beat_age_seconds"
    house.stop("decide")
    before = house.value("serve", age)
    house.until(lambda: house.value("serve", age) > before + 6)
