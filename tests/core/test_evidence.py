"""Up only on evidence: cases G1 to G7, and what else keeps a step from being left upwards."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardian.core.evidence_doubts import is_odd_share
from guardian.core.inputs import Bucket, Cell
from guardian.core.outputs import Alert
from guardian.core.rollout import Gate
from guardian.core.state import RolloutState
from guardian.core.words import Action
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.figures import arms, beat, cell, pass_s, watching
from tests.core.scenes import FLAG, Scene, above, below, gate, spec, step, trigger

CANARY = step("canary", 500, bake_s=30)
HALF = step("half", 5_000, bake_s=30)
FULL = step("full", 10_000, bake_s=30)
ERRORS = trigger(above("error_rate", 0.05))
CRASHES = trigger(above("crash_count", 0, over_s=0))


def rule_gate(text: str, min_samples: int) -> Gate:
    rule = parse_rule(text, Use.GATE)
    return Gate(rule.metric.name, rule, min_samples)


def active(scene: Scene, name: str) -> list[Alert]:
    return [alert for alert in scene.all(Alert) if alert.trigger == name]


# G1: exposure


def test_G1_no_event_ever_never_promotes() -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(ERRORS, CRASHES)))
    scene.seconds(600)
    assert scene.where == "progressing canary 500"
    status = scene.status()
    assert (status.outcome, status.reason) == ("INCONCLUSIVE", "NO_EXPOSURE")
    assert status.text.startswith("0 of 20 requests of the candidate in this step")
    assert "trigger crash_count cannot judge: 0 of 20 requests" in status.missing[1]


def test_G1_nineteen_requests_are_not_enough_and_twenty_are() -> None:
    scene = Scene(spec(CANARY, FULL))
    scene.seconds(31)
    scene.events(ok=19)
    scene.seconds(5)
    assert scene.where == "progressing canary 500"
    assert scene.status().missing[0].startswith("19 of 20 requests of the candidate in this step; at ")
    scene.events(ok=1)
    scene.seconds(1)
    assert scene.where == "progressing full 10000"


def test_G1_a_wait_for_exposure_alerts_one_bake_after_the_bake_and_ends_when_it_is_over() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=100), FULL))
    scene.seconds(195)
    assert active(scene, "no_exposure") == []
    scene.seconds(10)
    assert [alert.active for alert in active(scene, "no_exposure")] == [True]
    scene.seconds(100)
    assert len(active(scene, "no_exposure")) == 1, "one alert per onset"
    scene.events(ok=20)
    scene.seconds(2)
    assert scene.where == "progressing full 10000"
    assert [alert.active for alert in active(scene, "no_exposure")] == [True, False]


def test_G1_a_wait_behind_a_gate_alerts_too_before_the_gate_times_out() -> None:
    gated = step("canary", 500, bake_s=100, timeout_s=300, gates=(gate(below("error_rate", 0.1)),))
    scene = Scene(spec(gated, FULL))
    scene.seconds(210)
    assert scene.status().reason == "GATE_WAITING"
    assert [alert.active for alert in active(scene, "no_exposure")] == [True]
    scene.seconds(20, blind=True)
    assert [alert.active for alert in active(scene, "no_exposure")] == [True], "a blind guardian knows no end of it"
    scene.seconds(300)
    assert scene.where == "paused canary 500"
    assert [alert.active for alert in active(scene, "no_exposure")] == [True, False]


def test_G1_the_declared_blind_ramp_goes_on_unseen() -> None:
    steps = [replace(each, min_exposure=0) for each in (CANARY, HALF, FULL)]
    scene = Scene(spec(*steps, triggers=(CRASHES,)))
    scene.seconds(100)
    assert scene.where == "completed full 10000"


def test_G1_a_step_of_zero_needs_no_exposure_but_one_of_dual_runs_does() -> None:
    watched = Scene(spec(step("watch", 0, bake_s=10), FULL, triggers=(ERRORS,)))
    watched.seconds(12)
    assert watched.where == "progressing full 10000"
    shadow = Scene(spec(step("shadow", 0, bake_s=10, dual_run_bp=2_000), replace(FULL, dual_run_bp=0)))
    shadow.seconds(30)
    assert shadow.status().missing == ["0 of 20 dual runs in this step"]
    second = shadow.t // 1_000 - 1
    shadow.batch(Cell(FLAG, 0, "off", "split", buckets=[Bucket(second, pairs=[20, 0, 0, 0, 0])]))
    shadow.seconds(2)
    assert shadow.where == "progressing full 10000"


def test_G1_the_last_step_is_not_complete_unseen_either() -> None:
    scene = Scene(spec(FULL))
    scene.seconds(100)
    assert (scene.where, scene.status().reason) == ("progressing full 10000", "NO_EXPOSURE")
    scene.seconds(1, ok=20)
    assert scene.where == "completed full 10000"


def test_G1_migration_calls_are_exposure_too() -> None:
    scene = Scene(spec(CANARY, FULL))
    scene.seconds(31)
    version = scene.flag().version
    calls = Bucket(scene.t // 1_000 - 1, migrations=[20, 0, 0])
    scene.batch(Cell(FLAG, version, "on", "unattributed", buckets=[calls]))
    scene.seconds(2)
    assert scene.where == "progressing full 10000"


def test_G1_a_promote_by_hand_goes_on_and_says_what_was_missing() -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(CRASHES,)))
    scene.seconds(5)
    answer = scene.command("promote")
    assert (answer.accepted, scene.where) == (True, "progressing full 10000")
    for missing in (
        "of the bake of 30s is over",
        "0 of 20 requests of the candidate",
        "trigger crash_count cannot judge",
    ):
        assert missing in answer.text


# G2: guards that cannot judge


def few(scene: Scene, seconds: int, **n: int) -> None:
    """One request of the candidate every five seconds."""
    for _ in range(seconds // 5):
        scene.seconds(4)
        scene.seconds(1, **(n or {"error": 1}))


def test_G2_too_few_requests_for_the_trigger_are_not_promoted_and_the_status_says_so_in_numbers() -> None:
    rule = above("error_rate", 0.05, hold_s=300)
    scene = Scene(spec(step("canary", 500, bake_s=600), FULL, triggers=(trigger(rule, min_samples=100),)))
    few(scene, 1_300)
    assert scene.where == "progressing canary 500"
    status = scene.status()
    assert status.reason == "GUARD_BLIND"
    assert "trigger error_rate cannot judge: error_rate 100%" in status.text
    assert "over 5m (n=59, 100 needed)" in status.text
    assert "12/min do not fill its window" in status.text
    assert scene.verdict("error_rate") == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    assert [alert.active for alert in active(scene, "guard_blind")] == [True]


def test_G2_unjudged_allow_is_the_declared_way_past() -> None:
    rule = above("error_rate", 0.05, hold_s=300)
    allowed = trigger(rule, min_samples=100, unjudged_allowed=True)
    scene = Scene(spec(step("canary", 500, bake_s=100), FULL, triggers=(allowed,)))
    few(scene, 110, ok=1)
    assert scene.where == "progressing full 10000"


def test_G2_a_trigger_that_only_notifies_keeps_no_step() -> None:
    rule = above("error_rate", 0.05)
    scene = Scene(
        spec(step("canary", 500, bake_s=100), FULL, triggers=(trigger(rule, Action.NOTIFY, min_samples=999),))
    )
    few(scene, 110, ok=1)
    assert scene.where == "progressing full 10000"


def test_G2_once_the_trigger_can_judge_the_step_goes_on_and_the_alert_ends() -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(trigger(above("error_rate", 0.05), min_samples=100),)))
    scene.seconds(100, ok=1)
    assert scene.status().reason == "GUARD_BLIND"
    assert [alert.active for alert in active(scene, "guard_blind")] == [True]
    scene.seconds(2, ok=50)
    assert scene.where == "progressing full 10000"
    assert [alert.active for alert in active(scene, "guard_blind")] == [True, False]


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        ("error_rate > 2x control", "no data"),
        ("error_rate > 2x baseline", "the baseline is too small"),
        ("memory > 800MB", "no service has reported it"),
        ("silent for 30s", "no service has sent heartbeats for this flag"),
        ("fallback_rate > 5%", "no data"),
        ("metric satisfaction < 4", "no data"),
        ("request_count < 10 per 5m", "not 5m of evidence yet"),
        ("mismatch_count > 5", "0 of 20 dual runs; no dual run was seen: declare `dual_run: 0%`"),
    ],
)
def test_G2_every_kind_of_guard_says_why_it_is_blind(rule: str, missing: str) -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(watching(rule, Action.PAUSE),)))
    scene.seconds(40, ok=10)
    assert (scene.where, scene.status().reason) == ("progressing canary 500", "GUARD_BLIND")
    assert "trigger it cannot judge: " in scene.status().text
    assert missing in scene.status().text


def test_G2_a_reported_bug_can_always_be_judged() -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(watching("critical bug reported", Action.PAUSE),)))
    scene.seconds(32, ok=10)
    assert scene.where == "progressing full 10000"


def test_G2_silence_can_be_judged_once_somebody_was_heard_of() -> None:
    scene = Scene(spec(CANARY, FULL, triggers=(watching("silent for 30s", Action.PAUSE),)))
    for _ in range(8):
        beat(scene, "shop/1")
        scene.seconds(5, ok=10)
    assert scene.where == "progressing full 10000"


def test_G2_guards_that_do_not_apply_hold_nothing() -> None:
    """Dual runs where none run."""
    scene = Scene(
        spec(
            replace(CANARY, dual_run_bp=0),
            replace(FULL, dual_run_bp=0),
            triggers=(watching("mismatch_rate > 5%", Action.PAUSE),),
        )
    )
    scene.seconds(32, ok=10)
    assert scene.where == "progressing full 10000"


# G3: undeclared variants


def test_G3_unknown_variants_are_an_alert_by_name_and_hold_promotion() -> None:
    scene = Scene(spec(CANARY, FULL))
    for _ in range(40):
        scene.seconds(1, ok=10)
        scene.events(variant="true", ok=5, error=2)
    assert (scene.where, scene.status().reason) == ("progressing canary 500", "UNKNOWN_VARIANT")
    (alert,) = active(scene, "unknown_variant")
    assert "'true' (" in alert.text
    assert "the spec declares 'off' and 'on'" in alert.text


def test_G3_only_unknown_variants_are_an_alert_too() -> None:
    scene = Scene(spec(CANARY, FULL))
    scene.seconds(40, variant="true", ok=10)
    assert scene.where == "progressing canary 500"
    assert len(active(scene, "unknown_variant")) == 1


def test_G3_a_trace_of_unknown_variants_holds_nothing() -> None:
    scene = Scene(spec(CANARY, FULL))
    scene.events(variant="true", ok=9)
    scene.seconds(32, ok=10)
    assert scene.where == "progressing full 10000"
    assert active(scene, "unknown_variant") == []


def test_G3_many_unknown_names_are_bounded() -> None:
    scene = Scene(spec(CANARY, FULL))
    for i in range(50):
        scene.events(variant=f"v{i}" * 40, ok=2)
    scene.seconds(2)
    kept = scene.state().exposure.unknown
    assert len(kept) == 9
    assert all(len(name) <= 64 for name in kept)
    assert sum(kept.values()) == 100


def test_G3_the_alert_ends_when_none_has_come_for_five_minutes() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=3_600), FULL))
    scene.events(variant="true", ok=10)
    scene.seconds(290, ok=1)
    assert [alert.active for alert in active(scene, "unknown_variant")] == [True]
    scene.seconds(20, ok=1)
    assert [alert.active for alert in active(scene, "unknown_variant")] == [True, False]


# G4: unattributed events


def test_G4_events_without_assignment_are_named_with_both_ways_out_and_promotion_waits() -> None:
    scene = Scene(spec(HALF, FULL, triggers=(watching("error_rate > 2x control", Action.ROLLBACK),)))
    pass_s(scene, 41, on={"ok": 15, "error": 10}, off={"ok": 25}, assignment="unattributed")
    assert (scene.where, scene.status().reason) == ("progressing half 5000", "GUARD_BLIND")
    verdict = scene.status().triggers[0].verdict
    assert verdict.text == (
        "error_rate: 1,025 control requests and 1,025 candidate requests do not say their assignment: "
        "send `assignment`, or declare `assume_split: true`"
    )
    assert verdict.text in scene.status().text


def test_G4_with_assume_split_they_are_compared() -> None:
    scene = Scene(spec(HALF, FULL, assume_split=True, triggers=(watching("error_rate > 2x control", Action.ROLLBACK),)))
    pass_s(scene, 41, on={"ok": 15, "error": 10}, off={"ok": 25}, assignment="unattributed")
    assert scene.where == "rolled_back - 0"


def test_G4_a_gate_says_it_too() -> None:
    gated = replace(HALF, gates=(rule_gate("p95_latency < 1.05x control", 10),))
    scene = Scene(spec(gated, FULL))
    pass_s(scene, 41, off={"ok": 25}, on={"ok": 25}, assignment="unattributed")
    assert "do not say their assignment" in scene.status().missing[0]


# G5: the candidate has fallen silent


def test_G5_a_gate_on_old_evidence_is_inconclusive_while_control_goes_on() -> None:
    gates = (gate(below("error_rate", 0.05)),)
    scene = Scene(spec(step("half", 5_000, bake_s=600, gates=gates, timeout_s=6_000), FULL))
    pass_s(scene, 100, on={"ok": 99}, off={"ok": 99})
    pass_s(scene, 550, off={"ok": 99})
    assert scene.where == "progressing half 5000"
    verdict = scene.status().gates[0].verdict
    assert (verdict.outcome, verdict.reason) == ("INCONCLUSIVE", "ONE_ARM_SILENT")
    assert "no request of the candidate for " in verdict.text
    pass_s(scene, 1, on={"ok": 99}, off={"ok": 99})
    assert scene.status().gates[0].verdict.reason != "ONE_ARM_SILENT"


def test_G5_without_gates_a_silent_candidate_is_not_promoted_either() -> None:
    scene = Scene(spec(step("half", 5_000, bake_s=200), FULL, triggers=(CRASHES,)))
    pass_s(scene, 100, on={"ok": 20}, off={"ok": 20})
    pass_s(scene, 110, off={"ok": 20})
    assert (scene.where, scene.status().reason) == ("progressing half 5000", "ONE_ARM_SILENT")


def test_G5_where_control_is_silent_too_nothing_is_doubted() -> None:
    scene = Scene(spec(step("half", 5_000, bake_s=200), FULL, triggers=(CRASHES,)))
    pass_s(scene, 100, on={"ok": 20}, off={"ok": 20})
    pass_s(scene, 110)
    assert scene.where == "progressing full 10000"


# G6, P6: the share of each arm


def test_G6_a_tenth_of_the_expected_requests_is_a_doubt_and_an_alert() -> None:
    gates = (gate(below("error_rate", 0.05)),)
    scene = Scene(spec(step("half", 5_000, bake_s=100, gates=gates, timeout_s=600), FULL))
    pass_s(scene, 110, on={"ok": 10}, off={"ok": 100})
    assert scene.where == "progressing half 5000"
    verdict = scene.status().gates[0].verdict
    assert (verdict.outcome, verdict.reason) == ("INCONCLUSIVE", "SHARE_MISMATCH")
    assert "where the weight is 50%" in verdict.text
    assert [alert.active for alert in active(scene, "share_mismatch")] == [True]


def test_G6_a_candidate_that_begins_to_hang_late_in_a_long_step_is_seen() -> None:
    scene = Scene(spec(step("half", 5_000, bake_s=4_000), FULL))
    pass_s(scene, 1_500, on={"ok": 20}, off={"ok": 20})
    assert active(scene, "share_mismatch") == []
    pass_s(scene, 700, on={"ok": 1}, off={"ok": 20})
    assert [alert.active for alert in active(scene, "share_mismatch")] == [True]


def test_G6_a_share_as_the_weight_says_is_no_doubt() -> None:
    scene = Scene(spec(step("quarter", 2_500, bake_s=60), FULL))
    pass_s(scene, 62, on={"ok": 10}, off={"ok": 30})
    assert scene.where == "progressing full 10000"
    assert active(scene, "share_mismatch") == []


@pytest.mark.parametrize("weight_bp", [1, 100, 500, 2_500, 5_000, 9_000, 9_900])
def test_G6_both_directions_are_measured_alike(weight_bp: int) -> None:
    n = 1_000_000
    candidate = n * weight_bp // 10_000
    assert not is_odd_share(n - candidate, candidate, weight_bp)
    assert not is_odd_share(n - candidate, candidate * 3 // 2, weight_bp)
    # One request in ten thousand, 100 expected: not even none at all is beyond chance.
    assert is_odd_share(n - candidate, candidate // 10, weight_bp) is (weight_bp > 1)
    assert is_odd_share(n - candidate, candidate * 10, weight_bp)


def test_P6_half_of_the_traffic_at_a_weight_of_five_per_cent_is_an_alert() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=3_600), FULL))
    pass_s(scene, 60, on={"ok": 20}, off={"ok": 20})
    (alert,) = active(scene, "share_mismatch")
    assert "are 50%, where the weight is 5%" in alert.text


def test_P6_candidate_traffic_after_a_rollback_to_zero_is_an_alert_until_it_ends() -> None:
    scene = Scene(spec(HALF, FULL))
    pass_s(scene, 10, on={"ok": 20}, off={"ok": 20}, version=0)
    scene.command("rollback")
    pass_s(scene, 28, on={"ok": 20}, off={"ok": 20}, version=0)
    assert active(scene, "share_mismatch") == [], "15 s to settle and 15 s more"
    pass_s(scene, 10, on={"ok": 20}, off={"ok": 20}, version=0)
    (alert,) = active(scene, "share_mismatch")
    assert "where the weight is 0%" in alert.text
    pass_s(scene, 700, off={"ok": 20}, version=0)
    assert [each.active for each in active(scene, "share_mismatch")] == [True, False]


def test_P6_control_where_everybody_gets_the_candidate_is_an_alert_and_keeps_nothing() -> None:
    scene = Scene(spec(step("full", 10_000, bake_s=60)))
    pass_s(scene, 62, on={"ok": 20}, off={"ok": 1})
    assert [alert.active for alert in active(scene, "share_mismatch")] == [True]
    assert scene.where == "completed full 10000"


def test_P6_an_application_that_never_tells_of_control_cannot_be_measured() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=60), FULL))
    pass_s(scene, 62, on={"ok": 20})
    assert active(scene, "share_mismatch") == []
    assert scene.where == "progressing full 10000"


def test_P6_who_was_allowed_or_overridden_is_no_share() -> None:
    scene = Scene(spec(HALF, FULL))
    scene.command("rollback")
    for _ in range(60):
        scene.t += 1_000
        arms(scene, on={"ok": 5}, assignment="override")
        arms(scene, off={"ok": 5})
        scene.marks()
        scene.tick()
    assert active(scene, "share_mismatch") == []


# G7: gates on counts


@pytest.mark.parametrize("metric", ["crash_count", "error_count"])
def test_G7_a_count_gate_of_one_request_does_not_pass(metric: str) -> None:
    gated = step("canary", 500, bake_s=5, timeout_s=600, gates=(rule_gate(f"{metric} <= 0", 20),), min_exposure=0)
    scene = Scene(spec(gated, FULL))
    scene.events(ok=1)
    scene.seconds(10)
    assert (scene.where, scene.status().reason) == ("progressing canary 500", "GATE_WAITING")
    assert f"gate {metric}: {metric} 0 <= 0 in this step (n=1, 20 needed)" in scene.status().missing[0]
    scene.events(ok=19)
    scene.seconds(1)
    assert scene.where == "progressing full 10000"


def test_G7_a_gate_on_mismatches_needs_dual_runs() -> None:
    gated = step("canary", 500, bake_s=5, timeout_s=600, gates=(rule_gate("mismatch_count <= 0", 20),))
    scene = Scene(spec(gated, FULL))
    scene.seconds(10, ok=10)
    assert "gate mismatch_count" in scene.status().missing[0]
    one = cell("off", Bucket(scene.t // 1_000 - 1, pairs=[19, 0, 0, 0, 0]), version=scene.flag().version)
    scene.batch(one)
    scene.seconds(2, ok=1)
    assert "n=19, 20 needed" in scene.status().missing[0]


# The wait is part of the state


def test_a_wait_and_its_alerts_survive_a_restart() -> None:
    scene = Scene(spec(CANARY, FULL))
    scene.seconds(100)
    scene.events(variant="true", ok=50)
    scene.seconds(2)
    before = scene.state()
    assert isinstance(before, RolloutState)
    assert set(before.exposure.alerts) == {"no_exposure", "unknown_variant"}
    scene.events(second=scene.t // 1_000 - 1, ok=1)
    capture = scene.engine.capture()
    snapshots = {each.flag: (each.offset, each.data) for each in capture.rollouts}
    restored = type(scene.engine).restore(0, scene.engine._parse_spec, (capture.next_offset, capture.mark), snapshots)
    assert restored._rollouts[FLAG].exposure == before.exposure


def test_U10_a_gate_that_waits_for_samples_says_rate_time_and_way_out() -> None:
    gated = step("canary", 500, bake_s=10, timeout_s=600, gates=(gate(below("error_rate", 0.5), min_samples=100),))
    scene = Scene(spec(gated, FULL))
    scene.seconds(31, ok=1)
    (missing,) = scene.status().missing
    assert "n=31, 100 needed" in missing
    assert "/min about 1m" in missing
    assert missing.endswith("more; wait, apply fewer `min_samples`, or promote by hand")


def test_U9_the_bake_is_told_in_one_form_only() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=8), FULL))
    scene.seconds(2)
    assert scene.status().missing == ["1s of the bake of 8s is over"]
    assert (scene.status().baked_ms, scene.status().bake_ms) == (1_000, 8_000)
