"""What guardian writes about specs: the template, the advice, the plain words, and the page of the language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardian.core.rollout import METRICS, RolloutSpec
from guardian.errors import SpecError
from guardian.spec.advice import advice
from guardian.spec.describe import describe, rule_meaning
from guardian.spec.load import load_spec
from guardian.spec.reference import render_reference
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from guardian.spec.template import render_template
from guardian.spec.vocabulary import LATER, SECTIONS
from tests.spec.files import DOCS, EXAMPLES, text_of

# Template


def spec_of(text: str) -> RolloutSpec:
    return load_spec(text, "")[0]


@pytest.mark.parametrize("strategy", ["canary", "percentage"])
@pytest.mark.parametrize("flag", ["new-pricing", "on", "123", "1.5", "true", "null", "0x10", "A" * 128])
def test_the_template_is_valid_for_any_flag(flag: str, strategy: str) -> None:
    spec = spec_of(render_template(flag, strategy))
    assert spec.flag == spec.salt == flag
    assert spec.strategy == strategy
    assert spec.steps[-1].weight_bp == 10_000


def test_the_template_contains_every_word_that_guardian_acts_on() -> None:
    text = render_template("a")
    for words in SECTIONS.values():
        for word in words:
            assert re.search(rf"\b{word}: ", text) or re.search(rf"^{word}:$", text, re.M) or f" {word}:" in text, word


def test_the_template_has_no_word_that_guardian_does_not_act_on() -> None:
    words = set(re.findall(r"\b([a-z_]+): ", render_template("a")))
    assert not words & LATER


def test_what_the_template_leaves_out_is_valid_too() -> None:
    text = render_template("a")
    for word in ("env_prefix", "components"):
        live = re.sub(rf"^# ({word}: )", r"\1", text, flags=re.M)
        assert live != text
        assert spec_of(live) != spec_of(text)
    start = text.index("steps:\n")
    end = text.index("# A trigger acts")
    ladder = re.sub(r"^# (weights: )", r"\1", text[:start] + text[end:], flags=re.M)
    assert [step.weight_bp for step in spec_of(ladder).steps] == [100, 1_000, 10_000]


def test_an_owner_with_strange_letters_stays_one_text() -> None:
    for owner in ('a: "b" # c', "Zo\u00eb's team", "{x}", "$flag"):
        assert spec_of(render_template("a", owner=owner)).owner == owner


def test_what_cannot_be_a_template_is_refused_whole() -> None:
    with pytest.raises(SpecError) as refused:
        render_template("../a", "ring", "")
    assert [problem.path for problem in refused.value.problems] == ["flag", "strategy", "owner"]


# Advice

CALM = """
flag: a
steps:
  - {weight: 5%, bake: 1h, gates: [error_rate < 1%]}
  - {weight: 100%, bake: 1d}
triggers: [error_rate > 5% for 5 minutes, crash_count > 0 per step]
"""


def told(text: str) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in advice(spec_of(text))]


def test_nothing_is_said_about_a_calm_spec() -> None:
    assert told(CALM) == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        (", gates: [error_rate < 1%]", "", "steps[0]: step `5%` has no gates: it goes on when the bake is over"),
        ("bake: 1d", "bake: 0s", "steps[1].bake: the last step has no bake"),
        ("bake: 1h", "bake: 0s", "steps[0].bake: no bake: gates are judged on no evidence"),
        ("error_rate < 1%", "error_rate < 0.01%", "steps[0].gates[0]: error_rate < 0.01% needs 30,000 requests"),
        ("bake: 1h", "bake: 2m", "steps[0].gates[0]: error_rate < 1% needs 300 requests; 5% of 10 requests/s"),
        ("error_rate < 1%", "error_rate < 1% over 2h", "steps[0].gates[0]: looks back 2h, but the step bakes 1h"),
        ("bake: 1h", "bake: 5m", "triggers[0]: holds for 5m, but step `5%` is over after 5m"),
        (", crash_count > 0 per step", "", "triggers: no trigger acts on crashes or errors within seconds"),
        ("triggers: [error_rate > 5% for 5 minutes, crash_count > 0 per step]", "", "triggers: no trigger takes"),
        ("error_rate > 5%", "error_rate > 100%", "triggers[0]: error_rate > 100% is never true"),
        ("error_rate > 5%", "error_rate >= 0%", "triggers[0]: error_rate >= 0% is always true"),
        ("{weight: 5%,", "{weight: 100%,", "steps[0]: everybody gets the candidate at once"),
        ("flag: a", "flag: a\nsources: [migrations]", "sources: migration events count, but no component"),
        (
            "flag: a",
            "flag: a\nvariants: {values: {on: on, off: off}}",
            "variants.values: the application is given the text",
        ),
    ],
)
def test_what_is_legal_but_unwise_is_said(was: str, becomes: str, said: str) -> None:
    text = CALM.replace(was, becomes)
    if becomes.startswith("{weight: 100%"):
        text = text.replace("  - {weight: 100%, bake: 1d}\n", "")
    assert any(line.startswith(said) for line in told(text)), told(text)


LEARNED = """
flag: a
steps:
  - {weight: 5%, bake: 1h, gates: [error_rate < 1%]}
  - {weight: 100%, bake: 1d, gates: [error_rate < 1%, p95_latency < 1.1x control]}
