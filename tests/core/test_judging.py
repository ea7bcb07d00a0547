"""Judging: thresholds with hold, too few samples, counts on arrival, gates, alerts, and what does not count."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core.finding import Finding, find
from guardian.core.inputs import Bucket, Cell
from guardian.core.judge import Hold, judge_gate, judge_trigger
from guardian.core.outputs import Alert, Decision
from guardian.core.rollout import METRICS, Op, RollbackPolicy, Rule
from guardian.core.windows import tally_of
from guardian.core.words import Action, Outcome, Reason
from tests.core.scenes import FLAG, PREVIOUS, TELEMETRY, Scene, above, below, bucket, gate, spec, step, trigger

LONG = step("only", 1_000, bake_s=3_600)


# A threshold with a hold, on the rule alone


def judged(hold: Hold, at_s: int, value: float | None, n: int = 100, hold_s: int = 300) -> tuple[str, str]:
    rule = above("error_rate", 0.05, hold_s=hold_s)
    verdict = judge_trigger(trigger(rule, min_samples=50), hold, Finding(value, n), at_s * 1_000)
    return verdict.outcome.value, verdict.reason.value


def test_a_trigger_fires_when_every_evaluation_through_its_hold_crossed() -> None:
    # t:      0    100   200   299   300
    # rate:   7%   7%    7%    7%    7%
    hold = Hold()
    for at_s in (1_000, 1_100, 1_200, 1_299):
        assert judged(hold, at_s, 0.07) == ("INCONCLUSIVE", "HOLDING")
    assert judged(hold, 1_300, 0.07) == ("FAIL", "OVER_LIMIT")


def test_one_evaluation_within_the_limit_starts_the_hold_anew() -> None:
    hold = Hold()
    judged(hold, 1_000, 0.07)
    assert judged(hold, 1_200, 0.05) == ("PASS", "WITHIN_LIMIT")
    judged(hold, 1_201, 0.07)
    assert judged(hold, 1_400, 0.07) == ("INCONCLUSIVE", "HOLDING")
    assert judged(hold, 1_501, 0.07) == ("FAIL", "OVER_LIMIT")


def test_too_few_samples_stop_the_holds_clock_but_do_not_turn_it_back() -> None:
    hold = Hold()
    judged(hold, 1_000, 0.07)
    judged(hold, 1_200, 0.07)
    assert judged(hold, 1_400, 0.07, n=3) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    assert judged(hold, 1_500, None, n=0) == ("INCONCLUSIVE", "NO_DATA")
    assert judged(hold, 1_600, 0.07) == ("INCONCLUSIVE", "HOLDING")
    assert hold.held_ms == 200_000
    assert judged(hold, 1_700, 0.07) == ("FAIL", "OVER_LIMIT")


def test_after_three_holds_of_too_few_samples_the_clock_starts_anew() -> None:
    hold = Hold()
    judged(hold, 1_000, 0.07)
    judged(hold, 1_290, 0.07)
    judged(hold, 1_290 + 899, 0.07, n=3)
    assert hold.held_ms == 290_000
    judged(hold, 1_290 + 900, 0.07, n=3)
    assert (hold.held_ms, hold.crossed) == (0, False)
    assert judged(hold, 2_200, 0.07) == ("INCONCLUSIVE", "HOLDING")
    assert judged(hold, 2_499, 0.07) == ("INCONCLUSIVE", "HOLDING")
    assert judged(hold, 2_500, 0.07) == ("FAIL", "OVER_LIMIT")


@pytest.mark.parametrize(
    ("op", "value", "crosses"),
    [
        (Op.ABOVE, 5.0, False), (Op.ABOVE, 5.1, True), (Op.AT_LEAST, 5.0, True), (Op.AT_LEAST, 4.9, False),
        (Op.BELOW, 5.0, False), (Op.BELOW, 4.9, True), (Op.AT_MOST, 5.0, True), (Op.AT_MOST, 5.1, False),
    ],
)  # fmt: skip
def test_a_comparison_means_what_it_says(op: Op, value: float, crosses: bool) -> None:
    rule = Rule("p95_latency", METRICS["p95_latency"], op, 5.0, 60_000)
    verdict = judge_trigger(trigger(rule), Hold(), Finding(value, 100), 1_000)
    assert verdict.outcome is (Outcome.FAIL if crosses else Outcome.PASS)


def test_a_gate_without_data_is_never_a_pass() -> None:
    empty, few = tally_of(Bucket(0)), tally_of(bucket(0, ok=5))
    for metric in METRICS:
        verdict = judge_gate(gate(below(metric, 1_000_000)), find(METRICS[metric], empty))
        assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.NO_DATA)
    assert judge_gate(gate(below("error_rate", 0.1)), find(METRICS["error_rate"], few)).reason is Reason.TOO_FEW_SAMPLES


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.unit != "count"])
def test_a_rate_or_a_latency_without_data_does_not_fire_and_does_not_pass(metric: str) -> None:
    for op in Op:
        rule = Rule("rule", METRICS[metric], op, 0.0, 60_000)
        assert judge_trigger(trigger(rule), Hold(), Finding(None, 0), 1_000).reason is Reason.NO_DATA


def test_a_count_of_no_requests_is_no_data_either() -> None:
    for op in Op:
        rule = Rule("rule", METRICS["request_count"], op, 0.0, 60_000)
        assert judge_trigger(trigger(rule), Hold(), Finding(0, 0), 1_000).reason is Reason.NO_DATA


# What people read


def test_a_text_shows_both_numbers_the_time_and_the_samples() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_rate", 0.05, hold_s=5)),)))
    scene.seconds(7, ok=90, error=10)
    assert scene.decision().text == "error_rate: error_rate 10% > 5% for 5s (n=600)"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (above("crash_count", 0, over_s=0), "crash_count 3 > 0 in this step (n=15)"),
        (above("crash_count", 1, over_s=3_600), "crash_count 3 > 1 over 1h (n=15)"),
        (above("p95_latency", 200, over_s=60), "p95_latency 302ms > 200ms over 1m (n=10)"),
        (above("mean_latency", 200, over_s=60), "mean_latency 300ms > 200ms over 1m (n=10)"),
    ],
)
def test_every_kind_of_rule_has_its_text(rule: Rule, text: str) -> None:
    scene = Scene(spec(LONG, triggers=(trigger(rule, Action.NOTIFY),)))
    scene.seconds(3, ok=4, crash=1, latency_ms=[300.0] * 5)
    verdict = scene.status().triggers[0].verdict
    assert verdict.text == text
    assert verdict.evidence.limit == rule.limit


# Thresholds in a life


def test_a_rate_over_its_limit_for_its_hold_rolls_back() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_rate", 0.05, hold_s=5)),)))
    scene.seconds(20, ok=100)
    scene.seconds(5, ok=50, error=50)
    assert scene.where == "progressing only 1000"
    assert scene.verdict("error_rate") == ("INCONCLUSIVE", "HOLDING")
    scene.seconds(4, ok=50, error=50)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].trigger == "error_rate"


def test_a_latency_percentile_is_judged_on_its_window() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("p99_latency", 500, over_s=10)),)))
    scene.seconds(20, ok=100, latency_ms=[20.0] * 100)
    assert scene.verdict("p99_latency") == ("PASS", "WITHIN_LIMIT")
    scene.seconds(3, ok=100, latency_ms=[20.0] * 90 + [900.0] * 10)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].evidence.value == pytest.approx(900, rel=0.01)


def test_a_window_with_too_few_samples_widens_to_at_most_its_hold() -> None:
    slow = above("error_rate", 0.05, over_s=5, hold_s=20)
    # one request a second: 5 in the window, 10 needed; 20 s hold 20 of them
    scene = Scene(spec(LONG, triggers=(trigger(slow, min_samples=10),)))
    scene.seconds(45, error=1)
    assert scene.where == "rolled_back - 0"
    window = scene.rollbacks()[-1].evidence
    assert window.window_end_ms - window.window_start_ms == 10_000
    assert window.n == 10
    starved = Scene(spec(LONG, triggers=(trigger(slow, min_samples=21),)))
    starved.seconds(45, error=1)
    assert starved.verdict("error_rate") == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")


# Counts


def test_a_crash_acts_on_arrival_before_any_watermark() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    outputs = scene.events(crash=1)
    assert scene.where == "rolled_back - 0"
    assert any(isinstance(each, Decision) and each.reason is Reason.TRIGGER_FIRED for each in outputs)


def test_a_count_with_a_hold_is_judged_on_event_time() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, hold_s=5)),)))
    scene.seconds(8, crash=1, blind=True)
    assert scene.where == "progressing only 1000", "no event time has passed for certain"
    scene.seconds(8, ok=1)
    assert scene.where == "rolled_back - 0"


def test_a_count_per_hour_looks_back_an_hour_and_no_further() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_count", 100, over_s=3_600), Action.NOTIFY),)))
    scene.seconds(1, error=100)
    for _ in range(60):
        scene.t += 60_000
        scene.seconds(1, ok=1)
    assert scene.alerts() == []
    scene.seconds(1, error=1)
    assert scene.alerts() == [], "the first hundred are more than an hour old"
    scene.seconds(1, error=100)
    assert scene.alerts() == [("error_count", True)]


def test_one_clock_that_runs_ahead_does_not_push_the_others_out_of_the_window() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 2, over_s=10)),)))
    scene.seconds(3, ok=5)
    scene.events(ok=1, second=scene.t // 1_000 + 50)
    scene.seconds(2, crash=1)
    assert scene.where == "progressing only 1000"
    scene.seconds(1, crash=1)
    assert scene.where == "rolled_back - 0"


def test_an_alert_on_a_count_does_not_flap_between_arrival_and_watermark() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_count", 9, over_s=5), Action.NOTIFY),)))
    scene.seconds(30, ok=5, error=2)
    assert scene.alerts() == [("error_count", True)]
    scene.seconds(30, ok=5)
    assert scene.alerts() == [("error_count", True), ("error_count", False)]


def test_a_limit_per_step_counts_from_the_step_and_not_from_before() -> None:
    crashes = trigger(above("crash_count", 2, over_s=0))
    scene = Scene(
        spec(step("canary", 500, bake_s=5), step("full", 10_000, bake_s=50), triggers=(crashes,), rollback=PREVIOUS)
    )
    scene.seconds(4, ok=5)
    scene.seconds(1, crash=2)
    scene.seconds(5, ok=5)
    assert scene.where == "progressing full 10000"
    scene.seconds(1, crash=2)
    assert scene.where == "progressing full 10000"
    scene.seconds(1, crash=1)
    assert scene.where == "rolled_back canary 500"


# What does not count


def test_events_of_an_older_flag_version_do_not_count() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, over_s=0)),)), started=False)
    draft_version = scene.flag().version
    scene.command("start")
    scene.events(crash=3, version=draft_version)
    scene.seconds(1)
    assert scene.where == "progressing only 1000"
    assert scene.status().stale_version_count == 3
    assert scene.status().totals["on:crash"] == 3
    scene.events(crash=1)
    assert scene.where == "rolled_back - 0"


def test_events_without_a_version_count_once_the_change_has_settled() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, over_s=0)),), settle_ms=15_000))
    changed_s = scene.flag().changed_ms // 1_000
    scene.seconds(20, ok=1)
    scene.events(crash=1, version=0, second=changed_s + 14)
    assert scene.where == "progressing only 1000"
    scene.events(crash=1, version=0, second=changed_s + 15)
    assert scene.where == "rolled_back - 0"


def test_a_flag_change_empties_the_windows() -> None:
    errors = trigger(above("error_rate", 0.05, over_s=60, hold_s=3))
    scene = Scene(
        spec(step("canary", 500, bake_s=100), step("full", 10_000, bake_s=100), triggers=(errors,), rollback=PREVIOUS)
    )
    scene.seconds(10, ok=97, error=3)
    scene.command("promote")
    scene.seconds(3, ok=93, error=7)
    assert scene.status().figures["on"].n == 300
    scene.seconds(2, ok=93, error=7)
    assert scene.where == "rolled_back canary 500"
    assert scene.rollbacks()[-1].evidence.n == 400


def test_the_controls_errors_do_not_make_the_candidate_guilty() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_rate", 0.05)), trigger(above("crash_count", 0, over_s=0)))))
    scene.seconds(10, variant="off", error=50, crash=5)
    assert scene.where == "progressing only 1000"
    assert scene.status().figures["off"].errors == 550


def test_variants_that_are_no_arm_are_counted_and_not_judged() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    scene.seconds(1, variant="teal", crash=5)
    assert scene.status().totals == {"other": 5, "other:crash": 5}
    assert scene.where == "progressing only 1000"


def test_late_events_are_counted_as_late_and_never_dropped_from_the_totals() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_count", 5, over_s=60)),)))
    scene.seconds(300, ok=1)
    scene.events(error=7, second=scene.t // 1_000 - 200)
    scene.seconds(1, ok=1)
    assert scene.where == "progressing only 1000"
    status = scene.status()
    assert (status.late_count, status.totals["on:error"], status.figures["on"].errors) == (7, 7, 7)


def test_migrations_count_only_when_the_spec_names_them_as_a_source() -> None:
    crash = trigger(above("error_count", 0, over_s=0))
    for sources, where in (({}, "progressing only 1000"), ({"count_migrations": True}, "rolled_back - 0")):
        scene = Scene(spec(LONG, triggers=(crash,), **sources))
        cell = Cell(FLAG, scene.flag().version, "on", "split", buckets=[Bucket(scene.t // 1_000, migrations=[3, 1, 2])])
        scene.batch(cell, source=TELEMETRY)
        assert scene.where == where


# Gates


GATED = (step("canary", 500, bake_s=5, gates=(gate(below("error_rate", 0.05)),), timeout_s=10), step("full", 10_000))


def test_a_step_goes_on_when_its_bake_is_over_and_its_gates_pass() -> None:
    scene = Scene(spec(*GATED))
    scene.seconds(4, ok=100)
    assert scene.where == "progressing canary 500"
    scene.seconds(2, ok=100)
    assert scene.where == "progressing full 10000"
    assert scene.decision().outcome is Outcome.PASS
    assert scene.decision().text == "error_rate 0% < 5% in this step (n=600)"


@pytest.mark.parametrize(
    ("traffic", "outcome", "text"),
    [
        ({"ok": 80, "error": 20}, "FAIL", "gate error_rate: error_rate 20% >= 5% in this step (n="),
        ({}, "INCONCLUSIVE", "gate error_rate: error_rate: no data to compare with 5%"),
    ],
)
def test_a_gate_that_does_not_pass_is_waited_for_and_then_pauses(
    traffic: dict[str, int], outcome: str, text: str
) -> None:
    scene = Scene(spec(*GATED))
    scene.seconds(12, **traffic)
    assert scene.where == "progressing canary 500"
    assert (scene.decision().outcome.value, scene.decision().reason.value) == (outcome, "GATE_WAITING")
    assert scene.status().missing[0].startswith(text)
    scene.seconds(4, **traffic)
    assert scene.where == "paused canary 500"
    assert (scene.decision().outcome.value, scene.decision().reason.value) == (outcome, "GATE_TIMED_OUT")


def test_after_its_time_was_out_a_gate_is_waited_for_anew() -> None:
    scene = Scene(spec(*GATED))
    scene.seconds(16, error=20, ok=80)
    assert scene.where == "paused canary 500"
    scene.command("resume")
    scene.seconds(9, error=20, ok=80)
    assert scene.where == "progressing canary 500"
    scene.seconds(2, error=20, ok=80)
    assert scene.where == "paused canary 500"


def test_a_leap_of_log_time_is_worth_little_of_the_wait_for_a_gate() -> None:
    scene = Scene(spec(*GATED))
    scene.seconds(8)
    scene.t += 9 * 60_000
    scene.seconds(1)
    assert scene.where == "progressing canary 500"


def test_too_few_samples_leave_a_gate_inconclusive() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=5, gates=(gate(below("error_rate", 0.05), min_samples=100),))))
    scene.seconds(10, ok=1)
    assert scene.status().gates[0].verdict.reason is Reason.TOO_FEW_SAMPLES
    assert "100 needed" in scene.status().missing[0]


def test_a_gate_may_roll_back_when_its_time_is_out() -> None:
    steps = (step("canary", 500, bake_s=1), step("half", 5_000, bake_s=2, timeout_s=3, gates=GATED[0].gates,
                                                 on_gate_fail=Action.ROLLBACK), step("full", 10_000))  # fmt: skip
    scene = Scene(spec(*steps, rollback=PREVIOUS))
    scene.seconds(12, ok=50, error=50)
    assert scene.where == "rolled_back canary 500"
    assert scene.decision().reason is Reason.GATE_TIMED_OUT
    further = Scene(spec(steps[0], replace(steps[1], rollback_to="zero"), steps[2]))
    further.seconds(12, ok=50, error=50)
    assert further.where == "rolled_back - 0", "a step overrides the policy's target"


def test_a_gate_with_a_window_forgets_what_is_older() -> None:
    recent = gate(below("error_rate", 0.05, over_s=5))
    scene = Scene(spec(step("canary", 500, bake_s=20, gates=(recent,)), step("full", 10_000)))
    scene.seconds(10, error=100)
    scene.seconds(11, ok=100)
    assert scene.where == "progressing full 10000"


def test_a_latency_gate_needs_its_own_samples() -> None:
    slow = gate(below("p95_latency", 100), min_samples=20)
    scene = Scene(spec(step("canary", 500, bake_s=2, gates=(slow,)), step("full", 10_000)))
    scene.seconds(5, ok=100)
    assert scene.where == "progressing canary 500"
    scene.seconds(1, ok=20, latency_ms=[50.0] * 20)
    assert scene.where == "progressing full 10000"


# What a trigger does


def test_a_promotion_waits_while_a_trigger_is_in_its_hold() -> None:
    errors = trigger(above("error_rate", 0.5, over_s=5, hold_s=30))
    scene = Scene(spec(step("canary", 500, bake_s=10), step("full", 10_000), triggers=(errors,)))
    scene.seconds(3, ok=100)
    scene.seconds(10, error=100)
    assert scene.where == "progressing canary 500"
    assert scene.decision().reason is Reason.HOLDING
    scene.seconds(10)
    assert scene.where == "progressing canary 500", "no data does not end a hold"
    scene.seconds(5, ok=1_000)
    assert scene.where == "progressing full 10000"


def test_a_second_firing_after_a_rollback_to_a_step_goes_to_zero() -> None:
    errors = trigger(above("error_rate", 0.05, over_s=5))
    scene = Scene(spec(triggers=(errors,), rollback=PREVIOUS))
    scene.command("promote", force=True)
    scene.command("promote", force=True)
    scene.seconds(2, error=100)
    assert scene.where == "rolled_back half 5000"
    scene.seconds(2, error=100)
    assert scene.where == "rolled_back - 0"


def test_the_second_firing_goes_to_zero_even_when_the_step_names_another() -> None:
    errors = trigger(above("error_rate", 0.05, over_s=5))
    half = step("half", 5_000, rollback_to="canary")
    scene = Scene(spec(step("canary", 500), half, step("full", 10_000), triggers=(errors,)))
    scene.command("promote", force=True)
    scene.command("promote", force=True)
    scene.command("rollback", to="half")
    scene.seconds(2, error=100)
    assert scene.where == "rolled_back - 0"


@pytest.mark.parametrize(
    ("trigger_to", "step_to", "policy_to", "where"),
    [
        ("zero", "canary", "previous", "rolled_back - 0"),
        ("previous", "zero", "zero", "rolled_back half 5000"),
        ("", "zero", "previous", "rolled_back - 0"),
        ("", "canary", "zero", "rolled_back canary 500"),
        ("", "", "zero", "rolled_back - 0"),
        ("", "", "previous", "rolled_back half 5000"),
        ("", "full", "previous", "rolled_back - 0"),
    ],
)
def test_a_trigger_overrides_its_step_which_overrides_the_policy(
    trigger_to: str, step_to: str, policy_to: str, where: str
) -> None:
    full = step("full", 10_000, rollback_to=step_to)
    crash = trigger(above("crash_count", 0, over_s=0), to=trigger_to)
    declared = spec(
        step("canary", 500), step("half", 5_000), full, triggers=(crash,), rollback=RollbackPolicy(policy_to)
    )
    scene = Scene(declared)
    scene.command("promote", force=True)
    scene.command("promote", force=True)
    scene.events(crash=1)
    assert scene.where == where


def test_a_step_may_have_triggers_of_its_own() -> None:
    canary = step("canary", 500, bake_s=3, triggers=(trigger(above("crash_count", 0, over_s=0)),))
    scene = Scene(spec(canary, step("full", 10_000)))
    scene.seconds(5, ok=5)
    scene.events(crash=5)
    assert scene.where == "progressing full 10000"
    guarded = Scene(spec(canary, step("full", 10_000)))
    guarded.events(crash=1)
    assert guarded.where == "rolled_back - 0"


def test_the_alert_of_a_steps_own_trigger_ends_with_the_step_but_not_by_a_rollback() -> None:
    crashes = trigger(above("crash_count", 0, over_s=0), Action.NOTIFY)
    canary = step("canary", 500, bake_s=3, triggers=(crashes,))
    scene = Scene(spec(canary, step("full", 10_000)))
    scene.seconds(1, ok=5, crash=1)
    scene.seconds(4, ok=5)
    assert scene.where == "progressing full 10000"
    assert scene.alerts() == [("crash_count", True), ("crash_count", False)]
    taken_back = Scene(spec(replace(canary, triggers=(replace(crashes, do=Action.ROLLBACK),)), step("full", 10_000)))
    taken_back.seconds(5, crash=1)
    assert taken_back.where == "rolled_back - 0"
    assert taken_back.alerts() == [("crash_count", True)], "a person resolves it"
    taken_back.command("resolve")
    assert taken_back.alerts() == [("crash_count", True), ("crash_count", False)]


def test_notify_tells_once_and_moves_nothing() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_rate", 0.05, over_s=5), Action.NOTIFY, tell="ops"),)))
    scene.seconds(10, error=20)
    assert scene.where == "progressing only 1000"
    assert scene.alerts() == [("error_rate", True)]
    assert scene.all(Alert)[0].tell == "ops"
    assert scene.reasons().count("TRIGGER_FIRED") == 1
    scene.seconds(10, ok=100)
    raised, ended = scene.all(Alert)
    assert (raised.id, raised.onset_ms) == (ended.id, ended.onset_ms)
    assert (raised.active, ended.active) == (True, False)
    scene.seconds(10, error=100)
    assert scene.alerts() == [("error_rate", True), ("error_rate", False), ("error_rate", True)]
    assert scene.all(Alert)[2].id != raised.id


def test_every_onset_has_an_id_of_its_own_also_within_one_leap_of_the_watermark() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("error_rate", 0.05, over_s=1), Action.NOTIFY),)))
    scene.seconds(3, ok=20)
    for second in range(10):
        scene.t += 1_000
        scene.events(ok=20, error=20 * (second % 2))
    scene.marks()
    raised = [alert for alert in scene.all(Alert) if alert.active]
    ended = [alert for alert in scene.all(Alert) if not alert.active]
    assert len(raised) > 2
    assert len({alert.id for alert in raised}) == len(raised)
    assert [alert.id for alert in ended] == [alert.id for alert in raised]
    assert all(alert.at_ms >= alert.onset_ms for alert in ended)


def test_a_pause_trigger_pauses_and_the_others_watch_on() -> None:
    triggers = (trigger(above("timeout_count", 0, over_s=10), Action.PAUSE), trigger(above("crash_count", 0, over_s=0)))
    scene = Scene(spec(LONG, triggers=triggers))
    scene.seconds(1, timeout=1, ok=1)
    assert scene.where == "paused only 1000"
    assert scene.decision().trigger == "timeout_count"
    scene.seconds(3, ok=1)
    assert scene.where == "paused only 1000"
    scene.seconds(1, crash=1)
    assert scene.where == "rolled_back - 0"


def test_a_pause_in_a_leap_of_the_watermark_does_not_blind_the_other_triggers() -> None:
    errors = trigger(above("error_rate", 0.5, over_s=10, hold_s=10))
    pausing = trigger(above("timeout_rate", 0.01, over_s=10), Action.PAUSE)
    scene = Scene(spec(LONG, triggers=(pausing, errors)))
    scene.seconds(3, ok=10)
    for _ in range(25):
        scene.t += 1_000
        scene.events(timeout=10)
    scene.marks()
    assert scene.where == "rolled_back - 0", "both were due within the leap"


def test_triggers_act_after_completion_too() -> None:
    scene = Scene(spec(step("full", 10_000, bake_s=2), triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    scene.seconds(4, ok=5)
    assert scene.where == "completed full 10000"
    scene.events(crash=1)
    assert scene.where == "rolled_back - 0"


def test_after_a_rollback_to_zero_triggers_tell_and_move_nothing() -> None:
    triggers = (trigger(above("crash_count", 0, over_s=0)), trigger(above("timeout_count", 0, over_s=0)))
    scene = Scene(spec(LONG, triggers=triggers))
    scene.events(crash=1)
    changes = len(scene.changes())
    scene.seconds(2, timeout=1)
    assert scene.alerts() == [("crash_count", True), ("crash_count", False), ("timeout_count", True)]
    assert len(scene.changes()) == changes


def test_silence_after_a_rollback_does_not_end_its_alert_but_a_person_does() -> None:
    scene = Scene(spec(LONG, triggers=(trigger(above("crash_count", 0, over_s=60)),)))
    scene.events(crash=1)
    scene.seconds(100)
    assert scene.alerts() == [("crash_count", True)]
    scene.command("resolve")
    assert scene.alerts() == [("crash_count", True), ("crash_count", False)]


def test_an_archived_rollout_is_not_judged() -> None:
    scene = Scene(spec(step("full", 10_000, bake_s=0), triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    scene.seconds(4, ok=5)
    scene.command("archive")
    scene.seconds(2, crash=9)
    assert scene.where == "archived full 10000"
    assert scene.alerts() == []
