"""The trigger language: what a rule means, and what is said when it means nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.rollout import (
    CPU,
    MEMORY,
    METRICS,
    Against,
    Metric,
    Op,
    Origin,
    Rule,
    Unit,
    named_gauge,
    named_metric,
)
from guardian.spec.amounts import MAX_WINDOW_MS
from guardian.spec.rule_checks import Use
from guardian.spec.rule_items import samples_needed
from guardian.spec.rule_syntax import RuleError
from guardian.spec.rule_words import SPELLINGS
from guardian.spec.rules import limit_text, metric_text, parse_rule, rule_text


@pytest.mark.parametrize(
    ("text", "in_full"),
    [
        ("error_rate > 5%", "error_rate > 5% over 1m"),
        ("error_rate > 5% for 5 minutes", "error_rate > 5% over 1m for 5m"),
        ("ERROR RATE Above 5 % OVER 1 Hour FOR 90s", "error_rate > 5% over 1h for 1m30s"),
        ("error_rate > 5% for 5m over 1h", "error_rate > 5% over 1h for 5m"),
        ("error-rate at least 0.1%", "error_rate >= 0.1% over 1m"),
        ("error_rate>5%for 5m", "error_rate > 5% over 1m for 5m"),
        ("error_rate > 2% per step", "error_rate > 2% per step"),
        ("p99 latency > 2s", "p99_latency > 2s over 1m"),
        ("latency p99 > 200 ms over 5m", "p99_latency > 200ms over 5m"),
        ("p99.9 latency > 2.5 seconds", "p999_latency > 2500ms over 1m"),
        ("average latency below 0.5ms", "mean_latency < 0.5ms over 1m"),
        ("error_count > 100/hour", "error_count > 100 per 1h"),
        ("errors > 100 / minute", "error_count > 100 per 1m"),
        ("errors > 100/day", "error_count > 100 per 1d"),
        ("errors > 100 per 5 minutes", "error_count > 100 per 5m"),
        ("errors > 100 over 5 minutes", "error_count > 100 per 5m"),
        ("errors > 100 per week", "error_count > 100 per 1w"),
        ("crashes > 0 per step", "crash_count > 0 per step"),
        ("crash_count >= 1", "crash_count >= 1 per step"),
        ("requests at most 10 per 1h30m", "request_count <= 10 per 1h30m"),
        ("error_rate\n  > 5%\tfor 5m\n", "error_rate > 5% over 1m for 5m"),
        # reference plan D's alerts, letter by letter
        ("p99_latency > 2x baseline for 10 minutes", "p99_latency > 2x baseline over 1m for 10m"),
        ("memory usage growing 10%/hour", "memory growing 10% per 1h over 5m"),
        ("dual_run assertions fail > 100/hour", "mismatch_count > 100 per 1h"),
        # and what is near them
        ("p95 latency > 1.05 x Control over 5m", "p95_latency > 1.05x control over 5m"),
        ("error_rate > 2 times control per step", "error_rate > 2x control per step"),
        ("memory > 2x baseline", "memory > 2x baseline over 1m"),
        ("memory above 1.5GiB", "memory > 1610.612736MB over 1m"),
        ("CPU usage > 250% for 30 minutes", "cpu > 250% over 1m for 30m"),
        ("memory grew by at least 10% per 2h over 10m for 5m", "memory growing 10% per 2h over 10m for 5m"),
        ("p99 latency growing 50% per day", "p99_latency growing 50% per 1d over 5m"),
        ("mismatches > 3", "mismatch_count > 3 per step"),
        ("fallback rate > 5%", "fallback_rate > 5% over 1m"),
        ("silent for 2 minutes", "silent for 2m"),
        ("Service silence for 1h30m", "silent for 1h30m"),
        ("critical bug reported", "bug_count > 0 per step"),
        ("bugs reported", "bug_count > 0 per step"),
        ("bugs > 2", "bug_count > 2 per step"),
        ("metric Satisfaction < 4.2 for 1h", "metric Satisfaction < 4.2 over 1m for 1h"),
        ("gauge queue_depth growing by more than 10%/30m", "gauge queue_depth growing 10% per 30m over 5m"),
    ],
)
def test_a_trigger_reads_as(text: str, in_full: str) -> None:
    assert rule_text(parse_rule(text, Use.TRIGGER)) == in_full


@pytest.mark.parametrize(
    ("text", "in_full"),
    [
        ("error_rate < 0.1%", "error_rate < 0.1% per step"),
        ("p95_latency < 200ms", "p95_latency < 200ms per step"),
        ("error_rate < 0.1% over 30m", "error_rate < 0.1% over 30m"),
        ("error_count < 5", "error_count < 5 per step"),
        ("error_count <= 5 per hour", "error_count <= 5 per 1h"),
        ("p95_latency < 1.05x control", "p95_latency < 1.05x control per step"),
        ("error_rate <= 1x baseline over 30m", "error_rate <= 1x baseline over 30m"),
        ("memory < 1.5x baseline", "memory < 1.5x baseline over 5m"),
        ("bug_count <= 0", "bug_count <= 0 per step"),
    ],
)
def test_a_gate_covers_the_step_unless_it_says_otherwise(text: str, in_full: str) -> None:
    assert rule_text(parse_rule(text, Use.GATE)) == in_full


def test_a_rule_keeps_its_text_on_one_line() -> None:
    assert parse_rule("  Error rate\n > 5%  for 5 minutes ", Use.TRIGGER).text == "Error rate > 5% for 5 minutes"


def test_limits_are_shares_and_milliseconds() -> None:
    assert parse_rule("error_rate > 7.3%", Use.TRIGGER).limit == 0.073
    assert parse_rule("p50_latency > 2.5s", Use.TRIGGER).limit == 2_500.0
    assert parse_rule("error_count > 1000000000000", Use.TRIGGER).limit == 1e12


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_known_by_its_name_and_with_spaces(name: str) -> None:
    limit = LIMIT_IN[METRICS[name].unit]
    for written in (name, name.replace("_", " "), name.upper(), name.replace("_", "-")):
        assert parse_rule(f"{written} > {limit}", Use.TRIGGER).metric is METRICS[name]


def test_every_spelling_leads_to_a_metric_of_core() -> None:
    assert {metric.name for metric in SPELLINGS.values()} == {*METRICS, "memory", "cpu", "bug_count"}


def test_a_figure_of_ones_own_keeps_its_name_letter_by_letter() -> None:
    assert parse_rule("metric Cache.Hit-Rate > 3", Use.TRIGGER).metric == named_metric("Cache.Hit-Rate")
    assert parse_rule("GAUGE Queue_Depth > 3", Use.TRIGGER).metric == named_gauge("Queue_Depth")


def test_a_multiple_a_growth_and_a_silence_are_numbers() -> None:
    assert parse_rule("p99_latency > 1.05x control", Use.TRIGGER).limit == 1.05
    growth = parse_rule("memory growing 10%/hour", Use.TRIGGER)
    assert (growth.limit, growth.against, growth.period_ms) == (0.1, Against.PAST, 3_600_000)
    assert growth.bound(200.0) == pytest.approx(220.0)
    assert parse_rule("silent for 2m", Use.TRIGGER).limit == 120_000.0


def test_a_rule_of_three_sets_what_a_low_rate_needs() -> None:
    def needed(text: str) -> int:
        return samples_needed(parse_rule(text, Use.GATE))

    assert needed("error_rate < 0.1%") == 3_000
    assert needed("error_rate <= 0.1%") == 3_000
    assert needed("error_rate < 0.7%") == math.ceil(3 / 0.007)
    assert needed("crash_rate < 5%") == 60
    assert needed("error_rate <= 0%") == 0
    assert needed("error_rate > 1%") == 0
    assert needed("p95_latency < 200ms") == 0
    assert needed("error_count < 5") == 0


def test_all_faults_of_a_rule_are_told_at_once_in_their_order() -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule("eror_rate > 5 for 0s for 8d over 1m per hour", Use.TRIGGER)
    messages = [fault.message for fault in refused.value.faults]
    assert messages == [
        "unknown metric `eror_rate`",
        "`for` wants whole seconds",
        "`for` stands here twice",
        "`for` is longer than 7 days",
        "a rule has one window",
    ]
    assert [fault.offset for fault in refused.value.faults] == sorted(fault.offset for fault in refused.value.faults)


def test_a_very_long_rule_is_refused_unread() -> None:
    with pytest.raises(RuleError, match="100,000 characters"):
        parse_rule("e" * 100_000, Use.TRIGGER)


SECONDS_MS = st.integers(1, MAX_WINDOW_MS // 1_000).map(lambda seconds: seconds * 1_000)
LIMITS = {
    Unit.RATE: st.decimals(0, 100, places=6, allow_nan=False).map(lambda percent: float(percent / 100)),
    Unit.LATENCY_MS: st.decimals(0, 10_000_000, places=3, allow_nan=False).map(float),
    Unit.COUNT: st.integers(0, 10**12).map(float),
    Unit.BYTES: st.integers(0, 10**14).map(float),
    Unit.NUMBER: st.decimals(0, 10**9, places=4, allow_nan=False).map(float),
}
LIMIT_IN = {Unit.RATE: "5%", Unit.LATENCY_MS: "5ms", Unit.COUNT: "5", Unit.BYTES: "5MB", Unit.NUMBER: "5"}
EVERY = (*METRICS.values(), MEMORY, CPU, named_metric("Satisfaction"), named_gauge("Queue-Depth"))
RATIOS = st.decimals("0.01", 1_000, places=2, allow_nan=False).map(float)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule that a trigger may have."""
    metric: Metric = draw(st.sampled_from(list(METRICS.values())))
    op = draw(st.sampled_from(list(Op)))
    needs_period = metric.unit is Unit.COUNT and op in (Op.BELOW, Op.AT_MOST)
    over_ms = draw(SECONDS_MS if needs_period else st.just(0) | SECONDS_MS)
    hold_ms = 0 if metric.unit is Unit.COUNT else draw(st.just(0) | SECONDS_MS)
    return Rule("", metric, op, draw(LIMITS[metric.unit]), over_ms, hold_ms)