triggers: [error_rate > 5% for 5 minutes, crash_count > 0 per step, p99_latency > 2x baseline]
"""


def test_a_baseline_that_nothing_learns_is_said_and_a_first_step_at_zero_proposed() -> None:
    said = advice(spec_of(LEARNED))
    assert [problem.path for problem in said] == ["triggers", "steps[1].gates[1]"]
    assert "`{weight: 0%, bake: 30m}`" in said[0].fix
    assert "`baseline: {NAME: FIGURE}`" in said[0].fix
    assert said[1].message == "at 100% there is no control to compare with: this gate never passes"
    learned = LEARNED.replace("steps:\n", "steps:\n  - {weight: 0%, bake: 30m}\n").replace(
        ", p95_latency < 1.1x control", ""
    )
    assert told(learned) == []
    declared = LEARNED.replace("steps:\n", "baseline: {p99_latency: 180ms}\nsteps:\n")
    assert told(declared) == [f"steps[1].gates[1]: {said[1].message}"]


def test_a_declared_figure_that_no_rule_looks_at_is_said() -> None:
    text = CALM.replace("flag: a", "flag: a\nbaseline: {memory: 800MB}")
    assert told(text) == ["baseline.memory: a baseline of memory is declared, but no rule compares with it"]


SHADOWED = """
flag: a
steps:
  - {weight: 0%, dual_run: 20%, bake: 1h, gates: [mismatch_rate < 1%]}
  - {weight: 5%, bake: 1h, gates: [error_rate < 1%]}
  - {weight: 100%, bake: 1d}
triggers: [error_rate > 5% for 5 minutes, crash_count > 0 per step, dual_run assertions fail > 100/hour]
"""


def test_a_calm_spec_with_a_shadow_step_is_calm() -> None:
    assert told(SHADOWED) == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        (
            "dual_run: 20%, bake: 1h",
            "dual_run: 20%, bake: 1m",
            "steps[0].gates[0]: mismatch_rate < 1% needs 300 comparisons; 20% of 10 requests/s brings about 120 in 1m",
        ),
        (
            "{weight: 5%, bake: 1h, gates: [error_rate < 1%",
            "{weight: 5%, bake: 1h, gates: [error_rate < 1%, mismatch_count <= 0",
            "steps[1].gates[1]: mismatch_count <= 0 looks at dual runs, and here nobody runs both",
        ),
        ("dual_run: 20%", "dual_run: 0%", "steps[0].gates[0]: mismatch_rate < 1% looks at dual runs, and here nobody"),
        ("dual_run: 20%", "dual_run: 0%", "triggers[2]: mismatch_count > 100 looks at dual runs, and here"),
        (", gates: [mismatch_rate < 1%]", "", "steps[0]: step `0%` has no gates: it goes on when the bake is over"),
        (
            "bake: 1h, gates: [mismatch_rate < 1%]",
            "bake: 1m, gates: [migration_failure_rate < 1%]",
            "steps[0].gates[0]: migration_failure_rate < 1% needs 300 calls; 0% of 10 requests/s brings about 0 in 1m",
        ),
    ],
)
def test_what_is_unwise_of_dual_runs_is_said(was: str, becomes: str, said: str) -> None:
    found = told(SHADOWED.replace(was, becomes))
    assert any(line.startswith(said) for line in found), found


def test_what_runs_twice_and_is_looked_at_by_nothing_is_said() -> None:
    text = SHADOWED.replace(", dual_run assertions fail > 100/hour", "").replace("mismatch", "migration_failure")
    assert "triggers: both implementations run, but no rule looks at where they differ" in told(text)


def test_where_no_step_says_dual_run_everybody_may_be_compared() -> None:
    assert told(SHADOWED.replace("dual_run: 20%, ", "")) == []


def test_a_trigger_that_only_tells_takes_nothing_back() -> None:
    text = "flag: a\nstrategy: canary\ntriggers: [{when: error_rate > 5%, do: notify}, request_count > 5 per step]\n"
    assert any("no trigger takes a failing candidate back" in line for line in told(text))


def test_the_shops_example_is_calm() -> None:
    shop = next(path for path in EXAMPLES if path.stem == "new-pricing")
    assert advice(load_spec(text_of(shop), "")[0]) == []


# Plain words


def test_a_spec_is_told_in_plain_words() -> None:
    text = """
flag: new-pricing
owner: checkout-team
steps:
  - name: canary
    weight: 5%
    bake: 1h
    on_fail: rollback
    rollback: {to: zero}
    gates: [error_rate < 0.1%]
    triggers: [error_count > 1000 per step]
  - {weight: 50%, bake: 0s}
triggers:
  - {name: slow, when: p99_latency > 1500ms over 5m for 10m, do: pause, tell: on-call}
