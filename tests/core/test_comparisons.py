"""Comparisons of arms: with control at the same time, with the baseline, and with the candidate's own past."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardian.core.inputs import Bucket
from guardian.core.outputs import Decision, Verdict
from guardian.core.rollout import Gate, RolloutSpec, Trigger
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES, pack, unpack
from guardian.core.state import RolloutState
from guardian.core.windows import MAX_BIN_ENTRIES, Tally
from guardian.core.words import Action
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.figures import arms, cell, pass_s, shown, watching
from tests.core.scenes import T0, Scene, bucket, spec, step

LONG = (step("half", 5_000, bake_s=3_600), step("full", 10_000, bake_s=3_600))
GOOD = {"ok": 100}
BAD = {"ok": 80, "error": 20}


def declared(*triggers: Trigger, **fields: Any) -> RolloutSpec:
    return spec(*fields.pop("steps", LONG), triggers=triggers, **fields)


def reason(verdict: Verdict) -> tuple[str, str]:
    return verdict.outcome.value, verdict.reason.value


def slow(ms: float, n: int = 100) -> dict[str, Any]:
    return {"ok": n, "latency_ms": [ms] * n}


# Control


def test_a_ratio_to_control_fires_when_the_candidate_is_so_much_worse() -> None:
    scene = Scene(declared(watching("error_rate > 2x control", Action.ROLLBACK)))
    pass_s(scene, 10, on={"ok": 97, "error": 3}, off={"ok": 98, "error": 2})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert shown(scene).text == "error_rate 3% <= 2x control 2% over 1m (n=900 against 900)"
    pass_s(scene, 10, on=BAD, off={"ok": 98, "error": 2})
    assert scene.where == "rolled_back - 0"
    evidence = scene.rollbacks()[-1].evidence
    assert (evidence.limit, evidence.against, evidence.reference) == (2.0, "control", pytest.approx(0.02))
    assert evidence.reference_n == evidence.n > 900


def test_when_both_arms_are_bad_control_is_no_better_and_nothing_fires() -> None:
    scene = Scene(declared(watching("error_rate > 2x control", Action.ROLLBACK)))
    pass_s(scene, 30, on=BAD, off=BAD)
    assert scene.where == "progressing half 5000"


def test_only_what_the_split_decided_is_compared() -> None:
    scene = Scene(declared(watching("error_rate > 2x control")))
    for _ in range(10):
        arms(scene, on=BAD, assignment="allow")
        arms(scene, on=BAD, assignment="unattributed")
        pass_s(scene, 1, on=GOOD, off=GOOD)
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert shown(scene).evidence.n == 900


def test_what_does_not_say_why_counts_when_the_spec_assumes_the_split() -> None:
    scene = Scene(declared(watching("error_rate > 2x control"), assume_split=True))
    for _ in range(10):
        arms(scene, on=BAD, assignment="unattributed")
        pass_s(scene, 1, on=GOOD, off=GOOD)
    assert reason(shown(scene)) == ("FAIL", "OVER_LIMIT")


def test_both_sides_need_their_samples() -> None:
    scene = Scene(declared(watching("error_rate > 2x control", min_samples=100)))
    pass_s(scene, 5, on=BAD, off={"ok": 1})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    assert shown(scene).text == "error_rate 20% > 2x control 0% over 1m (n=400 against 4, 100 needed)"
    scene = Scene(declared(watching("error_rate > 2x control", min_samples=100)))
    pass_s(scene, 5, on={"error": 1}, off=GOOD)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    scene = Scene(declared(watching("error_rate > 2x control", min_samples=100)))
    pass_s(scene, 5, on=BAD)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA")


def test_control_without_an_error_is_judged_a_first_error_is_above_any_multiple_of_none() -> None:
    scene = Scene(declared(watching("error_rate > 100x control", Action.ROLLBACK)))
    pass_s(scene, 10, on=GOOD, off=GOOD)
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT"), "nothing is not above nothing"
    pass_s(scene, 3, on={"ok": 99, "error": 1}, off=GOOD)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].evidence.reference == 0.0


def test_a_candidate_that_answers_too_fast_is_judged_too() -> None:
    scene = Scene(declared(watching("p95_latency < 0.1x control", Action.ROLLBACK)))
    pass_s(scene, 5, on=slow(0.0), off=slow(100))
    assert scene.where == "rolled_back - 0"


def test_at_full_weight_there_is_no_control() -> None:
    scene = Scene(declared(watching("error_rate > 2x control", Action.ROLLBACK), steps=LONG[1:]))
    pass_s(scene, 10, on=BAD)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_CONTROL")
    assert shown(scene).text == "error_rate 20%: no control to compare with at 100%"
    assert scene.where == "progressing full 10000"


def test_a_gate_compares_the_step_with_control_since_it_began() -> None:
    gate = Gate("quick", parse_rule("p95_latency < 1.05x control", Use.GATE), 50)
    scene = Scene(declared(steps=(step("half", 5_000, bake_s=10, timeout_s=60, gates=(gate,)), LONG[1])))
    pass_s(scene, 15, on=slow(110), off=slow(100))
    assert scene.where == "progressing half 5000"
    assert scene.status().gates[0].verdict.text.startswith("p95_latency 111ms >= 1.05x control ")
    assert scene.status().gates[0].verdict.text.endswith(" in this step (n=1,500 against 1,500)")
    pass_s(scene, 40, on=slow(20, 1_000), off=slow(100, 1_000))
    assert scene.where == "progressing full 10000"


def test_a_flag_change_begins_new_evidence_in_both_arms() -> None:
    scene = Scene(declared(watching("error_rate > 2x control", min_samples=500), steps=(step("a", 500), *LONG)))
    pass_s(scene, 5, on=BAD, off=GOOD)
    scene.command("promote")
    pass_s(scene, 3, on=GOOD, off=GOOD)
    assert shown(scene).evidence.n == shown(scene).evidence.reference_n <= 300


def test_a_comparison_with_too_few_samples_widens_on_both_sides_to_at_most_its_hold() -> None:
    scene = Scene(declared(watching("error_rate > 2x control over 5s for 30s", min_samples=20)))
    pass_s(scene, 40, on={"error": 1}, off={"ok": 1})
    assert shown(scene).evidence.n == shown(scene).evidence.reference_n == 20
    assert shown(scene).evidence.held_ms > 0


def test_a_count_that_is_too_low_is_judged_once_its_window_is_full() -> None:
    scene = Scene(declared(watching("request_count < 600 per minute", Action.ROLLBACK)))
    pass_s(scene, 74, on={"ok": 20}, off={"ok": 20})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "SETTLING")
    assert shown(scene).text == "request_count 1,200: not 1m of evidence yet"
    pass_s(scene, 20, on={"ok": 20}, off={"ok": 20})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    pass_s(scene, 60, on={"ok": 5}, off={"ok": 20})
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text.startswith("it: request_count 5")
    pass_s(scene, 200, off={"ok": 20})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA"), "nobody is served the candidate"


def test_an_arm_that_is_silent_is_judged_while_control_is_not() -> None:
    scene = Scene(declared(watching("request_count < 10 per minute", Action.ROLLBACK)))
    pass_s(scene, 200)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA")
    assert scene.where == "progressing half 5000", "no traffic at all is no silence of the candidate"
    pass_s(scene, 4, off={"ok": 3})
    assert scene.where == "progressing half 5000", "the candidate's may be on their way"
    pass_s(scene, 3, off={"ok": 3})
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text == "it: request_count 0 < 10 over 1m (control had 12)"


def test_at_full_weight_no_requests_at_all_are_no_silent_arm() -> None:
    scene = Scene(declared(watching("request_count < 10 per minute", Action.ROLLBACK), steps=(step("full", 10_000),)))
    pass_s(scene, 90, on={"ok": 20})
    pass_s(scene, 200)
    assert scene.where == "completed full 10000"
    verdict = scene.state().watches["it"].verdict
    assert verdict is not None
    assert reason(verdict) == ("INCONCLUSIVE", "NO_DATA")


def test_split_figures_are_kept_only_while_a_rule_needs_them() -> None:
    scene = Scene(declared(watching("error_rate > 5%")))
    assert scene.state().arms is None
    scene.apply(declared(watching("error_rate > 2x control"), revision="r2"))
    assert scene.state().arms is not None
    scene.apply(declared(watching("error_rate > 6%"), revision="r3"))
    assert scene.state().arms is None


# Baseline


def draft(*triggers: Trigger, **fields: Any) -> Scene:
    return Scene(declared(*triggers, **fields), started=False)


def test_the_baseline_is_what_control_did_before_the_first_step_and_stays_so() -> None:
    scene = draft(watching("p99_latency > 2x baseline for 3s", Action.ROLLBACK))
    pass_s(scene, 60, off=slow(100))
    assert scene.status().baseline == "the baseline is taken when the first step above 0% begins"
    assert scene.command("start").text == "started by ann: because"
    pass_s(scene, 10, on=slow(150), off=slow(5_000))
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert scene.status().baseline.startswith("p99_latency ")
    assert scene.status().baseline.endswith("ms (n=6,000), of up to 1d before the first step")
    pass_s(scene, 70, on=slow(410), off=slow(5_000))
    assert scene.where == "rolled_back - 0"
    text = scene.rollbacks()[-1].text
    assert text.startswith("it: p99_latency 41")
    assert " > 2x baseline " in text
    assert text.endswith(" against 6,000)")
    assert scene.rollbacks()[-1].evidence.against == "baseline"


def test_a_baseline_that_is_too_small_is_told_at_the_start_and_never_judged() -> None:
    scene = draft(watching("p99_latency > 2x baseline", Action.ROLLBACK, min_samples=100))
    pass_s(scene, 1, off=slow(100, 9))
    answer = scene.command("start")
    assert answer.text == "started by ann: because; p99_latency: the baseline is too small (n=9, 100 needed)"
    pass_s(scene, 10, on=slow(9_000))
    assert reason(shown(scene)) == ("INCONCLUSIVE", "BASELINE_TOO_SMALL")
    assert shown(scene).text.endswith("the baseline is too small (n=9, 100 needed)")
    assert scene.where == "progressing half 5000"


def test_a_declared_baseline_needs_no_past() -> None:
    scene = Scene(declared(watching("error_rate > 2x baseline", Action.ROLLBACK), baseline={"error_rate": 0.002}))
    assert scene.state().past is None
    pass_s(scene, 5, on=GOOD)
    assert shown(scene).text == "error_rate 0% <= 2x baseline 0.2% over 1m (n=400 against a declared figure)"
    assert scene.status().baseline == "error_rate 0.2% declared"
    pass_s(scene, 5, on=BAD)
    assert scene.where == "rolled_back - 0"


def test_a_first_step_at_zero_learns_the_baseline() -> None:
    learning = (step("learn", 0, bake_s=60), *LONG)
    scene = Scene(declared(watching("p95_latency > 2x baseline", Action.ROLLBACK), steps=learning))
    assert scene.state().baseline is None
    pass_s(scene, 61, off=slow(100))
    assert scene.where == "progressing half 5000"
    entered = next(each for each in scene.all(Decision) if each.step == "half")
    assert "too small" not in entered.text
    frozen = scene.state().baseline
    assert frozen is not None
    assert frozen.tally.n >= 5_900
    pass_s(scene, 10, on=slow(250), off=slow(100))
    assert scene.where.startswith("rolled_back")


def test_no_flag_change_before_the_first_step_empties_controls_past() -> None:
    scene = draft(watching("error_rate > 2x baseline"))
    pass_s(scene, 10, off=GOOD)
    scene.command("kill")
    scene.command("unkill")
    scene.apply(declared(watching("error_rate > 3x baseline"), salt="other", revision="r2"))
    pass_s(scene, 10, off=GOOD)
    scene.command("start")
    frozen = scene.state().baseline
    assert frozen is not None
    assert frozen.tally.n == 2_000


def test_control_of_an_older_document_is_control_all_the_same() -> None:
    scene = draft(watching("error_rate > 2x baseline"))
    for _ in range(5):
        arms(scene, off=GOOD, version=1)
        pass_s(scene, 1)
    scene.command("start")
    frozen = scene.state().baseline
    assert frozen is not None
    assert frozen.tally.n == 500


def test_a_new_attempt_takes_its_baseline_anew() -> None:
    scene = draft(watching("p99_latency > 2x baseline"), baseline_window_ms=30_000)
    pass_s(scene, 30, off=slow(100))
    scene.command("start")
    first = scene.state().baseline
    pass_s(scene, 10, on=slow(100), off=slow(100))
    scene.command("rollback")
    pass_s(scene, 60, off=slow(300))
    assert scene.state().baseline is first, "a rollback keeps it"
    scene.command("start")
    again = scene.state().baseline
    assert again is not None
    assert again.tally.quantile_ms(0.5) == pytest.approx(300, rel=0.01)


def test_the_baseline_reaches_back_no_further_than_its_window() -> None:
    scene = draft(watching("p99_latency > 2x baseline"), baseline_window_ms=20_000)
    pass_s(scene, 60, off=slow(900))
    pass_s(scene, 30, off=slow(100))
    scene.command("start")
    frozen = scene.state().baseline
    assert frozen is not None
    assert frozen.tally.quantile_ms(0.99) == pytest.approx(100, rel=0.01)
    assert 1_900 <= frozen.tally.n <= 2_100


def test_a_day_of_control_is_kept_in_few_buckets() -> None:
    scene = draft(watching("p99_latency > 2x baseline"))
    for _ in range(24 * 60):
        scene.t += 60_000
        arms(scene, off=slow(100, 2))
        scene.marks()
    past = scene.state().past
    assert past is not None
    assert sum(len(tier) for tier in past.tiers) < 500
    scene.command("start")
    frozen = scene.state().baseline
    assert frozen is not None
    assert frozen.tally.n >= 2 * (24 * 60 - 20)


def test_a_rule_on_the_baseline_that_comes_in_mid_rollout_has_none() -> None:
    scene = Scene(declared(watching("error_rate > 5%")))
    pass_s(scene, 10, on=GOOD, off=GOOD)
    answer = scene.apply(declared(watching("error_rate > 2x baseline", name="new"), revision="r2"))
    assert answer.text.endswith("; error_rate: the baseline is too small (n=0, 10 needed)")
    pass_s(scene, 10, on=BAD, off=GOOD)
    assert reason(shown(scene, "new")) == ("INCONCLUSIVE", "BASELINE_TOO_SMALL")


# The candidate's own past


def test_a_latency_that_grows_is_compared_with_itself_a_period_before() -> None:
    scene = Scene(declared(watching("p95_latency growing 50%/minute over 20s", Action.ROLLBACK)))
    pass_s(scene, 40, on=slow(100))
    assert reason(shown(scene)) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    assert shown(scene).text.endswith("0 of 10 requests are known from 1m before")
    pass_s(scene, 45, on=slow(120))
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert " < 50% above 101ms 1m before over 20s" in shown(scene).text
    pass_s(scene, 30, on=slow(200))
    assert scene.where == "rolled_back - 0"


# Dual runs and migrations


def pairs(scene: Scene, n: int, mismatches: int, variant: str = "on") -> None:
    second = scene.t // 1_000 - 1
    one = bucket(second)
    one.pairs = [n, mismatches, 0, 0, 0]
    scene.batch(cell(variant, one, version=scene.flag().version))


def migrated(scene: Scene, success: int, failure: int, fallback: int) -> None:
    one = bucket(scene.t // 1_000 - 1)
    one.migrations = [success, failure, fallback]
    scene.batch(cell("on", one, version=scene.flag().version))


def test_mismatches_of_dual_runs_count_whichever_variant_was_served() -> None:
    scene = Scene(declared(watching("dual_run assertions fail > 100/hour", Action.PAUSE)))
    pass_s(scene, 1)
    pairs(scene, 500, 60)
    assert scene.where == "progressing half 5000"
    pairs(scene, 500, 50, variant="off")
    assert scene.where == "paused half 5000"
    assert scene.decision().text == "it: mismatch_count 110 > 100 over 1h (n=1,000)"


def test_dual_runs_that_come_too_late_are_counted_as_late() -> None:
    scene = Scene(declared(watching("mismatch_count > 100/hour")))
    pass_s(scene, 200, on=GOOD)
    late = Bucket(scene.t // 1_000 - 150, pairs=[7, 1, 0, 0, 0])
    scene.batch(cell("on", late, version=scene.flag().version), cell("off", late, version=scene.flag().version))
    pass_s(scene, 1)
    assert scene.status().late_count == 14


def test_dual_runs_and_migrations_of_an_older_document_are_counted_as_such() -> None:
    scene = Scene(declared(watching("mismatch_count > 0 per step", Action.ROLLBACK)))
    before = scene.flag().version
    scene.command("promote", force=True)
    second = scene.t // 1_000
    scene.batch(cell("on", Bucket(second, pairs=[3, 3, 0, 0, 0]), version=before))
    scene.batch(cell("on", Bucket(second, migrations=[4, 1, 0]), version=before))
    pass_s(scene, 1)
    assert scene.where == "progressing full 10000"
    assert scene.status().stale_version_count == 8


def test_a_rate_of_mismatches_rests_on_the_pairs() -> None:
    scene = Scene(declared(watching("mismatch_rate > 5%"), watching("error_rate > 1%", name="errors")))
    pass_s(scene, 2)
    pairs(scene, 100, 8)
    pass_s(scene, 3)
    assert shown(scene).text == "mismatch_rate 8% > 5% over 1m (n=100)"
    assert reason(shown(scene, "errors")) == ("INCONCLUSIVE", "NO_DATA"), "they are no requests"


def test_migration_events_have_rates_of_their_own_and_are_no_errors() -> None:
    scene = Scene(
        declared(
            watching("migration_failure_rate > 4%"),
            watching("fallback_rate > 15%", name="fallbacks"),
            watching("error_rate > 1%", name="errors"),
        )
    )
    pass_s(scene, 2)
    migrated(scene, 90, 10, 8)
    pass_s(scene, 3)
    assert shown(scene).text == "migration_failure_rate 10% > 4% over 1m (n=100)"
    assert shown(scene, "fallbacks").text == "fallback_rate 8% <= 15% over 1m (n=100)"
    assert reason(shown(scene, "errors")) == ("INCONCLUSIVE", "NO_DATA")


def test_a_fallback_told_beside_its_failure_is_no_second_request_when_migrations_are_the_requests() -> None:
    scene = Scene(declared(watching("error_rate > 50%"), count_migrations=True, count_telemetry=False))
    pass_s(scene, 2)
    migrated(scene, 90, 10, 10)
    pass_s(scene, 3)
    assert shown(scene).text == "error_rate 10% <= 50% over 1m (n=100)"


def test_fallbacks_without_any_call_are_no_calls_that_went_well() -> None:
    scene = Scene(declared(watching("fallback_rate > 15%"), watching("migration_failure_rate > 4%", name="failures")))
    pass_s(scene, 2)
    migrated(scene, 0, 0, 40)
    pass_s(scene, 3)
    assert shown(scene).text == "fallback_rate 100% > 15% over 1m (n=40)"
    assert reason(shown(scene, "failures")) == ("INCONCLUSIVE", "NO_DATA")


def test_what_no_rule_looks_at_is_not_kept() -> None:
    scene = Scene(declared(watching("error_rate > 1%")))
    pass_s(scene, 2, on=GOOD)
    pairs(scene, 100, 8)
    migrated(scene, 85, 5, 10)
    assert scene.state().candidate_tally().sums == {}


# Bounds, and what an older version wrote


def test_four_series_of_absurdly_spread_latencies_stay_below_the_bound_of_a_snapshot() -> None:
    scene = draft(watching("p99_latency > 2x baseline over 1d"), watching("p95_latency > 2x control", name="c"))
    everywhere = [1.02**i * 0.01 for i in range(900)]
    for minute in range(240):
        scene.t += 60_000
        if minute == 100:
            scene.command("start")
        wide = {"ok": 900, "latency_ms": everywhere}
        arms(scene, on=wide, off=wide)
        scene.marks()
    state = scene.state()
    assert state.arms is not None
    assert state.past is not None
    series = [state.series, *state.arms.series.values(), state.past]
    bins = sum(len(tally.bins) for each in series for tier in each.latencies.tiers for tally in tier.values())
    assert bins <= 1.1 * MAX_BIN_ENTRIES, "a series may grow by 32 seconds before it is looked at again"
    assert len(pack(state)) <= MAX_SNAPSHOT_BYTES


def test_many_figures_of_ones_own_stay_below_the_bound_of_a_snapshot() -> None:
    names = [f"metric:a.figure.of.the.application.{number}" for number in range(60)]
    scene = draft(watching("p99_latency > 2x baseline over 7d"), watching("p95_latency > 2x control", name="c"))
    state = scene.state()
    assert state.arms is not None
    assert state.past is not None
    for series in (state.series, *state.arms.series.values(), state.past):
        for number in range(2_000):
            second = T0 // 1_000 + number * (1 if number > 1_900 else 300)
            sums = {name: [1.0, (number * 0.37 + len(name)) ** 1.7 % 1] for name in names}
            series.add(second, Tally([1, 0, 0, 0, 0], sums=sums), second)
    assert len(pack(state)) <= MAX_SNAPSHOT_BYTES


def test_a_snapshot_of_before_comparisons_is_read() -> None:
    scene = Scene(declared(watching("error_rate > 1%")))
    pass_s(scene, 5, on=GOOD)
    fields = msgspec.to_builtins(scene.state(), builtin_types=(bytes,))
    for name in ("tracked", "arms", "past", "baseline", "gauges", "fleet", "reported"):
        del fields[name]
    for name in ("baseline", "baseline_window_ms", "assume_split"):
        del fields["spec"][name]
    rule = fields["spec"]["triggers"][0]["rule"]
    for name in ("against", "period_ms"):
        del rule[name]
    for name in ("origin", "key"):
        del rule["metric"][name]
    old = pack(scene.state())[:1] + zlib.compress(msgspec.msgpack.encode(fields))
    read, present = unpack(old, RolloutState), scene.state()
    assert replace(read, fleet=present.fleet, baseline=present.baseline) == present
