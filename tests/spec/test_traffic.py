"""Which rules can judge at which traffic, said beforehand; and where a handful of failures decides."""

from __future__ import annotations

import pytest

from guardian.core.rollout import RolloutSpec
from guardian.spec.advice import advice
from guardian.spec.load import load_spec
from guardian.spec.template import render_template
from guardian.spec.traffic import needs_of, needs_text, parse_traffic, traffic_text
from tests.spec.files import EXAMPLES, text_of

G2 = """
flag: a
steps:
  - {name: canary, weight: 5%, bake: 30m, gates: [error_rate < 5%]}
  - {weight: 100%, bake: 1h}
triggers:
  - {name: errors, when: error_rate > 5% for 5 minutes}
  - {name: crashes, when: crash_count > 0 per step}
"""


def spec_of(text: str) -> RolloutSpec:
    return load_spec(text, "")[0]


def told(text: str, per_second: float | None) -> list[str]:
    return [f"{each.path}: {each.message} ({each.fix})" for each in advice(spec_of(text), per_second)]


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("40/s", 40.0), ("12/m", 0.2), ("1000/h", 1000 / 3600), (" 1.5 / min ", 0.025), ("3/second", 3.0)],
)
def test_a_traffic_is_read(text: str, per_second: float) -> None:
    assert parse_traffic(text) == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["", "40", "40/d", "-1/s", "0/s", "forty/s", "1e9/s", "40/s/s", "9" * 40 + "/s"])
def test_what_is_no_traffic_is_refused(text: str) -> None:
    assert parse_traffic(text) is None


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(33.2, "34/s"), (1_234.0, "1,300/s"), (6.61, "6.7/s"), (0.2, "12/min"), (0.01, "36/h"), (0.000_1, "0.4/h")],
)
def test_a_traffic_is_shown_rounded_up(per_second: float, text: str) -> None:
    assert traffic_text(per_second) == text


def test_G2_check_says_beforehand_that_the_trigger_cannot_judge_at_so_few_requests() -> None:
    lines = told(G2, 4.0)
    assert (
        "triggers[0]: in step `canary` error_rate > 5% needs 100 requests; 5% of 4/s brings about 60 in 5m: "
        "the step waits (look back `over 9m`, lower `min_samples`, raise the weight)" in lines
    )
    assert not any("triggers[0]" in line for line in told(G2, 7.0))


def test_G1_check_says_what_would_hold_the_rollout() -> None:
    (line,) = [line for line in told(G2, 1 / 3_600) if "exposure" in line and "steps[0]:" in line]
    assert "step `canary` needs 20 requests; 5% of 1/h brings about 0 in 30m: the step waits" in line
    assert needs_text(spec_of(G2)) == [
        "So many requests to the flag, both variants together, let each rule judge in time:",
        "  canary, 5%: trigger errors 6.7/s; gate error_rate-below-5% 1.2/s; exposure 14/min",
        "  100%: trigger errors 20/min; exposure 20/h",
    ]


def test_a_gate_is_told_at_the_traffic_that_was_given_and_else_at_an_assumed_one() -> None:
    assert any(line.startswith("steps[0].gates[0]: error_rate < 5% needs 100") for line in told(G2, 0.5))
    assert not any("steps[0].gates[0]" in line for line in told(G2, None))
    few = G2.replace("5%, bake: 30m", "1%, bake: 5m")
    assert any("of 10 requests/s" in line and "fine if your traffic is higher" in line for line in told(few, None))


def test_the_smaller_arm_of_a_comparison_counts() -> None:
    text = G2.replace("error_rate > 5% for 5 minutes", "error_rate > 2x control over 5m").replace(
        "5%, bake", "90%, bake"
    )
    (need,) = [each for each in needs_of(spec_of(text)) if each.what == "trigger errors"]
    assert need.share_bp == 1_000


def test_dual_runs_are_counted_by_their_own_share() -> None:
    text = """
flag: a
steps:
  - {name: shadow, weight: 0%, dual_run: 20%, bake: 10m, gates: [mismatch_count <= 0]}
  - {weight: 100%, bake: 1h}
triggers: [{when: dual_run assertions fail > 10/hour, do: pause}]
"""
    needs = [(each.what, each.samples, each.unit, each.share_bp) for each in needs_of(spec_of(text))]
    assert needs[:3] == [
        ("exposure", 20, "comparisons", 2_000),
        ("gate mismatch_count-at-most-0", 20, "comparisons", 2_000),
        ("trigger mismatch_count-above-10", 20, "comparisons", 2_000),
    ]


def test_what_is_let_through_unjudged_or_only_notifies_does_not_hold_a_step() -> None:
    allowed = told(G2.replace("5 minutes}", "5 minutes, unjudged: allow}"), 1.0)
    assert any("it cannot act, and the step does not wait for it" in line for line in allowed)
    notice = told(G2.replace("5 minutes}", "5 minutes, do: notify}"), 1.0)
    assert any("triggers[0]" in line and "it stays silent" in line for line in notice)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_says_what_it_needs(path: object) -> None:
    lines = needs_text(spec_of(text_of(path)))  # type: ignore[arg-type]
    assert len(lines) > 1


def test_the_template_can_judge_at_a_traffic_of_forty_a_second() -> None:
    assert [each for each in advice(spec_of(render_template("a")), 40.0) if "the step waits" in each.message] == []


# W5


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("error_rate > 0.5%", "there one failure decides, which may be chance (give it `min_samples: 600`"),
        ("error_rate > 1%", "there 2 failures decide, which may be chance (give it `min_samples: 300`"),
        ("mismatch_rate > 2% over 10m", "there 3 failures decide, which may be chance (give it `min_samples: 150`"),
    ],
)
def test_W5_a_limit_at_which_a_handful_of_failures_decides_is_advised_against(rule: str, words: str) -> None:
    assert any(words in line for line in told(G2.replace("error_rate > 5% for 5 minutes", rule), None))


@pytest.mark.parametrize(
    "rule", ["error_rate > 3%", "{when: error_rate > 0.5%, min_samples: 600}", "{when: error_rate > 0.5%, do: notify}"]
)
def test_W5_enough_failures_or_a_notice_are_not(rule: str) -> None:
    text = G2.replace("{name: errors, when: error_rate > 5% for 5 minutes}", rule)
    assert not any("decide" in line for line in told(text, None))