rollback: {wait: 1w, resolve: required}
"""
    assert describe(spec_of(text)).splitlines() == [
        "new-pricing, owned by checkout-team: from off to on in 2 steps",
        "",
        "1. canary: 5%, held for 1h",
        "     go on when error rate since the step began is below 0.1% (judged from 3,000 requests on)"
        "  [error_rate-below-0.1%]",
        "     wait for that for 3h after the bake, then roll back to 0%",
        "     roll back to 0% (critical) when error count since the step began is above 1,000"
        "  [canary.error_count-above-1000]",
        "     a rollback from here leads to 0%",
        "2. 50%, not held",
        "",
        "In every step, and after the last:",
        "  pause and tell on-call (warning) when p99 latency of the last 5m is above 1500ms, throughout 10m"
        " (judged from 100 requests on)  [slow]",
        "",
        "It ends with 50% on the candidate, and stays guarded.",
        "After a rollback a new attempt needs 1w of waiting and that a person resolves it.",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: Path(path).stem)
def test_every_step_and_trigger_is_told(path: Path) -> None:
    spec, _ = load_spec(text_of(path), "")
    told = describe(spec)
    triggers = [*spec.triggers, *(trigger for step in spec.steps for trigger in step.triggers)]
    assert all(f"[{trigger.name}]" in told for trigger in triggers)
    assert all(f"{number}. " in told for number in range(1, len(spec.steps) + 1))


def test_a_rule_is_told_in_plain_words() -> None:
    assert rule_meaning(parse_rule("crashes >= 3 per hour", Use.TRIGGER)) == "crash count of the last 1h is at least 3"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("p95_latency > 1.05x control", "p95 latency of the last 1m is above 1.05x control's at the same time"),
        ("p99_latency > 2x baseline for 10m", "p99 latency of the last 1m is above 2x the baseline, throughout 10m"),
        ("memory growing 10%/hour", "memory of any service of the last 5m has grown by 10% or more in 1h"),
        ("silent for 2m", "a service that has sent heartbeats is silent for 2m"),
        ("metric Net_Score < 4", "Net_Score of the last 1m is below 4"),
        ("critical bug reported", "bug count since the step began is above 0"),
    ],
)
def test_a_comparison_is_told_in_plain_words(text: str, meaning: str) -> None:
    assert rule_meaning(parse_rule(text, Use.TRIGGER)) == meaning


@pytest.mark.parametrize(
    ("rule", "samples"),
    [
        ("error_rate > 5%", " (judged from 100 requests on)"),
        ("mismatch_rate > 5%", " (judged from 100 comparisons on)"),
        ("fallback_rate > 5%", " (judged from 100 calls on)"),
        ("metric satisfaction < 4", " (judged from 100 events with it on, or as soon as it is set)"),
        ("mismatch_count > 5", ""),
        ("memory > 2GB", ""),
    ],
)
def test_a_trigger_says_from_how_much_on_it_is_judged(rule: str, samples: str) -> None:
    line = describe(spec_of(SHADOWED.replace("crash_count > 0 per step", f"{{name: it, when: {rule}}}")))
    assert f"{rule_meaning(parse_rule(rule, Use.TRIGGER))}{samples}  [it]" in line


def test_a_shadow_step_is_told_in_plain_words() -> None:
    assert "1. 0%, both run for 20%, held for 1h" in describe(spec_of(SHADOWED)).splitlines()


def test_a_spec_says_where_its_baseline_comes_from() -> None:
    text = LEARNED.replace("p99_latency > 2x baseline", "p99_latency > 2x baseline, memory > 2x baseline")
    lines = describe(
        spec_of(text.replace("flag: a", "flag: a\nbaseline: {memory: 800MB}\nbaseline_window: 6h"))
    ).splitlines()
    assert "The baseline is declared: memory 800MB." in lines
    frozen = "is what control and the services did in up to 6h before the first step above 0%."
    assert f"The baseline of p99_latency {frozen}" in lines


def test_what_the_template_shows_as_comments_is_valid() -> None:
    text = render_template("a")
    shown = re.findall(r"^#  (- .*?)(?: +#.*)?$", text, re.M)
    assert len(shown) >= 10
    live = text.replace("\nrollback:\n", "\n" + "".join(f"  {line}\n" for line in shown) + "\nrollback:\n")
    live = live.replace("# baseline: {", "baseline: {")
    before, after = spec_of(text), spec_of(live)
    assert len(after.triggers) == len(before.triggers) + len(shown)
    assert after.baseline == {"p99_latency": 180.0, "memory": 800e6}


# The page


def test_the_committed_page_of_the_language_is_up_to_date() -> None:
    page = (DOCS / "trigger-language.md").read_text("utf-8")
    assert page == render_reference(), "run: python -m guardian.spec.reference > docs/trigger-language.md"


def test_the_page_names_every_metric_and_every_word() -> None:
    page = render_reference()
    for word in [*METRICS, *LATER, *(word for words in SECTIONS.values() for word in words)]:
        assert f"`{word}`" in page


def test_the_page_shows_a_reason_for_every_refused_example() -> None:
    refused = render_reference().split("Refused, with the reason:")[1].split("## ")[0]
    assert refused.count("\n| trigger |") + refused.count("\n| gate |") >= 11
