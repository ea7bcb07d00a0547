"""Events over HTTP: the good ones reach Kafka and are counted there, the bad ones are named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from guardian.core.events import MAX_EVENT_BYTES
from guardian.kafka.clients import follow
from guardian.kafka.settings import Settings
from guardian.serve.taking import LISTED_REFUSALS, MAX_EVENTS
from tests.serve.running import Running


def request(flag: str = "a", **fields: Any) -> dict[str, Any]:
    return {"ts": time.time(), "flag": flag, "variant": "on", "outcome": "ok", **fields}


def migration(**fields: Any) -> dict[str, Any]:
    return {"component": "pricing_engine", "event_type": "failure", "duration": 0.05, **fields}


def lines(*events: Any) -> bytes:
    return b"\n".join(msgspec.json.encode(event) for event in events)


async def _find(settings: Settings, topic: str, word: str, count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(10):
        async for record in follow(settings, [topic], from_beginning=True):
            if word.encode() in record.value:
                found.append(record)
            if len(found) == count:
                return found
    raise AssertionError


def written(house: Running, topic: str, word: str, count: int) -> list[Any]:
    """Return the records of a topic that hold a word."""
    return asyncio.run(_find(house.settings, topic, word, count))


def test_one_event_as_an_object_reaches_kafka_under_its_subject(house: Running, http: httpx.Client, flag: str) -> None:
    answer = http.post("/v1/events", json=request(flag, subject="u-7"))
    hint = f"1 event: no rollout of '{flag}': it counts for nothing before its spec is applied"
    expected = {"ok": True, "accepted": 1, "refused_count": 0, "refused": [], "hints": [hint]}
    assert (answer.status_code, answer.json()) == (202, expected)
    (record,) = written(house, "telemetry", flag, 1)
    assert record.key == b"u-7"


def test_the_contract_shows_an_event_that_is_taken(http: httpx.Client) -> None:
    route = http.get("/openapi.json").json()["paths"]["/v1/events"]["post"]
    example = route["requestBody"]["content"]["application/json"]["example"]
    assert http.post("/v1/events", json=example).json()["accepted"] == 1
    assert msgspec.json.encode(example).decode().partition(",")[0] in route["description"].replace(" ", "")


def test_an_event_with_an_event_type_is_a_migration_event(house: Running, http: httpx.Client, flag: str) -> None:
    assert http.post("/v1/events", json=[request(flag), migration(flag=flag)]).json()["accepted"] == 2
    (record,) = written(house, "migrations", flag, 1)
    assert msgspec.json.decode(record.value)["event_type"] == "failure"
    assert len(written(house, "telemetry", flag, 1)) == 1


def test_json_lines_are_taken_whatever_their_line_ends_and_empty_lines(
    house: Running, http: httpx.Client, flag: str
) -> None:
    body = lines(request(flag)) + b"\r\n\n  \n" + lines(request(flag), migration(flag=flag)) + b"\n"
    answer = http.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    assert all(b"\r" not in record.value for record in written(house, "telemetry", flag, 2))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "text/plain"])
def test_json_lines_are_taken_for_what_they_are_whatever_the_client_calls_them(http: httpx.Client, kind: str) -> None:
    body = b"\n" + lines(request()) + b"\nrubbish\n" + lines(request(), migration()) + b"\n"
    answer = http.post("/v1/events", content=body, headers={"Content-Type": kind}).json()
    assert (answer["accepted"], [one["index"] for one in answer["refused"]]) == (3, [2])


def test_what_is_odd_about_accepted_events_is_told_beside(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    version = http.get(f"/v1/rollouts/{flag}").json()["state"]["version"]
    mine = {"flag": flag, "flag_version": version}
    events = [
        request(**mine),
        request(**mine, latency=3),
        request(**(mine | {"variant": "maybe"})),
        request(flag),
        migration(component="x"),
    ]
    body = http.post("/v1/events", json=events).json()
    assert (body["ok"], body["accepted"]) == (True, 5)
    assert sorted(body["hints"]) == [
        "1 event: guardian does not read the field 'latency'; is latency_ms meant?",
        "1 event: no rollout names 'x' among its components: it counts for none",
        f"1 event: variant 'maybe': {flag} has off and on, so no rule looks at it",
        f"1 event: without flag_version, so soon after a change of {flag}: not counted before it has settled",
    ]


def test_an_event_on_several_lines_is_written_on_one(house: Running, http: httpx.Client, flag: str) -> None:
    pretty = msgspec.json.format(msgspec.json.encode([request(flag)]), indent=2)
    assert http.post("/v1/events", content=pretty).json()["accepted"] == 1
    assert b"\n" not in written(house, "telemetry", flag, 1)[0].value


def test_the_bad_ones_are_named_by_index_reason_message_and_fix_and_the_good_ones_count(http: httpx.Client) -> None:
    events = [
        request(),
        request(variant=7),
        request(ts=time.time() * 1_000),
        {"ts": time.time(), "outcome": "ok"},
        request(flag="no name"),
        migration(),
        migration(event_type="strange"),
        17,
        request(ts=time.time() + 86_400),
    ]
    answer = http.post("/v1/events", json=events)
    body = answer.json()
    assert (answer.status_code, body["ok"], body["accepted"], body["refused_count"]) == (202, False, 2, 7)
    assert {one["index"]: one["reason"] for one in body["refused"]} == {
        1: "wrong_type",
        2: "time_in_milliseconds",
        3: "missing_field",
        4: "bad_flag_name",
        6: "bad_value",
        7: "wrong_type",
        8: "time_in_future",
    }
    assert body["refused"][1]["fix"] == "send Unix seconds, not milliseconds"


def test_when_nothing_is_accepted_the_answer_is_no(http: httpx.Client) -> None:
    answer = http.post("/v1/events", json=request(outcome="splendid"))
    assert (answer.status_code, answer.json()["accepted"]) == (422, 0)


def test_a_line_that_is_not_json_spoils_itself_alone(http: httpx.Client) -> None:
    body = lines(request()) + b'\n{"ts": NaN}\nrubbish\n' + lines(request())
    answer = http.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 2
    assert [(one["index"], one["reason"]) for one in answer.json()["refused"]] == [
        (1, "wrong_type"),
        (2, "malformed_json"),
    ]


@pytest.mark.parametrize("body", [b"", b"[", b"[{}", b"[" + b"[" * 10_000, b"[1]]"])
def test_a_body_that_is_not_json_is_refused_whole(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/events", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_json")


def test_B6_one_event_of_an_array_that_is_no_json_costs_itself_only(http: httpx.Client) -> None:
    good = msgspec.json.encode(request())
    nan = good[:-1] + b', "latency_ms": NaN}'
    half = good[:-1] + b', "subject": "caf\\ud83d"}'
    deep = good[:-1] + b', "attributes": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    body = b"[" + b", ".join([good, nan, b'{"ts": 1 2}', half, b"\xff", deep, good]) + b"]"
    answer = http.post("/v1/events", content=body).json()
    assert (answer["accepted"], answer["refused_count"]) == (5, 2)
    assert [(one["index"], one["reason"]) for one in answer["refused"]] == [
        (2, "malformed_json"),
        (4, "malformed_json"),
    ]
    for field in ("latency_ms", "subject", "attributes"):
        assert any(hint.startswith(f"1 event: {field} is left out; wanted: ") for hint in answer["hints"])


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"metrics": {"eur": None}}, "metrics"),
        ({"latency_ms": "12"}, "latency_ms"),
        ({"flag_version": "17"}, "flag_version"),
        ({"error_type": {"name": "X"}}, "error_type"),
        ({"attributes": "none"}, "attributes"),
        ({"attributes": {"a": "x" * 70_000}}, "attributes"),
    ],
    ids=["metrics", "latency", "version", "error", "attributes", "large-attributes"],
)
def test_B6_an_odd_field_costs_no_event_and_the_sender_is_told(
    http: httpx.Client, odd: dict[str, Any], field: str
) -> None:
    answer = http.post("/v1/events", json=[request(), request(**odd)]).json()
    assert (answer["ok"], answer["accepted"]) == (True, 2)
    assert any(field in hint and "left out; wanted: " in hint for hint in answer["hints"])


def test_an_event_that_is_too_large_is_refused_alone(http: httpx.Client) -> None:
    answer = http.post("/v1/events", json=[request(), request(note="x" * 70_000)])
    assert (answer.json()["accepted"], answer.json()["refused"][0]["reason"]) == (1, "too_large")
    answer = http.post("/v1/events", json=[request(), request(attributes={"a": "x" * 1_000_000})])
    assert (answer.json()["accepted"], answer.json()["refused"][0]["reason"]) == (1, "too_large")


def test_events_as_large_and_as_many_as_may_be_reach_kafka_all(house: Running, http: httpx.Client, flag: str) -> None:
    rest = MAX_EVENT_BYTES - len(lines(request(flag, attributes={"a": ""})))
    largest = request(flag, attributes={"a": "x" * (rest - 2)})
    assert http.post("/v1/events", json=[largest, largest]).json()["accepted"] == 2
    many = lines(*(request(flag, subject=f"u-{number}") for number in range(3_000)))
    answer = http.post("/v1/events", content=many, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 3_000
    records = written(house, "telemetry", flag, 3_002)
    assert {record.key for record in records} == {None, *(f"u-{number}".encode() for number in range(3_000))}
    assert len({record.partition for record in records}) > 1


def test_too_many_events_are_refused_whole(http: httpx.Client) -> None:
    for body, kind in (
        (b"[" + b"{}," * MAX_EVENTS + b"{}]", "application/json"),
        (b"{}\n" * (MAX_EVENTS + 1), "application/x-ndjson"),
    ):
        answer = http.post("/v1/events", content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["reason"]) == (413, "too_many")


def test_a_long_list_of_refusals_is_counted_whole_and_listed_in_part(http: httpx.Client) -> None:
    body = http.post("/v1/events", content=b"[" + b"{}," * 2_000 + b"{}]").json()
    assert (body["refused_count"], len(body["refused"])) == (2_001, LISTED_REFUSALS)


def test_a_body_beyond_the_bound_is_refused_promised_or_not(house: Running, http: httpx.Client) -> None:
    large = b" " * (house.settings.serve_body_bytes + 1)
    promised = http.post("/v1/events", content=large)
    chunked = http.post("/v1/events", content=(large[at : at + 65_536] for at in range(0, len(large), 65_536)))
    for answer in (promised, chunked):
        assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_a_compressed_body_is_refused_rather_than_unpacked(http: httpx.Client) -> None:
    answer = http.post("/v1/events", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "bad_encoding")
