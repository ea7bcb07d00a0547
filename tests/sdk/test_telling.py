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
        (lambda t: t.feedback(SERVED, "complaint", severity="huge"), "'huge' is none of info, warning, critical"),
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