@st.composite
def comparisons(draw: st.DrawFn) -> Rule:
    """A rule with a reference, or about a service."""
    metric: Metric = draw(st.sampled_from([metric for metric in EVERY if metric.unit is not Unit.COUNT]))
    of_service = metric.origin is Origin.GAUGES
    against = draw(st.sampled_from([each for each in Against if not (of_service and each is Against.CONTROL)]))
    over_ms, hold_ms = draw(st.integers(1, 1_000)) * 60_000, draw(st.just(0) | SECONDS_MS)
    if against is Against.PAST:
        period_ms = draw(st.integers(1, 86_400)) * 1_000
        share = draw(RATIOS) / 100
        return Rule("", metric, Op.AT_LEAST, float(share), over_ms, hold_ms, against, period_ms)
    limit = draw(LIMITS[metric.unit] if against is Against.NONE else RATIOS)
    return Rule("", metric, draw(st.sampled_from(list(Op))), limit, over_ms, hold_ms, against)


def told(rule: Rule) -> tuple[object, ...]:
    return rule.metric, rule.op, rule.limit, rule.over_ms, rule.hold_ms, rule.against, rule.period_ms


@settings(deadline=None)
@given(rules() | comparisons())
def test_a_rule_written_in_full_reads_as_itself(rule: Rule) -> None:
    assert told(parse_rule(rule_text(rule), Use.TRIGGER)) == told(rule)


