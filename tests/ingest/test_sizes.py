"""Case B2: the size of a record is bounded in encoded bytes, and the bound is never less than what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.events import fit_text
from guardian.core.inputs import MAX_CELLS_PER_FLAG, Source
from guardian.ingest import sizes
from guardian.ingest.coalesce import MAX_UNKNOWN_FLAGS, SLICE_LIMIT, Bounds, Coalescer
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RANGE_BYTES, RECORD_BYTES, Closed
from guardian.wire.inputs import decode_payload
from tests.ingest.test_coalesce import NOW_MS, record

SOURCE = Source("t" * 249, "f" * 32, 2**31)
WIDE = "😀" * 32  # 128 bytes
FLAGS = [f"{number:0128d}" for number in range(MAX_UNKNOWN_FLAGS)]


def wide(number: int) -> str:
    """A name of 128 bytes, of characters of 4 bytes but for its number."""
    return f"{number:08d}" + "😀" * 30


def metrics(number: int = 32) -> dict[str, float]:
    return {wide(one): -1e15 for one in range(number)}


def folder(*, migrations: bool = False, known: bool = True) -> Coalescer:
    """One input partition: whatever is folded stands in one record."""
    rollouts = Rollouts()
    for flag in FLAGS[:64] if known else ():
        rollouts.put(flag, Arms(), ("engine",))
    return Coalescer(rollouts, Bounds(1, 10**9), migrations=migrations)


def closed_ranges(values: list[bytes], new_folder: Callable[[], Coalescer], fetch: int = 2_000) -> list[Closed]:
    """Fold everything; each range's record is held to its bound, which is taken before the range is closed."""
    todo = [record(offset, value) for offset, value in enumerate(values)]
    current, found, start = new_folder(), [], 0
    while todo:
        todo = todo[current.fold(todo[:fetch]) :]
        end = len(values) - len(todo)
        if current.full or not todo:
            bound = current.size_bound() + sizes.ENVELOPE
            closed = current.close(SOURCE, start, end)
            assert max((len(value) for value in closed.parts.values()), default=0) <= min(bound, RECORD_BYTES)
            found.append(closed)
            current, start = new_folder(), end
    assert sum(closed.tally.messages for closed in found) == len(values)
    return found


def encoded(events: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps({"ts": NOW_MS / 1_000, **event}, ensure_ascii=False).encode() for event in events]


def request(**fields: Any) -> dict[str, Any]:
    return {"outcome": "error", "latency_ms": 1.5, "service": WIDE, "error_type": WIDE, **fields}


