"""The status page shows where every rollout stands, and whatever stands in a text stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from guardian.core.outputs import Lost, StepStatus
from guardian.core.words import ALL_FLAGS, Phase, Reason
from guardian.kafka.settings import load_settings
from guardian.serve.page import POLICY, SHOWN_ROLLOUTS, status_page
from guardian.serve.site import Site, build_site
from tests.serve.running import Running, spec
from tests.serve.samples import alert, decision, record, state, status

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


class Reader(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def site(*outputs: Any) -> Site:
    found = build_site(load_settings(environ={}))
    for output in outputs:
        topic = {"RolloutStatus": "rollouts", "Decision": "decisions", "Alert": "alerts"}[type(output).__name__]
        found.board.take(topic, record(output))
    return found


def test_alerts_about_guardian_itself_stand_on_the_page_of_every_flag_one_for_all_partitions() -> None:
    gone = [alert(n, flag="*", trigger=f"recreated shop.telemetry/{n}", text=f"{n} was recreated") for n in range(16)]
    other = alert(99, flag="b", text="errors of another flag")
    text = Reader(status_page(site(status(), *gone, other), flag="a")).text
    assert "Active alerts (16)" in text
    assert text.count("was recreated") == 1
    assert "15 was recreated (and 15 more)" in text
    assert "errors of another flag" not in text


def test_a_flag_under_the_kill_switch_is_shown_as_it_is_served() -> None:
    text = Reader(status_page(site(status(state=state(killed=True))))).text
    assert "0% on (5% once it is freed)" in text


def test_a_rollout_is_shown_with_its_ladder_why_it_stands_there_and_what_is_missing() -> None:
    text = Reader(status_page(site(status()))).text
    for word in (
        "progressing",
        "5% on",
        "BAKING: 15m of the bake of 1h is over",
        "▶ canary",
        "15m of bake 1h",
        "· full100%",
        "15m of the bake of 1h is over",
        "p99_latency 310ms > 300ms for 2m of 5m (n=900)",
        "4,120",
        "0.995%",
    ):
        assert word in text


def test_for_how_many_both_run_stands_beside_the_weight() -> None:
    steps = [StepStatus("shadow", 0, 3_600_000, "current", 2_000), StepStatus("full", 10_000, 86_400_000, "ahead", 0)]
    found = status(state=state(step="shadow", weight_bp=0, dual_run_bp=2_000), steps=steps)
    said = decision(from_weight_bp=0, from_dual_run_bp=2_000, weight_bp=0, dual_run_bp=0)
    text = Reader(status_page(site(found, said))).text
    for word in ("0% on, both run for 20%", "bake 1h, both run for 20%· full100%", "0%, both run for 20% → 0%"):
        assert word in text
    assert text.count("both run") == 3


def test_who_still_serves_an_older_version_is_named_and_so_is_the_baseline() -> None:
    found = status(behind=["checkout-7f9 of checkout: 4s behind"], baseline="error_rate 0.1% (n=900)", live_count=12)
    text = Reader(status_page(site(found))).text
    for word in ("checkout-7f9 of checkout: 4s behind", "baseline: error_rate 0.1% (n=900)", "instances 12"):
        assert word in text


def test_a_page_without_rollouts_says_how_to_begin() -> None:
    assert "guardian init" in status_page(site())


def test_the_page_says_when_it_may_not_be_believed() -> None:
    text = Reader(status_page(site())).text
    assert "not ready: Kafka is not reached yet" in text


def test_no_text_of_anybody_becomes_markup() -> None:
    evil = status(
        owner=EVIL,
        text=EVIL,
        missing=[EVIL],
        behind=[EVIL],
        lost=[Lost(EVIL, 1, 0, 1, 1)],
        baseline=EVIL,
        figures={EVIL: status().figures["on"]},
        state=state(candidate=EVIL, step=EVIL),
        steps=[type(step)(EVIL, step.weight_bp, step.bake_ms, step.state) for step in status().steps],
        triggers=[type(rule)(EVIL, EVIL, rule.verdict) for rule in status().triggers],
    )
    page = status_page(site(evil, alert(text=EVIL), decision(text=EVIL)))
    reader = Reader(page)
    assert {tag for tag, _ in reader.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "h3",
            "p",
            "section",
            "table",
            "tr",
            "td",
            "th",
        ),
        *("span", "ul", "li", "a", "progress", "code"),
    }
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert reader.text.count(EVIL) >= 10


def test_nothing_is_loaded_and_the_style_is_the_one_that_the_policy_names() -> None:
    reader = Reader(status_page(site(status())))
    assert not [tag for tag, attributes in reader.tags if "src" in attributes or "style" in attributes]
    assert {attributes["href"] for tag, attributes in reader.tags if tag == "a"} == {"/?flag=a", "/docs", "/readyz"}
    (style,) = re.findall("<style>(.*?)</style>", status_page(site()), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY


def test_many_rollouts_make_no_endless_page() -> None:
    found = site(*(status(f"flag-{number}") for number in range(SHOWN_ROLLOUTS + 7)))
    page = status_page(found)
    assert page.count("<h3>Ladder</h3>") == SHOWN_ROLLOUTS
    assert "7 more at /v1/rollouts" in page
    assert status_page(found, "flag-3").count("<h3>Ladder</h3>") == 1


def test_archived_ones_come_last_and_summaries_are_left_out() -> None:
    archived = status("aaa", state=state("aaa", phase=Phase.ARCHIVED), since_ms=status().since_ms + 1)
    silent = decision(text="a summary", reason=Reason.SUMMARY)
    arrived = decision(ALL_FLAGS, text="kill for 0 flags")
    text = Reader(status_page(site(archived, status("bbb"), silent, arrived, decision(text="told")))).text
    assert text.index("bbb") < text.index("aaa")
    assert ("told" in text, "a summary" in text, "kill for 0 flags" in text) == (True, False, False)


def test_the_running_server_shows_what_was_just_applied(house: Running, http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    house.until(lambda: "a person to start it" in http.get("/", params={"flag": flag}).text)
    answer = http.get("/", params={"flag": flag})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f">{flag}</a>" in answer.text
    assert '<meta http-equiv="refresh" content="5">' in answer.text


@pytest.mark.parametrize("name", ["<script>", "a b", "*"])
def test_the_page_of_no_flags_name_is_refused(http: httpx.Client, name: str) -> None:
    assert http.get("/", params={"flag": name}).status_code == 422