@settings(deadline=None)
@given(rules())
def test_a_rule_in_full_means_the_same_for_a_gate(rule: Rule) -> None:
    may_pass = rule.op is not Op.BELOW or rule.limit > 0
    if not rule.hold_ms and may_pass:
        assert told(parse_rule(rule_text(rule), Use.GATE)) == told(rule)


@settings(deadline=None)
@given(rules())
def test_capitals_and_spaces_change_nothing(rule: Rule) -> None:
    words = rule_text(rule).split(" ")
    strange = "  ".join(word.upper() if len(word) % 2 else word.capitalize() for word in words)
    assert told(parse_rule(f" {strange}\n", Use.TRIGGER)) == told(rule)


@settings(deadline=None)
@given(st.sampled_from(list(Unit)), st.data())
def test_a_limit_is_written_exactly(unit: Unit, data: st.DataObject) -> None:
    limit = data.draw(LIMITS[unit])
    metric = next(metric for metric in EVERY if metric.unit is unit)
    assert parse_rule(f"{metric_text(metric)} > {limit_text(unit, limit)}", Use.TRIGGER).limit == limit


PIECES = "> < >= == 5% 5 200ms 2x over for per step /hour 5m 1h30m baseline control % -1 1_000 1,5 \u2265 at least \x00"
PIECES += " growing by silent silence metric gauge memory cpu x times 800MB critical bug reported"
WORDS = st.sampled_from([*METRICS, *SPELLINGS, *PIECES.split(" "), "", "e" * 400])


def read(text: str, use: Use) -> Rule | RuleError:
    try:
        return parse_rule(text, use)
    except RuleError as error:
        return error


@settings(deadline=None)
@given(st.text() | st.lists(WORDS, max_size=12).map(" ".join), st.sampled_from(list(Use)))
def test_any_text_is_a_rule_or_a_rule_error_with_its_place(text: str, use: Use) -> None:
    found = read(text, use)
    if isinstance(found, Rule):
        assert told(parse_rule(rule_text(found), use)) == told(found)
    else:
        assert found.faults
        assert all(fault.message and fault.fix and 0 <= fault.offset <= len(text) for fault in found.faults)
