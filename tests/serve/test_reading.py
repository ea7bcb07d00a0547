"""What can be read over HTTP is what stands on the topics, and a crash sent over HTTP takes a flag back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from guardian.serve.page import POLICY
from tests.brokers import Broker, settings_for
from tests.serve.running import Running, guardian, spec


def crash(flag: str, version: int) -> dict[str, Any]:
    """A crash decided by this version of the flag: one without a version would not count in the first 15 s."""
    return {
        "ts": time.time(),
        "flag": flag,
        "variant": "on",
        "outcome": "crash",
        "assignment": "split",
        "flag_version": version,
    }


def test_a_crash_sent_over_http_takes_the_flag_back_on_both_brokers(broker: Broker) -> None:
    with guardian(settings_for(broker, "crash-http")) as running, running.client() as client:
        running.until(running.ready)
        assert client.post("/v1/rollouts", content=spec("pricing")).status_code == 200
        started = client.post("/v1/rollouts/pricing/start").json()["decisions"][0]
        with client.stream("GET", "/v1/stream/rollbacks") as stream:
            assert client.post("/v1/events", json=crash("pricing", started["version"])).status_code == 202
            assert next(line for line in stream.iter_lines() if line.startswith("data: ")).count('"trigger":"crashes"')
        status = running.until(
            lambda: "rolled_back" in (answer := client.get("/v1/rollouts/pricing")).text and answer.json()
        )
        assert (status["state"]["phase"], status["state"]["weight_bp"]) == ("rolled_back", 0)
        document = running.until(
            lambda: '"weight_bp":0' in (got := client.get("/v1/flags/pricing")).text and got.json()
        )
        assert (document["defaultVariant"], document.get("targeting")) == ("off", None)
        (rollback,) = running.until(lambda: client.get("/v1/rollbacks?flag=pricing").json()["rollbacks"])
        assert (rollback["trigger"], rollback["to_weight_bp"]) == ("crashes", 0)
        (alert,) = running.until(lambda: client.get("/v1/alerts?flag=pricing").json()["alerts"])
        assert (alert["trigger"], alert["do"]) == ("crashes", "rollback")
        newest = client.get("/v1/decisions", params={"flag": "pricing", "limit": 1}).json()["decisions"]
        assert (len(newest), newest[0]["phase"]) == (1, "rolled_back")


def test_the_lists_hold_what_the_single_reads_give(http: httpx.Client, flag: str, start: Callable[[str], None]) -> None:
    start(flag)
    rollouts = {one["state"]["flag"]: one for one in http.get("/v1/rollouts").json()["rollouts"]}
    assert rollouts[flag]["revision"] == http.get(f"/v1/rollouts/{flag}").json()["revision"]
    assert http.get("/v1/flags").json()["flags"][flag] == http.get(f"/v1/flags/{flag}").json()


def test_decisions_come_newest_first_and_are_those_of_the_flag(
    http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    decisions = http.get("/v1/decisions", params={"flag": flag}).json()["decisions"]
    assert {decision["flag"] for decision in decisions} == {flag}
    times = [decision["at_ms"] for decision in decisions]
    assert times == sorted(times, reverse=True)
    assert decisions[-1]["reason"] == "APPLIED"


@pytest.mark.parametrize("path", ["/v1/rollouts/nobody", "/v1/flags/nobody", "/v1/nothing", "/favicon.ico"])
def test_what_is_not_there_is_a_404_with_the_way_out(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    assert answer.json()["fix"]


@pytest.mark.parametrize("query", ["limit=0", "limit=5000", "limit=x", "flag=" + "x" * 200])
def test_a_wrong_question_is_answered_with_what_is_wrong(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/v1/decisions?{query}")
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["path"].startswith("query.")


def test_a_method_that_a_path_does_not_have_is_refused(http: httpx.Client) -> None:
    assert http.delete("/v1/rollouts").status_code == 405
    assert http.options("/v1/rollouts", headers={"Origin": "https://elsewhere.example"}).status_code == 405


def test_every_answer_lets_nothing_be_loaded_and_no_other_origin_read(http: httpx.Client) -> None:
    for path in ("/", "/docs", "/v1/rollouts", "/nothing", "/metrics"):
        headers = http.get(path, headers={"Origin": "https://elsewhere.example", "Host": "elsewhere.example"}).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_the_contract_names_every_struct_it_refers_to(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")

    def refs(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(refs(part) for part in node.values()))
        return set().union(*(refs(part) for part in node)) if isinstance(node, list) else set()

    names = {name.removeprefix("#/components/schemas/") for name in refs(document)}
    assert {"RolloutStatus", "Decision", "Alert", "Rollback", "Order", "Fault"} <= names
    assert names <= set(document["components"]["schemas"])


def test_the_page_of_the_api_shows_every_route_and_needs_nothing_from_elsewhere(house: Running) -> None:
    with house.client() as client:
        text = client.get("/docs").text
        paths = client.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path not in text] == []
    assert "//" not in text.replace("<!doctype html>", "").split("<body>")[1]
    assert "<script" not in text
