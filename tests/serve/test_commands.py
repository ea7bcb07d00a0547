"""What operators do over HTTP: specs and commands, answered by the decision that decide made of them."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from guardian.core.commands import FOR_ALL
from guardian.kafka.embedded import EmbeddedBroker
from guardian.serve.ordering import VERBS
from tests.brokers import settings_for
from tests.serve.running import Running, guardian, spec


def test_a_spec_is_applied_and_the_answer_is_the_decision(http: httpx.Client, flag: str) -> None:
    answer = http.post("/v1/rollouts", params={"reason": "first try"}, content=spec(flag))
    assert answer.status_code == 200
    body = answer.json()
    (decision,) = body["decisions"]
    assert (body["ok"], body["flag"], body["silent"]) == (True, flag, [])
    assert (decision["reason"], decision["command_id"]) == ("APPLIED", body["command_id"])
    assert "first try" in decision["text"]
    assert decision["actor"] == {"name": "anonymous", "via": "http", "authenticated": False}


def test_P9_what_was_answered_stands_on_the_board(http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    for verb in ["start", *["kill", "unkill", "pause", "resume"] * 3]:
        answer = http.post(f"/v1/rollouts/{flag}/{verb}", json={}).json()
        assert (answer["ok"], answer["unshown"]) == (True, []), answer
        assert http.get(f"/v1/rollouts/{flag}").json()["turn"] == answer["decisions"][0]["turn"], verb


def test_a_spec_may_be_json(house: Running, http: httpx.Client, flag: str) -> None:
    document = {"flag": flag, "steps": [{"name": "full", "weight": "100%", "bake": "1h"}]}
    assert http.post("/v1/rollouts", json=document).status_code == 200
    found = house.until(lambda: http.get(f"/v1/rollouts/{flag}").json().get("spec"))
    assert found["steps"][0]["name"] == "full"


def test_the_same_spec_again_changes_nothing(http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    answer = http.post("/v1/rollouts", content=spec(flag))
    assert (answer.status_code, answer.json()["decisions"][0]["reason"]) == (200, "UNCHANGED")


def test_a_wrong_spec_is_answered_with_every_problem_its_place_and_its_fix(http: httpx.Client) -> None:
    text = "flag: 'no name'\nsteps:\n  - {name: canary, weight: 5, bake: 1h}\nstrangeness: 1\n"
    answer = http.post("/v1/rollouts", content=text)
    body = answer.json()
    assert (answer.status_code, body["ok"], body["reason"]) == (422, False, "bad_spec")
    problems = {problem["path"]: problem for problem in body["problems"]}
    assert set(problems) == {"flag", "steps[0].weight", "strangeness"}
    assert problems["steps[0].weight"]["line"] == 3
    assert all(problem["message"] and problem["fix"] for problem in problems.values())


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[" * 5_000, b"a: &x [1]", b"null"])
def test_a_body_that_is_no_spec_is_a_problem_too(http: httpx.Client, text: bytes) -> None:
    answer = http.post("/v1/rollouts", content=text)
    assert answer.status_code == 422
    assert answer.json()["problems"]


def test_a_dry_run_says_what_would_change_and_sends_nothing(house: Running, http: httpx.Client, flag: str) -> None:
    first = http.post("/v1/rollouts", params={"dry_run": True}, content=spec(flag)).json()
    assert (first["new"], first["unchanged"], first["changes"]) == (True, False, [])
    assert first["advice"]
    assert http.get(f"/v1/rollouts/{flag}").status_code == 404
    http.post("/v1/rollouts", content=spec(flag))
    house.until(lambda: http.get(f"/v1/rollouts/{flag}").status_code == 200)
    second = http.post("/v1/rollouts?dry_run=true", content=spec(flag).replace("5%", "7%")).json()
    assert second["changes"] == [{"path": "steps[canary].weight", "before": "5%", "after": "7%"}]
    assert second["present_revision"] == first["revision"] != second["revision"]


def test_every_command_of_the_command_line_has_a_route(house: Running) -> None:
    with house.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert {f"/v1/rollouts/{{flag}}/{verb}" for verb in VERBS} < set(paths)
    assert {f"/v1/{verb}" for verb in FOR_ALL} < set(paths)


def test_a_rollout_is_led_through_its_life(http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    for verb, phase, weight_bp in (
        ("start", "progressing", 500),
        ("pause", "paused", 500),
        ("resume", "progressing", 500),
        ("promote", "progressing", 10_000),
        ("kill", "progressing", 10_000),
        ("unkill", "progressing", 10_000),
        ("rollback", "rolled_back", 0),
        ("resolve", "rolled_back", 0),
        ("archive", "archived", 0),
    ):
        answer = http.post(f"/v1/rollouts/{flag}/{verb}", json={"reason": "the test leads it"})
        assert answer.status_code == 200, answer.text
        decision = answer.json()["decisions"][0]
        assert (verb, decision["phase"], decision["weight_bp"]) == (verb, phase, weight_bp)


def test_who_promotes_without_evidence_must_insist(embedded: EmbeddedBroker) -> None:
    with guardian(settings_for(embedded, "blind"), kinds=("commands",)) as running, running.client() as client:
        # Without an ingest that reads events guardian is blind, and not ready; serve itself takes commands.
        running.until(lambda: client.get("/readyz?part=serve").status_code == 200)
        client.post("/v1/rollouts", content=spec("blind"))
        client.post("/v1/rollouts/blind/start")
        answer = client.post("/v1/rollouts/blind/promote")
        assert (answer.status_code, answer.json()["reason"]) == (409, "REFUSED_EVIDENCE")
        assert "no ingest process has reported yet" in answer.json()["message"]
        forced = client.post("/v1/rollouts/blind/promote", json={"force": True})
        assert (forced.status_code, forced.json()["decisions"][0]["weight_bp"]) == (200, 10_000)
        assert client.post("/v1/rollouts/blind/pause", json={"force": True}).status_code == 422


def test_a_command_needs_no_body(http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    answer = http.post(f"/v1/rollouts/{flag}/start")
    assert answer.status_code == 200
    assert "no reason given" in answer.json()["decisions"][0]["text"]


def test_a_refused_command_is_a_conflict_with_the_reason(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    answer = http.post(f"/v1/rollouts/{flag}/start")
    body = answer.json()
    assert (answer.status_code, body["ok"], body["reason"]) == (409, False, "REFUSED_PHASE")
    assert body["message"] == "cannot start while progressing"


def test_a_rollback_takes_a_target_and_refuses_one_that_is_not_below(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    refused = http.post(f"/v1/rollouts/{flag}/rollback", json={"to": "full"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "REFUSED_TARGET")
    http.post(f"/v1/rollouts/{flag}/promote")
    back = http.post(f"/v1/rollouts/{flag}/rollback", json={"to": "canary", "reason": "one step back"})
    assert back.json()["decisions"][0]["weight_bp"] == 500


def test_a_figure_of_ones_own_is_set_and_a_bug_is_reported(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    figure = http.post(f"/v1/rollouts/{flag}/metric", json={"name": "satisfaction", "value": 3.9})
    assert (figure.status_code, figure.json()["decisions"][0]["command"]) == (200, "metric")
    bug = http.post(f"/v1/rollouts/{flag}/bug", json={"reason": "the total is wrong"})
    assert "the total is wrong" in bug.json()["decisions"][0]["text"]
    assert http.post(f"/v1/rollouts/{flag}/metric", json={"name": "satisfaction"}).status_code == 422


def test_a_command_for_a_flag_without_a_rollout_finds_nothing(http: httpx.Client) -> None:
    answer = http.post("/v1/rollouts/never-applied/pause")
    assert (answer.status_code, answer.json()["reason"]) == (404, "REFUSED_UNKNOWN_FLAG")


def test_a_command_for_all_is_answered_by_every_flag(
    house: Running, http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    killed = http.post("/v1/kill", json={"reason": "everything off"}).json()
    assert (killed["ok"], killed["flag"], killed["silent"]) == (True, "*", [])
    assert flag in [decision["flag"] for decision in killed["decisions"]]
    house.until(lambda: http.get(f"/v1/flags/{flag}").json()["metadata"]["killed"] is True)
    assert http.post("/v1/unkill").status_code == 200
    house.until(lambda: http.get(f"/v1/flags/{flag}").json()["metadata"]["killed"] is False)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 422, "bad_body"),
        (b'{"reason": 1}', 422, "bad_body"),
        (b'{"because": "a word that is not known"}', 422, "bad_body"),
        (b'{"wait_ms": 3600000}', 422, "bad_body"),
        (b'{"to": "canary"}', 422, "bad_value"),
        (b'{"reason": "' + b"x" * 5_000 + b'"}', 422, "bad_value"),
        (b'{"reason": "' + b"x" * 70_000 + b'"}', 413, "too_large"),
    ],
)
def test_a_wrong_order_is_refused_before_it_is_sent(http: httpx.Client, body: bytes, status: int, reason: str) -> None:
    answer = http.post("/v1/rollouts/any/pause", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("name", ["*", "-first", "with space", "ä", "x" * 129, "a%0Ab"])
def test_a_name_that_no_flag_can_have_is_refused(http: httpx.Client, name: str) -> None:
    answer = http.post(f"/v1/rollouts/{name}/kill")
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_request")


def test_when_nobody_decides_the_answer_is_that_it_may_still_happen(embedded: EmbeddedBroker) -> None:
    with guardian(settings_for(embedded, "silent"), roles=False) as running, running.client() as client:
        sent = running.until(
            lambda: (got := client.post("/v1/rollouts/a/pause", json={"wait_ms": 50})).status_code == 202 and got.json()
        )
        assert (sent["ok"], sent["reason"], sent["silent"]) == (False, "no_answer", ["a"])
        everybody = client.post("/v1/kill", json={"wait_ms": 0}).json()
        assert everybody["silent"] == [f"partition {number}" for number in range(4)]


def test_who_names_what_was_seen_is_refused_once_it_is_no_longer_so(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    paused = http.post(f"/v1/rollouts/{flag}/pause").json()["decisions"][0]
    http.post(f"/v1/rollouts/{flag}/resume")
    http.post(f"/v1/rollouts/{flag}/pause")
    answer = http.post(f"/v1/rollouts/{flag}/resume", json={"seen_turn": paused["turn"]})
    assert (answer.status_code, answer.json()["reason"]) == (409, "REFUSED_OVERTAKEN")
    late = http.post("/v1/rollouts", params={"seen_revision": ""}, content=spec(flag).replace("1h", "2h"))
    assert (late.status_code, late.json()["reason"]) == (409, "REFUSED_OVERTAKEN")
    assert http.post(f"/v1/rollouts/{flag}/kill", json={"seen_turn": 1}).status_code == 200
