"""`log_migration_event` says how a migrated component fared, to Kafka or to a file, and never fails it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import configure, dropped_migration_events, flush_migration_events, log_migration_event, migrations
from guardian.wire.events import decode_migration
from tests.brokers import settings_for
from tests.sdk.scenes import arrived


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has configured nothing yet."""
    client = migrations._Migrations()
    monkeypatch.setattr(migrations, "_default", client)
    monkeypatch.delenv("GUARDIAN_BOOTSTRAP", raising=False)
    monkeypatch.delenv("GUARDIAN_PREFIX", raising=False)
    yield
    if client._sink is not None:
        client._sink.close(2.0)


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics on the embedded broker."""
    made = settings_for(embedded, "migrations")
    asyncio.run(create_topics(made))
    return made


def log_four() -> None:
    """The three calls of the plan, and a dual run."""
    log_migration_event(
        component="jax_optimization",
        event_type="success",
        duration=0.123,
        metadata={"user_id": "u", "data_size": 5, "feature_flag_enabled": True},
    )
    log_migration_event("jax_optimization", "failure", 0.05, {"error": ValueError("no"), "traceback": "..."})
    log_migration_event(component="jax_optimization", event_type="fallback", metadata={"reason": "legacy"})
    log_migration_event("jax_optimization", "dual_run", match=False, control_ms=11.0, candidate_ms=7.5, flag="jax")


def check_four(values: list[bytes]) -> None:
    events = [decode_migration(value) for value in values]
    assert sorted(event.event_type for event in events) == ["dual_run", "failure", "fallback", "success"]
    assert {event.component for event in events} == {"jax_optimization"}
    (success,) = [event for event in events if event.event_type == "success"]
    assert (success.duration, success.service) == (0.123, "fits")
    assert success.enabled is True
    (dual_run,) = [event for event in events if event.event_type == "dual_run"]
    assert (dual_run.match, dual_run.control_ms, dual_run.candidate_ms, dual_run.flag) == (False, 11.0, 7.5, "jax")
    (failure,) = [orjson.loads(value) for value in values if b'"failure"' in value]
    assert failure["metadata"]["error"] == "no"


def test_migration_events_arrive_as_ingest_reads_them(settings: Settings) -> None:
    configure(settings.bootstrap, settings.prefix, service="fits")
    log_four()
    assert flush_migration_events(10)
    check_four(asyncio.run(arrived(settings, 4, topic="migrations")))
    assert dropped_migration_events() == 0


def test_migration_events_go_to_a_file_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    configure(path=path, service="fits")
    log_four()
    assert flush_migration_events(10)
    check_four(path.read_bytes().splitlines())


def test_the_environment_is_configuration_enough(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDIAN_BOOTSTRAP", settings.bootstrap)
    monkeypatch.setenv("GUARDIAN_PREFIX", settings.prefix)
    log_migration_event("pricing_engine", "success")
    assert flush_migration_events(10)
    (value,) = asyncio.run(arrived(settings, 1, topic="migrations"))
    assert decode_migration(value).component == "pricing_engine"


def test_unconfigured_events_are_dropped_and_counted_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "guardian.sdk"):
        log_four()
    assert dropped_migration_events() == 4
    assert [record.message for record in caplog.records] == [
        "migration events are dropped: call guardian.sdk.configure(...) or set GUARDIAN_BOOTSTRAP"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("c", "perhaps"),
        ("c", ["list"]),
        ("half \ud83d", "success"),
    ],
    ids=lambda arguments: str(arguments)[:40],
)
def test_what_cannot_be_sent_is_counted_and_nothing_is_raised(tmp_path: Path, arguments: Any) -> None:
    configure(path=tmp_path / "events.jsonl")
    log_migration_event(*arguments)
    assert dropped_migration_events() == 1


def test_a_duration_that_is_no_time_is_left_out_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configure(path=tmp_path / "events.jsonl")
    for _ in range(3):
        log_migration_event("shipping", "failure", "5 ms")  # type: ignore[arg-type]
    assert flush_migration_events()
    events = [orjson.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert [event.get("duration") for event in events] == [None] * 3
    assert caplog.messages == ["duration left out, as '5 ms' is no time"]


def test_a_file_that_cannot_be_written_costs_events_and_nothing_else(tmp_path: Path) -> None:
    configure(path=tmp_path / "no-such-folder" / "events.jsonl")
    log_migration_event("c", "success")
    assert flush_migration_events(10)
    assert dropped_migration_events() == 1


@pytest.mark.parametrize("odd", [2**70, "y" * 70_000, "half \ud83d"], ids=["number", "long", "half"])
def test_B6_metadata_that_cannot_be_sent_is_left_out_and_says_which_variant_ran(tmp_path: Path, odd: Any) -> None:
    path = tmp_path / "events.jsonl"
    configure(path=path)
    log_migration_event("c", "failure", -1.0, {"x": odd, "feature_flag_enabled": False}, control_ms="fast")
    assert flush_migration_events(2.0)
    (event,) = [decode_migration(line) for line in path.read_bytes().splitlines()]
    assert (event.event_type, event.enabled, event.duration, event.control_ms) == ("failure", False, None, None)
    assert (dropped_migration_events(), migrations.left_out_migration_fields()) == (0, 3)
