"""Who still gets the candidate is said wherever a rollback is."""

from __future__ import annotations

from guardian.core.outputs import Alert
from guardian.core.recipients import recipients
from guardian.core.rollout import RollbackPolicy, Trigger
from guardian.core.words import Action
from tests.core.figures import pass_s
from tests.core.scenes import Scene, above, spec, step, trigger

STEPS = (step("canary", 1_000, bake_s=36_000), step("half", 5_000, bake_s=36_000))


def rolled_back(to: str, **fields: object) -> Scene:
    """A rollout whose trigger has taken it back from its second step."""
    watched: Trigger = trigger(above("error_count", 5, over_s=0), Action.ROLLBACK, min_samples=0)
    scene = Scene(spec(*STEPS, triggers=(watched,), rollback=RollbackPolicy(to=to), **fields))
    pass_s(scene, 3)
    scene.command("promote")
    pass_s(scene, 1, on={"error": 10})
    return scene


def test_U3_after_a_rollback_to_the_step_before_everything_says_who_still_gets_the_candidate() -> None:
    scene = rolled_back("previous")
    assert scene.where == "rolled_back canary 1000"
    assert scene.rollbacks()[-1].text.endswith("; still 10% on")
    assert scene.decision().text.endswith("; still 10% on")
    assert scene.status().text.endswith("; still 10% on")
    alert = next(each for each in scene.all(Alert) if each.active)
    assert alert.text.endswith("; still 10% on")
    assert recipients(scene.flag()).startswith("still 10% on; opt-ins are denied until a new attempt; ")


def test_U3_a_rollback_by_a_person_says_it_too() -> None:
    scene = Scene(spec(*STEPS))
    pass_s(scene, 3)
    scene.command("promote")
    assert scene.command("rollback", to="previous").text.endswith("; still 10% on")


def test_P7_at_zero_the_overrides_that_still_win_are_named() -> None:
    scene = rolled_back("zero", env_prefix="SHOP")
    assert "still" not in scene.rollbacks()[-1].text
    assert recipients(scene.flag()) == (
        "0% on; opt-ins are denied until a new attempt; "
        "an environment override still wins where it is set: SHOP_PRICING=on"
    )


def test_P7_nobody_gets_past_the_kill_switch() -> None:
    scene = Scene(spec(*STEPS))
    scene.command("kill")
    assert recipients(scene.flag()) == "nobody: the kill switch goes before opt-ins to on and overrides"


def test_P7_before_a_rollback_those_who_opt_in_are_named() -> None:
    scene = Scene(spec(*STEPS))
    assert recipients(scene.flag()).startswith("10% on; calls that opt in; an environment override")