SEVERAL = dict.fromkeys(FLAGS[:64], WIDE)
GAUGE = {"kind": "gauge", "service": WIDE, "instance": WIDE, "flags": SEVERAL, "metrics": metrics()}
BEAT = {"kind": "heartbeat", "service": WIDE, "flags": dict.fromkeys(FLAGS, 2**63 - 1), "metrics": metrics()}
WORST: dict[str, list[dict[str, Any]]] = {
    "a gauge of 64 flags and 32 metrics": [GAUGE],
    "gauges of many instances": [{**GAUGE, "instance": wide(number)} for number in range(8)],
    "requests with 32 metrics over 40 seconds": [
        request(ts=NOW_MS / 1_000 + number % 40, flags=SEVERAL, metrics=metrics()) for number in range(80)
    ],
    "98 heartbeats": [{**BEAT, "instance": wide(number), "bye": True, "open": 2**62} for number in range(98)],
    "256 cells of a flag": [
        request(flag=FLAGS[0], variant="on", service=wide(number), metrics=metrics(4), ts=NOW_MS / 1_000 + second)
        for number in range(MAX_CELLS_PER_FLAG)
        for second in range(2)
    ],
    "256 unknown flags": [request(flag=flag, variant=wide(number)) for number, flag in enumerate(FLAGS)],
    "plain requests, every name new": [
        request(flag=f"f{number}", variant=wide(number), service=wide(number), error_type=wide(number))
        for number in range(3_000)
    ],
    "signatures in every second": [
        request(flag=FLAGS[0], variant="on", error_type=wide(number % 50), ts=NOW_MS / 1_000 + number // 50)
        for number in range(3_000)
    ],
    "odd ones among plain ones": [
        request(flag=FLAGS[number % 64], variant="on", metrics=metrics(number % 2), ts=NOW_MS / 1_000 + number % 40)
        for number in range(2_000)
    ],
    "feedback": [
        {"kind": "feedback", "flags": SEVERAL, "severity": severity, "service": wide(number)}
        for number in range(9)
        for severity in ("info", "warning", "critical")
    ],
}


@pytest.mark.parametrize("name", WORST)
def test_B2_every_bound_at_its_worst_gives_records_that_fit_and_leaves_nothing_out(name: str) -> None:
    values = encoded(WORST[name])
    ranges = closed_ranges(values, folder)
    assert sum(len(closed.dead) for closed in ranges) == 0
    assert [dict(+closed.tally.left_out) for closed in ranges] == [{}] * len(ranges)


def test_B2_the_gauge_of_the_case_keeps_its_flags_and_loses_the_metrics_whose_names_are_too_long() -> None:
    long = {"😀" * 126 + str(number): 1.0 for number in range(31)}
    gauge = {**GAUGE, "service": "😀" * 126, "instance": "😀" * 126, "metrics": {"queue": 7.0, **long}}
    (closed,) = closed_ranges(encoded([gauge]), folder)
    batch = decode_payload(closed.parts[0])
    assert len(batch.gauges) == 64
    assert {tuple(item.metrics.items()) for item in batch.gauges} == {(("queue", 7.0),)}
    assert closed.tally.fields_left_out == {"metrics": 1}


def test_B2_migrations_of_a_component_of_many_rollouts_fit() -> None:
    event = {"component": "engine", "event_type": "dual_run", "match": False, "service": WIDE, "control_ms": 1e15}
    values = encoded([{**event, "candidate_ms": 1e15, "deviation": 1e15, "ts": number} for number in range(300)])
    closed_ranges(values, lambda: folder(migrations=True))


def test_the_constants_of_the_proof_leave_room_in_a_record() -> None:
    assert RANGE_BYTES < SLICE_LIMIT
    assert SLICE_LIMIT + sizes.LARGEST_EVENT + sizes.ENVELOPE < RECORD_BYTES


NAMES = st.sampled_from(["s", "checkout", WIDE, *(wide(number) for number in range(40)), "ж" * 64, ""])
EVENTS = st.fixed_dictionaries(
    {"kind": st.sampled_from([None, None, "exposure", "feedback", "gauge", "heartbeat"])},
    optional={
        "ts": st.integers(0, 60).map(lambda second: NOW_MS / 1_000 + second) | st.floats(0, 1e9),
        "flag": st.sampled_from(FLAGS[:70]),
        "flags": st.dictionaries(st.sampled_from(FLAGS[:90]), NAMES | st.integers(0, 2**63 - 1), max_size=70),
        "variant": NAMES,
        "outcome": st.sampled_from(["ok", "error", "crash"]),
        "latency_ms": st.floats(0, 1e15),
        "service": NAMES,
        "instance": NAMES,
        "error_type": NAMES,
        "flag_version": st.integers(0, 2**63 - 1),
        "assignment": st.sampled_from(["split", "unattributed"]),
        "metrics": st.dictionaries(NAMES, st.floats(-1e15, 1e15), max_size=34),
        "severity": st.sampled_from(["info", "critical"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(1, 30)), max_size=30), st.integers(1, 400))
def test_B2_the_bound_is_never_less_than_what_is_encoded(events: list[tuple[dict[str, Any], int]], fetch: int) -> None:
    values = [value for event, times in events for value in encoded([event]) * times]
    closed_ranges(values, lambda: folder(known=False), fetch)


@given(st.text(max_size=200), st.integers(0, 140))
def test_a_text_is_cut_to_its_bytes_and_to_whole_characters(text: str, most: int) -> None:
    fitted = fit_text(text, most)
    assert fitted is not None
    assert text.startswith(fitted)
    assert len(fitted.encode()) <= most
    assert fitted == text or len((fitted + text[len(fitted)]).encode()) > most
