"""Mistakes in telling: the application hears of each in its log, once, and nothing is raised into it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from guardian.sdk import Served, Telemetry, TelemetryOptions
from guardian.sdk.events import MAX_WARNINGS
from guardian.wire.events import decode_telemetry

SERVED = Served("new-pricing", "on", 1, "split")


def telling(folder: Path, *calls: Callable[[Telemetry], None]) -> tuple[list[dict[str, Any]], int]:
    """What these calls write, each line of it one that ingest takes, and how many events they dropped."""
    path = folder / "events.jsonl"
    with Telemetry("checkout", options=TelemetryOptions(path=path)) as telemetry:
        for call in calls:
            call(telemetry)
    lines = path.read_bytes().splitlines() if path.exists() else []
    for line in lines:
        decode_telemetry(line, time.time_ns() // 1_000_000, 1_000)
    return [orjson.loads(line) for line in lines], telemetry.dropped


@pytest.mark.parametrize(
    ("call", "warning"),
    [
        (lambda t: t.request(SERVED, outcome="crush"), "'crush' is none of ok, error, timeout, crash, hang"),
        (lambda t: t.request(latency_ms=5), "of which flag? Give the evaluation's details, or flag= and variant="),
        (lambda t: t.request(flag="new-pricing"), "of which flag?"),
        (lambda t: t.request(SERVED, ts=time.time() * 1000), "looks like milliseconds, Unix seconds are wanted"),
        (lambda t: t.request(SERVED, ts="now"), "ts is 'now', Unix seconds are wanted"),
        (lambda t: t.gauge("", {"queue": 3}), "a gauge without a flag"),
        (lambda t: t.gauge("new-pricing", {"queue": float("inf")}), "a gauge without a figure"),
        (lambda t: t.gauge("new-pricing", None), "a gauge without a figure"),
        (lambda t: t.request(flags={"new-pricing": 7}), "no flag with its variant"),
    ],
)
def test_an_event_that_guardian_would_refuse_is_dropped_here_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, call: Callable[[Telemetry], None], warning: str
) -> None:
    assert telling(tmp_path, call, call) == ([], 2)
    lines = [line for line in caplog.messages if "an event was not sent, and is counted as dropped" in line]
    assert any(warning in line for line in lines)


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"latency": 12}, "left out, as a request has no such field: latency"),
        ({"latency_ms": "12"}, "latency_ms left out, as '12' is no time"),
        ({"metrics": {"basket": "x", "tax": float("nan")}}, "metrics left out"),
    ],
    ids=str,
)
def test_a_field_that_guardian_cannot_read_is_left_out_and_the_event_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], warning: str
) -> None:
    events, dropped = telling(tmp_path, *[lambda t: t.request(SERVED, **fields)] * 3)
    assert (len(events), dropped) == (3, 0)
    assert "latency_ms" not in events[0]
    assert "metrics" not in events[0]
    assert len(caplog.records) == 1
    assert warning in caplog.text


class Unsayable:
    """An object that fails to name itself."""

    def __str__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"subject": "caf\ud83d"}, "subject"),
        ({"error_type": "caf\ud83d"}, "error_type"),
        ({"error_type": Unsayable()}, "error_type"),
        ({"latency_ms": -3}, "latency_ms"),
        ({"latency_ms": 1e16}, "latency_ms"),
        ({"metrics": {"eur": None}}, "metrics"),
        ({"metrics": {"memory_bytes": -1}}, "metrics"),
        ({"metrics": [1]}, "metrics"),
        ({"attributes": "none"}, "attributes"),
        ({"attributes": {"id": 10**30}}, "attributes"),
        ({"attributes": {"name": "caf\ud83d"}}, "attributes"),
        ({"attributes": {"pad": "x" * 70_000}}, "attributes"),
        ({"attributes": {"who": Unsayable()}}, "attributes"),
        ({"flag_version": "17"}, "flag_version"),
        ({"flag_version": 2**64}, "flag_version"),
        ({"assignment": "fate"}, "assignment"),
        ({"assignment": {"a": 1}}, "assignment"),
    ],
    ids=range(17),
)
def test_B6_an_odd_optional_field_never_costs_an_event(tmp_path: Path, fields: dict[str, Any], gone: str) -> None:
    told: list[Telemetry] = []

    def call(telemetry: Telemetry) -> None:
        told.append(telemetry)
        telemetry.request(flag="new-pricing", variant="on", outcome="error", **fields)

    events, dropped = telling(tmp_path, call)
    assert (len(events), dropped, told[0].left_out_count) == (1, 0, 1)
    assert gone not in events[0]
    assert events[0]["outcome"] == "error"


def test_B6_of_several_flags_those_that_cannot_be_meant_are_left_out(tmp_path: Path) -> None:
    flags = {"new-pricing": "on", "fast-search": None, "other": "v" * 129}
    events, dropped = telling(tmp_path, lambda t: t.request(flags=flags))
    assert (events[0]["flags"], dropped) == ({"new-pricing": "on"}, 0)


def test_B6_a_severity_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    events, dropped = telling(tmp_path, lambda t: t.feedback(SERVED, "complaint", severity="huge"))
    assert ("severity" in events[0], events[0]["feedback"], dropped) == (False, "complaint", 0)


def test_texts_are_cut_to_their_bytes(tmp_path: Path) -> None:
    events, dropped = telling(tmp_path, lambda t: t.request(SERVED, error_type="😀" * 40, subject="ж" * 200))
    assert (events[0]["error_type"], events[0]["subject"], dropped) == ("😀" * 32, "ж" * 128, 0)


def test_figures_of_every_kind_of_number_arrive(tmp_path: Path) -> None:
    figures = {"basket": np.float32(2.5), "items": np.int64(3), "first": True, "bad": float("nan")}
    events, _ = telling(tmp_path, lambda t: t.request(SERVED, latency_ms=np.float32(1.5), metrics=figures))
    assert events[0]["latency_ms"] == 1.5
    assert events[0]["metrics"] == {"basket": 2.5, "items": 3, "first": 1.0}


def test_a_log_is_not_flooded_by_ever_new_mistakes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        calls = [lambda t, n=n: t.request(SERVED, outcome=f"word-{n}") for n in range(200)]
        assert telling(tmp_path, *calls) == ([], 200)
    assert len(caplog.records) == MAX_WARNINGS
