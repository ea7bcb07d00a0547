"""Resume acknowledges what has fired (P1, U2), and of several triggers at one moment the most protective wins (P2)."""

from __future__ import annotations

import pytest

from guardian.core.outputs import Alert, Decision
from guardian.core.rollout import RollbackPolicy, Trigger
from guardian.core.words import Action
from tests.core.figures import watching
from tests.core.scenes import PREVIOUS, Scene, above, parse, spec, step, trigger

LONG = (step("half", 5_000, bake_s=60), step("full", 10_000, bake_s=3_600))


def pausing(rule: str, **fields: int) -> Trigger:
    return watching(rule, Action.PAUSE, **fields)


def alerts(scene: Scene, name: str = "it") -> list[tuple[bool, str]]:
    return [(alert.active, alert.text) for alert in scene.all(Alert) if alert.trigger == name]


# P1: resume acknowledges


@pytest.mark.parametrize("rule", ["error_count > 5 per step", "error_count > 5/hour"])
def test_P1_a_count_that_was_acknowledged_does_not_pause_again_by_itself(rule: str) -> None:
    scene = Scene(spec(*LONG, triggers=(pausing(rule),)))
    scene.seconds(2, ok=10)
    scene.seconds(1, error=6)
    assert scene.where == "paused half 5000"
    answer = scene.command("resume")
    assert answer.text == "resumed by ann: because; acknowledged: it"
    scene.seconds(30, ok=1)
    assert scene.where == "progressing half 5000"
    scene.seconds(1, error=5)
    assert scene.where == "progressing half 5000"
    scene.seconds(1, error=1)
    assert scene.where == "paused half 5000"


def test_P1_a_reported_bug_is_acknowledged_and_the_next_one_pauses_again() -> None:
    scene = Scene(spec(*LONG, triggers=(pausing("critical bug reported"),)))
    scene.seconds(2, ok=10)
    scene.command("bug")
    assert scene.where == "paused half 5000"
    scene.command("resume")
    scene.seconds(10, ok=1)
    assert scene.where == "progressing half 5000"
    scene.command("bug")
    assert scene.where == "paused half 5000"


def test_P1_what_is_still_true_on_fresh_evidence_pauses_again() -> None:
    scene = Scene(spec(*LONG, triggers=(pausing("error_rate > 5% over 10s"),)))
    scene.seconds(5, ok=50, error=50)
    assert scene.where == "paused half 5000"
    scene.command("resume")
    scene.seconds(1)
    assert scene.where == "progressing half 5000", "nothing has been seen since"
    scene.seconds(2, ok=50, error=50)
    assert scene.where == "paused half 5000"


def test_P1_promotion_waits_until_an_acknowledged_trigger_can_judge_again() -> None:
    scene = Scene(spec(*LONG, triggers=(pausing("error_count > 5 per step"),)))
    scene.seconds(61, ok=10)
    assert scene.where == "progressing full 10000"
    waits = Scene(spec(step("half", 5_000, bake_s=20), LONG[1], triggers=(pausing("error_count > 5 per step"),)))
    waits.seconds(18, ok=10)
    waits.seconds(1, error=6)
    waits.command("resume")
    waits.seconds(5, ok=1)
    assert waits.status().reason == "GUARD_BLIND"
    assert "it cannot judge: 5 of 20 requests since its evidence began again" in waits.status().text
    waits.seconds(1, ok=15)
    assert waits.where == "progressing full 10000"


def test_P1_a_firing_that_the_sender_was_not_shown_refuses_the_resume() -> None:
    both = (pausing("error_count > 5 per step"), watching("crash_count > 0 per step", Action.NOTIFY, name="crashes"))
    scene = Scene(spec(*LONG, triggers=both))
    scene.seconds(1, error=6)
    seen = scene.status().turn
    scene.t += 1_000
    scene.seconds(1, crash=1)
    refused = scene.command("resume", seen_turn=seen)
    assert (refused.accepted, refused.reason, scene.where) == (False, "REFUSED_OVERTAKEN", "paused half 5000")
    assert [active for active, _ in alerts(scene)] == [True], "a refused resume acknowledges nothing"
    assert scene.command("resume", seen_turn=scene.status().turn).accepted
    assert [active for active, _ in alerts(scene, "crashes")] == [True, False]


def test_P1_an_illegal_resume_acknowledges_nothing() -> None:
    scene = Scene(spec(*LONG, triggers=(watching("crash_count > 0 per step", Action.ROLLBACK),)))
    scene.seconds(1, crash=1)
    assert scene.command("resume").reason == "REFUSED_PHASE"
    assert [active for active, _ in alerts(scene)] == [True]


