"""What people report: a bug acts at once, a figure from outside stands until it is replaced; events carry some too."""

from __future__ import annotations

import pytest

from guardian.core.inputs import Bucket
from guardian.core.outputs import Decision, Verdict
from guardian.core.reported import MAX_OUTSIDE
from guardian.core.rollout import Gate, RolloutSpec, Trigger
from guardian.core.words import Action, Outcome
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.figures import cell, pass_s, shown, watching
from tests.core.scenes import PREVIOUS, Scene, spec, step

LONG = (step("half", 5_000, bake_s=36_000), step("full", 10_000, bake_s=3_600))


def declared(*triggers: Trigger) -> RolloutSpec:
    return spec(*LONG, triggers=triggers)


def reason(verdict: Verdict) -> tuple[str, str]:
    return verdict.outcome.value, verdict.reason.value


def measured(scene: Scene, variant: str, *values: float) -> None:
    one = Bucket(scene.t // 1_000 - 1, n=len(values), ok=len(values))
    one.metrics = {"satisfaction": [len(values), sum(values), sum(v * v for v in values), values[-1]]}
    scene.batch(cell(variant, one, version=scene.flag().version))


# Bugs


def test_a_reported_bug_acts_at_once() -> None:
    scene = Scene(declared(watching("critical bug reported", Action.ROLLBACK)))
    pass_s(scene, 5, on={"ok": 10})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    answer = scene.command("bug")
    assert (answer.accepted, answer.reason.value) == (True, "REPORTED")
    assert answer.text == "bug 1 reported by ann: because"
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text == "it: bug_count 1 > 0 in this step (reported by ann: because)"


def test_a_bug_acts_before_the_first_event_and_without_ingest() -> None:
    scene = Scene(declared(watching("critical bug reported", Action.ROLLBACK)))
    scene.command("bug")
    assert scene.where == "rolled_back - 0"


def test_bugs_are_counted_since_the_step_began() -> None:
    scene = Scene(declared(watching("bugs > 1", Action.PAUSE)))
    scene.command("bug")
    scene.command("promote", force=True)
    scene.command("bug")
    assert scene.where == "progressing full 10000"
    scene.command("bug")
    assert scene.where == "paused full 10000"


def test_the_alert_of_a_bug_stands_until_a_person_resolves_it() -> None:
    scene = Scene(declared(watching("critical bug reported", Action.ROLLBACK)))
    pass_s(scene, 3, on={"ok": 10})
    scene.command("bug")
    pass_s(scene, 30, on={"ok": 10})
    assert scene.alerts() == [("it", True)]
    scene.command("resolve")
    assert scene.alerts() == [("it", True), ("it", False)]


def test_a_bug_without_a_trigger_is_noted_and_changes_nothing() -> None:
    scene = Scene(declared())
    pass_s(scene, 3, on={"ok": 10})
    was = (scene.status().outcome, scene.status().reason)
    scene.command("bug")
    pass_s(scene, 2)
    assert scene.where == "progressing half 5000"
    assert (scene.status().outcome, scene.status().reason) == was


def test_a_gate_may_ask_for_no_bugs() -> None:
    gate = Gate("none", parse_rule("bug_count <= 0", Use.GATE), 0)
    scene = Scene(spec(step("half", 5_000, bake_s=5, gates=(gate,), timeout_s=600), LONG[1]))
    scene.command("bug")
    pass_s(scene, 10, on={"ok": 10})
    assert scene.where == "progressing half 5000"
    assert scene.status().gates[0].verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize("command", ["bug", "metric"])
def test_an_archived_rollout_takes_no_reports(command: str) -> None:
    scene = Scene(declared(), started=False)
    scene.command("archive")
    answer = scene.command(command, name="x", value=1.0) if command == "metric" else scene.command(command)
    assert (answer.accepted, answer.reason.value) == (False, "REFUSED_PHASE")


# Figures


def test_a_figure_that_events_carry_is_judged_by_its_mean() -> None:
    scene = Scene(declared(watching("metric satisfaction < 4", min_samples=4)))
    pass_s(scene, 2)
    measured(scene, "on", 3.0, 4.0)
    measured(scene, "off", 1.0, 1.0, 1.0, 1.0)
    pass_s(scene, 1)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    measured(scene, "on", 3.0, 5.0)
    pass_s(scene, 2)
    assert shown(scene).text == "satisfaction 3.75 < 4 over 1m (n=4)"
    assert reason(shown(scene)) == ("FAIL", "OVER_LIMIT")


def test_a_figure_is_compared_with_controls() -> None:
    scene = Scene(declared(watching("metric satisfaction < 0.9x control", Action.ROLLBACK, min_samples=2)))
    pass_s(scene, 2)
    measured(scene, "on", 3.0, 3.0)
    measured(scene, "off", 4.0, 4.0)
    pass_s(scene, 2)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text == "it: satisfaction 3 < 0.9x control 4 over 1m (n=2 against 2)"


def test_a_figure_from_outside_stands_until_it_is_replaced_and_shows_its_age() -> None:
    scene = Scene(declared(watching("metric satisfaction < 4 for 10s", Action.ROLLBACK)))
    pass_s(scene, 2)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA")
    answer = scene.command("metric", name="satisfaction", value=4.5)
    assert (answer.reason.value, answer.text) == ("REPORTED", "satisfaction set to 4.5 by ann: because")
    pass_s(scene, 3_600)
    assert shown(scene).text == "satisfaction 4.5 >= 4 over 1m (set by ann 1h ago)"
    scene.command("metric", name="satisfaction", value=3.9)
    pass_s(scene, 5)
    assert reason(shown(scene)) == ("INCONCLUSIVE", "HOLDING")
    pass_s(scene, 10)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text == "it: satisfaction 3.9 < 4 for 10s (set by ann 11s ago)"
    assert scene.rollbacks()[-1].evidence.needed == 0, "it rests on no requests"


def test_a_figure_that_led_to_a_rollback_does_not_lead_to_the_next_one() -> None:
    rule = watching("metric satisfaction < 4", Action.ROLLBACK)
    scene = Scene(spec(step("a", 500, bake_s=36_000), *LONG, triggers=(rule,), rollback=PREVIOUS))
    pass_s(scene, 2)
    scene.command("promote", force=True)
    scene.command("metric", name="satisfaction", value=3.9)
    pass_s(scene, 30)
    assert scene.where == "rolled_back a 500"
    verdict = scene.state().watches["it"].verdict
    assert verdict is not None
    assert verdict.text == "satisfaction 3.9: it was set before the rollback"
    scene.command("metric", name="satisfaction", value=3.8)
    pass_s(scene, 3)
    assert scene.where == "rolled_back - 0"


def test_what_events_measure_goes_before_what_was_set() -> None:
    scene = Scene(declared(watching("metric satisfaction < 4", min_samples=2)))
    pass_s(scene, 2)
    scene.command("metric", name="satisfaction", value=4.5)
    measured(scene, "on", 3.0, 3.0)
    pass_s(scene, 2)
    assert shown(scene).text == "satisfaction 3 < 4 over 1m (n=2)"


def test_a_figure_from_outside_is_compared_with_a_declared_baseline() -> None:
    rule = watching("metric tickets > 2x baseline", Action.PAUSE)
    scene = Scene(spec(*LONG, triggers=(rule,), baseline={"tickets": 10.0}))
    scene.command("metric", name="tickets", value=21.0)
    pass_s(scene, 3)
    assert scene.where == "paused half 5000"
    assert scene.decision().text == "it: tickets 21 > 2x baseline 10 over 1m (set by ann 1s ago)"


def test_a_figure_needs_a_name_and_a_value_and_there_are_not_endlessly_many() -> None:
    scene = Scene(declared())
    assert not scene.command("metric", name="satisfaction").accepted
    for number in range(MAX_OUTSIDE):
        assert scene.command("metric", name=f"m{number}", value=1.0).accepted
    assert not scene.command("metric", name="more", value=1.0).accepted
    assert scene.command("metric", name="m3", value=2.0).accepted, "a known one may be replaced"


def test_every_report_is_answered_by_one_decision_that_carries_its_id() -> None:
    scene = Scene(declared())
    for name, fields in (("bug", {}), ("metric", {"name": "x", "value": 1.0})):
        answer = scene.command(name, **fields)
        assert [each.command for each in scene.all(Decision) if each.command_id == answer.command_id] == [name]
