"""Events that are taken and were hardly meant so: one sentence for each kind of oddity."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from guardian.wire.event_hints import MAX_HINTS, Hints
from guardian.wire.events import decode_migration, decode_telemetry

NOW_S = 1_763_700_000.0
PLAIN = {"ts": NOW_S, "flag": "new-pricing", "variant": "on", "outcome": "ok"}
MIGRATION = {"component": "pricing", "event_type": "failure"}


class OneRollout:
    """An installation with one rollout."""

    compares = False

    def variants(self, flag: str) -> Collection[str] | None:
        return ("off", "on") if flag == "new-pricing" else None

    def is_settling(self, flag: str, at_s: float) -> bool:
        return flag == "new-pricing" and at_s < NOW_S - 15

    def needs_assignment(self, flag: str) -> bool:
        return self.compares and flag == "new-pricing"

    def has_component(self, component: str) -> bool:
        return component == "pricing"


def hints(*events: dict[str, Any], known: bool = True) -> list[str]:
    """What is said of these events, each of which guardian takes."""
    found = Hints(OneRollout() if known else None)
    for event in events:
        value = msgspec.json.encode(event)
        (decode_migration if "event_type" in event else decode_telemetry)(value, int(NOW_S * 1000), 60_000)
        found.look(value, NOW_S)
    return found.sentences()


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (PLAIN | {"latency": 12}, "1 event: guardian does not read the field 'latency'; is latency_ms meant?"),
        (PLAIN | {"user_id": "u-1"}, "1 event: guardian does not read the field 'user_id'; is subject meant?"),
        (PLAIN | {"latencyms": 12}, "1 event: guardian does not read the field 'latencyms'; is latency_ms meant?"),
        (PLAIN | {"color": "red"}, "1 event: guardian does not read the field 'color'"),
        (PLAIN | {"flag": "nope"}, "1 event: no rollout of 'nope': it counts for nothing before its spec is applied"),
        (PLAIN | {"variant": "On"}, "1 event: variant 'On': new-pricing has off and on, so no rule looks at it"),
        (PLAIN | {"ts": NOW_S - 300, "flag_version": 7},
         "1 event: older than two minutes, too late for the windows of triggers"),
        (PLAIN | {"ts": NOW_S - 20},
         "1 event: without flag_version, so soon after a change of new-pricing: not counted before it has settled"),
        (MIGRATION | {"component": "x"}, "1 event: no rollout names 'x' among its components: it counts for none"),
        (MIGRATION | {"latency_ms": 5}, "1 event: guardian does not read the field 'latency_ms'; is duration meant?"),
        ({"ts": NOW_S, "kind": "heartbeat", "service": "s", "instance": "i"},
         "1 event: a heartbeat that names in flags none that are in use tells nothing of any"),
        (PLAIN | {"metrics": {"eur": None}},
         "1 event: entries of metrics are left out; wanted: at most 32 names of at most 128 bytes of text, each with a "
         "number"),
        (PLAIN | {"latency_ms": "12"},
         "1 event: latency_ms is left out; wanted: a number of 0 or more and at most 1e15"),
        (PLAIN | {"attributes": "none"},
         "1 event: attributes is left out; wanted: an object of texts, numbers, true and false, that leaves "
         "the event below 65,536 bytes"),
        (PLAIN | {"service": "s" * 200}, "1 event: service is cut: it is too long"),
        (MIGRATION | {"duration": -1, "flag": "new-pricing", "flag_version": 7},
         "1 event: duration is left out; wanted: a number of 0 or more and at most 1e15"),
    ],
    ids=str,
)  # fmt: skip
def test_an_oddity_is_told_in_one_sentence(event: dict[str, Any], sentence: str) -> None:
    assert hints(event) == [sentence]


@pytest.mark.parametrize(
    "event",
    [
        PLAIN | {"subject": "u", "attributes": {"region": "eu"}, "metrics": {"a": 1}, "instance": "i", "service": "s"},
        {"ts": NOW_S, "flags": {"new-pricing": "off"}, "outcome": "error"},
        PLAIN | {"ts": NOW_S - 20, "flag_version": 7},
        {"ts": NOW_S, "kind": "gauge", "flag": "new-pricing", "service": "s", "instance": "i", "metrics": {"a": 1}},
        {"ts": NOW_S, "kind": "heartbeat", "flags": {"new-pricing": 7}, "service": "s", "instance": "i"},
        MIGRATION,
        MIGRATION | {"event_type": "dual_run", "match": False, "difference": "$: 1 != 2", "ts": None},
        PLAIN | {"case": "refund", "request_id": "0f3c"},
        {"ts": NOW_S, "kind": "heartbeat", "flags": {"new-pricing": 7}, "service": "s", "instance": "i", "bye": True,
         "open": 2, "open_max_ms": 12.5},
        MIGRATION | {"event_type": "dual_run", "cancelled": True, "subject": "u", "service": "s", "control_value": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_of_what_is_as_it_should_be_nothing_is_said(event: dict[str, Any]) -> None:
    assert hints(event) == []


def test_the_same_oddity_is_counted_and_the_most_frequent_comes_first() -> None:
    found = hints(PLAIN | {"color": 1}, *[PLAIN | {"latency": 1}] * 1_200)
    assert [sentence.partition(":")[0] for sentence in found] == ["1,200 events", "1 event"]


def test_hints_are_bounded_whatever_comes() -> None:
    found = hints(*(PLAIN | {f"field-{number}" + "x" * 500: 1} for number in range(100)))
    assert len(found) == MAX_HINTS
    assert max(map(len, found)) < 200


def test_where_the_rollouts_are_not_known_nothing_is_said_of_them() -> None:
    assert (
        hints(PLAIN | {"flag": "nope"}, PLAIN | {"ts": NOW_S - 20}, MIGRATION | {"component": "x"}, known=False) == []
    )


class Comparing(OneRollout):
    """The same rollout, with a rule that compares with control."""

    compares = True


def test_G4_a_request_without_assignment_is_hinted_where_the_rollout_compares_with_control() -> None:
    found = Hints(Comparing())
    for event in (PLAIN, PLAIN, PLAIN | {"assignment": "split"}, PLAIN | {"kind": "exposure"}, MIGRATION):
        found.look(msgspec.json.encode(event), NOW_S)
    assert found.sentences() == [
        "2 events: without assignment: 'new-pricing' compares with control, and no comparison counts it; "
        "send assignment, or declare assume_split: true in the spec"
    ]
