"""Two actors at once: one wins, the other is refused with a reason that names the first; what protects always acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from guardian.core.inputs import Batch, Command
from guardian.core.outputs import Decision
from guardian.core.words import Action
from tests.core.scenes import ANN, COMMANDS, FLAG, Scene, above, document_of, gate, spec, step, trigger
from tests.core.scenes import below as below_rule

FIRED = trigger(above("crash_count", 0), Action.NOTIFY)
HALTED = trigger(above("crash_count", 0), Action.PAUSE)


def scene_of(*triggers: Any) -> Scene:
    scene = Scene(spec(step("canary", 500, bake_s=600), step("half", 5_000, bake_s=600), step("full", 10_000, bake_s=1),
                       triggers=triggers))  # fmt: skip
    scene.seconds(2, ok=5)
    return scene


def turn(scene: Scene) -> int:
    return scene.status().turn


def at_once(scene: Scene, *words: str) -> list[Decision]:
    """Commands of several people who all saw the same."""
    seen = turn(scene)
    return [scene.command(word, seen_turn=seen, force=word == "promote") for word in words]


def test_of_two_who_promote_at_once_one_climbs_and_the_other_is_told_who() -> None:
    scene = scene_of()
    first, second = at_once(scene, "promote", "promote")
    assert (first.accepted, second.accepted, second.reason.value) == (True, False, "REFUSED_OVERTAKEN")
    assert "promote by ann" in second.text
    assert f"guardian status {FLAG}" in second.text
    assert scene.where == "progressing half 5000"


def test_two_promotions_in_one_batch_climb_one_step() -> None:
    scene = scene_of()
    seen = turn(scene)
    both = [Command(f"p{i}", "promote", FLAG, ANN, force=True, seen_turn=seen) for i in range(2)]
    scene.batch(commands=both, source=COMMANDS)
    assert scene.where == "progressing half 5000"


def test_a_promotion_that_guardian_has_made_itself_is_not_made_again() -> None:
    scene = Scene(spec())
    scene.seconds(2, ok=5)
    seen = turn(scene)
    scene.seconds(12, ok=5)
    assert scene.where == "progressing half 5000"
    refused = scene.command("promote", seen_turn=seen)
    assert (refused.accepted, scene.where) == (False, "progressing half 5000")
    assert "BAKE_OVER by guardian" in refused.text


def paused_and_paused_anew(scene: Scene) -> None:
    scene.command("resume")
    scene.events(crash=1)


OVERTAKEN: list[tuple[str, list[str], Callable[[Scene], object]]] = [
    ("promote", [], lambda scene: scene.command("pause")),
    ("promote", [], lambda scene: scene.command("kill")),
    ("promote", [], lambda scene: scene.events(crash=1)),
    ("promote", [], lambda scene: scene.apply(spec(step("canary", 500, bake_s=9), step("all", 10_000), revision="r2"))),
    ("resume", ["pause"], lambda scene: scene.events(crash=1)),
    ("resume", ["pause"], paused_and_paused_anew),
    ("resume", ["pause"], lambda scene: scene.command("rollback")),
    ("unkill", ["kill"], lambda scene: scene.command("pause")),
    ("unkill", ["kill"], lambda scene: (scene.command("unkill"), scene.command("kill"))),
    ("start", ["rollback"], lambda scene: (scene.command("start"), scene.command("rollback"))),
]


@pytest.mark.parametrize(("word", "given", "meanwhile"), OVERTAKEN)
def test_what_climbs_is_refused_when_somebody_moved_the_rollout_meanwhile(
    word: str, given: list[str], meanwhile: Callable[[Scene], object]
) -> None:
    scene = scene_of(HALTED)
    for each in given:
        scene.command(each)
    scene.seconds(1)
    seen = turn(scene)
    meanwhile(scene)
    before = scene.where, scene.flag().version
    refused = scene.command(word, seen_turn=seen)
    assert (refused.accepted, refused.reason.value) == (False, "REFUSED_OVERTAKEN")
    assert (scene.where, scene.flag().version) == before


@pytest.mark.parametrize("word", ["rollback", "kill", "pause", "bug"])
def test_what_protects_is_obeyed_whatever_its_sender_saw(word: str) -> None:
    scene = scene_of()
    assert scene.command(word, seen_turn=1).accepted


def test_what_is_so_already_is_no_refusal() -> None:
    scene = scene_of()
    scene.command("pause")
    assert [one.reason.value for one in at_once(scene, "resume", "resume")] == ["OPERATOR", "UNCHANGED"]
    scene.command("kill")
    assert [one.reason.value for one in at_once(scene, "unkill", "unkill")] == ["FREED", "UNCHANGED"]


def test_evidence_that_comes_and_gates_that_wait_overtake_nobody() -> None:
    scene = Scene(
        spec(step("canary", 500, bake_s=1, gates=(gate(below_rule("error_rate", 0.1)),)), step("full", 10_000))
    )
    seen = turn(scene)
    scene.seconds(4, error=50)
    scene.command("metric", name="tickets", value=2.0)
    assert scene.status().reason.value == "GATE_WAITING"
    assert scene.command("promote", seen_turn=seen).accepted


def test_a_command_that_says_nothing_of_what_was_seen_is_unconditional() -> None:
    scene = scene_of()
    assert scene.command("promote").accepted
    assert scene.command("promote").accepted
    assert scene.where == "progressing full 10000"


def test_the_very_same_command_again_is_obeyed_once_and_not_told_off() -> None:
    scene = scene_of()
    once = Command("p-1", "promote", FLAG, ANN, seen_turn=turn(scene))
    for start in (500, 501):
        scene.feed(Batch(COMMANDS, start, start + 1, commands=[once]))
    assert [one.reason.value for one in scene.all(Decision)[-2:]] == ["OPERATOR", "UNCHANGED"]
    assert scene.where == "progressing half 5000"


def test_the_answer_says_what_the_next_command_may_name_as_seen() -> None:
    scene = scene_of()
    first = scene.command("promote", seen_turn=turn(scene))
    assert first.turn == turn(scene)
    assert scene.command("promote", seen_turn=first.turn).accepted


@pytest.mark.parametrize("given", [["kill"], ["kill", "pause", "resume"], ["kill", "pause", "resume", "rollback"]])
def test_P9_what_guardian_says_about_its_waiting_under_the_kill_switch_overtakes_nobody(given: list[str]) -> None:
    scene = scene_of()
    for word in given:
        answered = scene.command(word)
    scene.seconds(3, ok=5)
    assert turn(scene) == answered.turn
    assert scene.command("unkill", seen_turn=answered.turn).accepted


def test_P9_killing_and_freeing_are_moves() -> None:
    scene = scene_of()
    turns = [turn(scene)] + [scene.command(word).turn for word in ("kill", "unkill", "kill")]
    assert turns == sorted(set(turns))


# Apply


def revised(name: str) -> dict[str, Any]:
    return document_of(spec(step("canary", 500, bake_s=600), step(name, 10_000), revision=name))


def test_of_two_different_applies_at_once_the_second_is_refused_and_the_same_again_is_not() -> None:
    scene = scene_of()
    mine = scene.command("apply", spec=revised("r2"), seen_revision="r1")
    theirs = scene.command("apply", spec=revised("r3"), seen_revision="r1")
    again = scene.command("apply", spec=revised("r2"), seen_revision="r1")
    assert [one.reason.value for one in (mine, theirs, again)] == ["APPLIED", "REFUSED_OVERTAKEN", "UNCHANGED"]
    assert "revision r2 is applied, where you saw revision r1" in theirs.text
    assert "apply by ann" in theirs.text
    assert scene.state().spec.revision == "r2"


def test_a_rollout_that_others_declared_meanwhile_is_not_replaced() -> None:
    scene = Scene()
    assert scene.command("apply", spec=revised("r2"), seen_revision="").accepted
    refused = scene.command("apply", spec=revised("r3"), seen_revision="")
    assert (refused.reason.value, "you saw no rollout" in refused.text) == ("REFUSED_OVERTAKEN", True)


def test_a_rollout_that_guardian_has_lost_is_declared_again_whatever_was_seen() -> None:
    scene = Scene()
    assert scene.command("apply", spec=revised("r2"), seen_revision="r1").accepted


def test_an_apply_looks_at_the_revision_alone() -> None:
    scene = scene_of()
    seen = turn(scene)
    scene.command("pause")
    assert scene.command("apply", spec=revised("r2"), seen_revision="r1", seen_turn=seen).accepted


def test_an_apply_that_was_given_before_another_one_came_is_refused_although_its_sender_reads_the_new_revision() -> (
    None
):
    scene = scene_of()
    seen = turn(scene)
    scene.seconds(1)
    assert scene.command("apply", spec=revised("r2"), seen_revision="r1", seen_turn=seen).accepted
    refused = scene.command("apply", spec=revised("r3"), seen_revision="r2", seen_turn=seen)
    assert refused.reason.value == "REFUSED_OVERTAKEN"
    assert "revision r2 was applied after what you saw" in refused.text
