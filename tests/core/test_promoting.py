"""What an operator's promote may skip, and what it says of what was missing; and that a status speaks of now."""

from __future__ import annotations

import pytest

from guardian.core.outputs import Decision
from tests.core.scenes import Scene, above, below, gate, spec, step, trigger

BLIND_S = 15


def fresh(*steps: object) -> Scene:
    """A started rollout of a guardian that sees."""
    scene = Scene(spec(*steps, triggers=(trigger(above("error_rate", 0.5)),)))  # type: ignore[arg-type]
    scene.seconds(2, ok=5)
    return scene


def test_on_fresh_evidence_a_promotion_is_accepted_and_says_what_it_did_not_wait_for() -> None:
    scene = fresh(step("canary", 500, bake_s=60), step("full", 10_000))
    answer = scene.command("promote")
    assert (answer.accepted, answer.reason, scene.where) == (True, "OPERATOR", "progressing full 10000")
    assert answer.text.startswith("promoted by ann: because; what was missing: 1s of the bake of 1m is over")


def test_a_gate_that_has_seen_nothing_is_named_in_the_promotion() -> None:
    scene = fresh(
        step("canary", 500, bake_s=1, gates=(gate(below("error_rate", 0.1), min_samples=1_000),)), step("full", 10_000)
    )
    scene.seconds(2)
    assert "what was missing: gate error_rate: " in scene.command("promote").text


@pytest.mark.parametrize("last", [False, True])
def test_on_stale_evidence_a_promotion_is_refused_with_the_reason_and_the_way_out(last: bool) -> None:
    steps = (step("canary", 500, bake_s=60), step("full", 10_000, bake_s=60))
    scene = fresh(*steps)
    if last:
        scene.command("promote")
    before = scene.where
    scene.seconds(BLIND_S, blind=True)
    answer = scene.command("promote")
    assert (answer.accepted, answer.reason, scene.where) == (False, "REFUSED_EVIDENCE", before)
    assert "fresh evidence: 1 source partitions do not report (telemetry/0)" in answer.text
    assert "guardian promote pricing --force" in answer.text


def test_before_anybody_has_reported_a_promotion_is_refused() -> None:
    scene = Scene(spec())
    assert scene.command("promote").reason == "REFUSED_EVIDENCE"


def test_who_insists_is_obeyed_and_the_audit_says_what_was_missing() -> None:
    scene = fresh(step("canary", 500, bake_s=60), step("full", 10_000))
    scene.seconds(BLIND_S, blind=True)
    answer = scene.command("promote", force=True)
    assert (answer.accepted, scene.where) == (True, "progressing full 10000")
    assert "what was missing: fresh evidence" in answer.text


def test_after_a_gap_in_the_log_a_promotion_waits_for_full_windows_or_for_force() -> None:
    scene = fresh()
    scene.said += scene.engine.jump(scene.engine.next_offset + 100, scene.t)
    scene.seconds(3, ok=5)
    assert scene.command("promote").reason == "REFUSED_EVIDENCE"
    assert "until the windows are full again" in scene.decision().text
    assert scene.command("promote", force=True).accepted


def test_force_frees_neither_the_kill_switch_nor_the_order_of_phases() -> None:
    scene = fresh()
    scene.command("pause")
    assert scene.command("promote", force=True).reason == "REFUSED_PHASE"
    scene.command("resume")
    scene.command("kill")
    assert scene.command("promote", force=True).reason == "REFUSED_PHASE"


def test_an_illegal_promotion_is_refused_for_its_phase_also_when_guardian_is_blind() -> None:
    scene = Scene(spec(), started=False)
    assert scene.command("promote").reason == "REFUSED_PHASE"


# The status


def test_the_text_of_a_rollout_that_waits_is_what_is_missing_now() -> None:
    scene = fresh(step("canary", 500, bake_s=60), step("full", 10_000))
    scene.seconds(10, ok=5)
    status = scene.status()
    assert (status.reason, status.text) == ("BAKING", "11s of the bake of 1m is over")
    assert status.text == "; ".join(status.missing)
    scene.seconds(5, ok=5)
    assert scene.status().text == "16s of the bake of 1m is over"


def test_the_text_of_a_rollout_that_waits_for_nothing_is_why_it_stands_there() -> None:
    scene = fresh()
    scene.command("pause")
    scene.seconds(3)
    assert scene.status().text == "paused by ann: because"


def test_a_summary_of_a_rollout_that_waits_says_what_is_missing_now() -> None:
    scene = fresh(step("canary", 500, bake_s=3_600), step("full", 10_000))
    scene.seconds(310, ok=1)
    (summary,) = [each for each in scene.all(Decision) if each.reason == "SUMMARY"]
    first = next(each for each in scene.all(Decision) if each.reason == "BAKING")
    assert summary.text.endswith("of the bake of 1h is over")
    assert summary.text != first.text
