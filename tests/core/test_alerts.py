"""When an alert ends: its rule has passed for as long as the trigger says."""

from __future__ import annotations

from guardian.core.outputs import Alert
from guardian.core.rollout import Trigger
from guardian.core.words import Action
from guardian.spec.load import load_spec
from tests.core.figures import pass_s
from tests.core.scenes import Scene, above, spec, step, trigger

LONG = step("half", 5_000, bake_s=36_000)


def scene_with(clear_s: int, *, do: Action = Action.NOTIFY, hold_s: int = 0) -> Scene:
    watched = trigger(above("error_rate", 0.05, over_s=30, hold_s=hold_s), do, clear_ms=clear_s * 1_000)
    return Scene(spec(LONG, triggers=(watched,)))


def declared_trigger(text: str) -> Trigger:
    found, _ = load_spec(f"flag: a\nowner: b\nsteps: [{{weight: 5%, bake: 1h}}]\ntriggers:\n  - {{{text}}}\n", "a.yaml")
    return found.triggers[0]


def test_P8_a_rate_at_its_limit_is_one_alert() -> None:
    scene = scene_with(300)
    for _ in range(30):
        pass_s(scene, 60, on={"ok": 9, "error": 1})
        pass_s(scene, 60, on={"ok": 100})
    assert scene.alerts() == [("error_rate", True)]


def test_P8_an_alert_ends_once_its_rule_has_passed_for_the_time_to_clear() -> None:
    scene = scene_with(300)
    pass_s(scene, 60, on={"ok": 9, "error": 1})
    pass_s(scene, 300, on={"ok": 100})
    assert scene.alerts() == [("error_rate", True)]
    pass_s(scene, 60, on={"ok": 100})
    assert scene.alerts() == [("error_rate", True), ("error_rate", False)]
    pass_s(scene, 60, on={"ok": 9, "error": 1})
    assert scene.alerts()[2:] == [("error_rate", True)], "that is another alert"
    assert len({alert.id for alert in scene.all(Alert)}) == 2


def test_P8_time_in_which_nothing_can_be_judged_does_not_count() -> None:
    scene = scene_with(60)
    pass_s(scene, 60, on={"ok": 9, "error": 1})
    pass_s(scene, 600)
    assert scene.alerts() == [("error_rate", True)]
    pass_s(scene, 120, on={"ok": 100})
    assert scene.alerts() == [("error_rate", True), ("error_rate", False)]


def test_P8_a_rule_that_crosses_its_limit_for_less_than_its_hold_starts_the_time_again() -> None:
    scene = scene_with(120, hold_s=60)
    pass_s(scene, 100, on={"ok": 1, "error": 1})
    for _ in range(10):
        pass_s(scene, 80, on={"ok": 100})
        pass_s(scene, 10, on={"error": 50})
    assert scene.alerts() == [("error_rate", True)]


def test_P8_without_a_word_it_is_the_hold_or_five_minutes() -> None:
    assert declared_trigger("when: error_rate > 5%").clear_ms == 300_000
    assert declared_trigger("when: error_rate > 5% for 12 minutes").clear_ms == 720_000
    assert declared_trigger("when: error_rate > 5% for 12 minutes, clear: 1m").clear_ms == 60_000