def test_P1_what_was_acknowledged_stays_so_over_a_restart() -> None:
    scene = Scene(spec(*LONG, triggers=(pausing("error_count > 5 per step"),)))
    scene.seconds(1, error=6)
    scene.command("resume")
    capture = scene.engine.capture()
    snapshots = {each.flag: (each.offset, each.data) for each in capture.rollouts}
    scene.engine = type(scene.engine).restore(0, parse, (capture.next_offset, capture.mark), snapshots)
    scene.seconds(10, ok=1)
    assert scene.where == "progressing half 5000"


# U2: a renewed pause alerts again


def test_U2_a_renewed_pause_alerts_again_and_the_acknowledged_alert_has_ended() -> None:
    scene = Scene(spec(*LONG, triggers=(pausing("error_count > 5 per step"),)))
    scene.seconds(1, error=6)
    scene.command("resume")
    scene.seconds(1, error=6)
    found = [alert for alert in scene.all(Alert) if alert.trigger == "it"]
    assert [alert.active for alert in found] == [True, False, True]
    assert found[1].text == "acknowledged: resumed by ann: because"
    assert found[0].id == found[1].id != found[2].id


# P2: the most protective target wins


def rolling(rule: str, to: str, name: str) -> Trigger:
    return trigger(above(rule, 0, over_s=0), name=name, to=to)


@pytest.mark.parametrize("order", [1, -1])
def test_P2_of_two_counts_that_are_true_at_once_the_most_protective_target_wins(order: int) -> None:
    both = (rolling("error_count", "previous", "errors"), rolling("crash_count", "zero", "crashes"))[::order]
    scene = Scene(spec(step("canary", 500, bake_s=1), step("half", 5_000, bake_s=600), triggers=both))
    scene.seconds(3, ok=20)
    assert scene.where == "progressing half 5000"
    scene.seconds(1, error=1, crash=1)
    assert scene.where == "rolled_back - 0"
    (rollback,) = scene.rollbacks()
    assert rollback.trigger == "crashes"
    assert "crashes: crash_count 1 > 0" in rollback.text
    assert "errors: error_count 2 > 0" in rollback.text
    assert {name for name, active in scene.alerts() if active} == {"errors", "crashes"}
    (decision,) = [each for each in scene.all(Decision) if each.reason == "TRIGGER_FIRED"]
    assert decision.text == rollback.text


def test_P2_rates_that_are_true_in_the_same_second_are_judged_together() -> None:
    rates = (
        trigger(above("error_rate", 0.05), name="errors", to="previous"),
        trigger(above("timeout_rate", 0.05), name="timeouts", to="zero"),
    )
    scene = Scene(spec(step("canary", 500, bake_s=1), step("half", 5_000, bake_s=600), triggers=rates))
    scene.seconds(3, ok=50)
    scene.seconds(2, ok=50, timeout=50)
    assert scene.where == "rolled_back - 0"
    assert [each.trigger for each in scene.rollbacks()] == ["timeouts"]
    assert "errors: error_rate" in scene.rollbacks()[0].text


def test_P2_a_rollback_wins_over_a_pause_that_stands_before_it() -> None:
    both = (pausing("error_count > 0 per step", name="pauses"), rolling("crash_count", "zero", "crashes"))
    scene = Scene(spec(*LONG, triggers=both))
    scene.seconds(1, crash=1)
    assert scene.where == "rolled_back - 0"
    assert "pauses: error_count 1 > 0" in scene.rollbacks()[0].text


def test_P2_two_pauses_at_once_are_one_decision_that_names_both() -> None:
    both = (pausing("error_count > 0 per step", name="one"), pausing("crash_count > 0 per step", name="two"))
    scene = Scene(spec(*LONG, triggers=both))
    scene.seconds(1, crash=1)
    assert scene.where == "paused half 5000"
    (decision,) = [each for each in scene.all(Decision) if each.reason == "TRIGGER_FIRED"]
    assert "one: error_count" in decision.text
    assert "two: crash_count" in decision.text


def test_P2_a_notice_that_is_long_known_is_not_told_again_with_a_rollback() -> None:
    both = (
        watching("error_count > 0 per step", Action.NOTIFY, name="notice"),
        rolling("crash_count", "zero", "crashes"),
    )
    scene = Scene(spec(*LONG, triggers=both))
    scene.seconds(1, error=1)
    scene.seconds(1, crash=1)
    assert "notice" not in scene.rollbacks()[0].text


# U3: where a rollback leads unless said


def test_U3_a_rollback_leads_to_zero_unless_the_spec_says_previous() -> None:
    crashes = (rolling("crash_count", "", "crashes"),)
    for policy, where in ((RollbackPolicy(), "rolled_back - 0"), (PREVIOUS, "rolled_back canary 500")):
        steps = (step("canary", 500, bake_s=1), step("half", 5_000, bake_s=600))
        scene = Scene(spec(*steps, triggers=crashes, rollback=policy))
        scene.seconds(3, ok=20)
        scene.seconds(1, crash=1)
        assert scene.where == where
