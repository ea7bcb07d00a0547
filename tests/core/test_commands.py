"""Commands: each is answered once, accepted or refused with its reason, in every phase; apply moves nobody up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from guardian.core.commands import COMMANDS, FOR_ALL
from guardian.core.engine import Engine
from guardian.core.inputs import Batch, Command, Record
from guardian.core.outputs import Decision
from guardian.core.rollout import RolloutSpec, Variants
from guardian.core.words import Action, Outcome, Phase
from tests.core import scenes
from tests.core.scenes import FLAG, LADDER, WAIT, Scene, above, below, document_of, gate, parse, spec, step, trigger

CRASH = trigger(above("crash_count", 0, over_s=0))
DECLARED = spec(triggers=(CRASH,))


def draft() -> Scene:
    return Scene(DECLARED, started=False)


def progressing() -> Scene:
    scene = Scene(DECLARED)
    scene.seconds(2)
    return scene


def paused() -> Scene:
    scene = progressing()
    scene.command("pause")
    return scene


def rolled_back() -> Scene:
    scene = progressing()
    scene.command("rollback")
    return scene


def rolled_back_to_a_step() -> Scene:
    scene = progressing()
    scene.command("promote")
    scene.command("rollback", to="previous")
    return scene


def completed() -> Scene:
    scene = progressing()
    for _ in LADDER:
        scene.command("promote")
    return scene


def archived() -> Scene:
    scene = rolled_back()
    scene.command("archive")
    return scene


def killed() -> Scene:
    scene = progressing()
    scene.command("kill")
    return scene


EVERYWHERE = (draft, progressing, paused, rolled_back, rolled_back_to_a_step, completed, archived, killed)
ACCEPTED = {
    ("start", draft): ("STARTED", "progressing canary 500"),
    ("start", rolled_back): ("OPERATOR", "progressing canary 500"),
    ("start", rolled_back_to_a_step): ("OPERATOR", "progressing canary 500"),
    ("promote", progressing): ("OPERATOR", "progressing half 5000"),
    ("pause", progressing): ("OPERATOR", "paused canary 500"),
    ("pause", killed): ("OPERATOR", "paused canary 500"),
    ("pause", paused): ("UNCHANGED", "paused canary 500"),
    ("resume", paused): ("OPERATOR", "progressing canary 500"),
    ("resume", progressing): ("UNCHANGED", "progressing canary 500"),
    ("resume", killed): ("UNCHANGED", "progressing canary 500"),
    ("rollback", progressing): ("OPERATOR", "rolled_back - 0"),
    ("rollback", paused): ("OPERATOR", "rolled_back - 0"),
    ("rollback", completed): ("OPERATOR", "rolled_back - 0"),
    ("rollback", killed): ("OPERATOR", "rolled_back - 0"),
    ("rollback", rolled_back_to_a_step): ("OPERATOR", "rolled_back - 0"),
    ("rollback", rolled_back): ("UNCHANGED", "rolled_back - 0"),
    ("resolve", rolled_back): ("OPERATOR", "rolled_back - 0"),
    ("resolve", rolled_back_to_a_step): ("OPERATOR", "rolled_back canary 500"),
    ("archive", draft): ("OPERATOR", "archived - 0"),
    ("archive", rolled_back): ("OPERATOR", "archived - 0"),
    ("archive", rolled_back_to_a_step): ("OPERATOR", "archived canary 500"),
    ("archive", completed): ("OPERATOR", "archived full 10000"),
}
SWITCHED = {"kill": ("KILLED", "UNCHANGED"), "unkill": ("UNCHANGED", "FREED")}
ELSEWHERE = ("apply", "bug", "metric", "release", *SWITCHED)  # these have tests of their own
CASES = [(command, given) for command in COMMANDS if command not in ELSEWHERE for given in EVERYWHERE]


@pytest.mark.parametrize(("command", "given"), CASES, ids=[f"{command}-{given.__name__}" for command, given in CASES])
def test_a_command_is_obeyed_or_refused_by_phase(command: str, given: Callable[[], Scene]) -> None:
    scene = given()
    was, document = scene.where, scene.flag()
    answer = scene.command(command)
    assert (answer.command, answer.actor.name) == (command, "ann")
    assert answer.phase == scene.flag().phase
    if (command, given) in ACCEPTED:
        reason, where = ACCEPTED[command, given]
        assert (answer.accepted, answer.outcome, answer.reason.value) == (True, Outcome.PASS, reason)
        assert scene.where == where
        return
    assert (answer.accepted, answer.outcome, answer.reason.value) == (False, Outcome.ERROR, "REFUSED_PHASE")
    assert (scene.where, scene.flag()) == (was, document), "a refused command changes nothing"


@pytest.mark.parametrize("given", EVERYWHERE, ids=[given.__name__ for given in EVERYWHERE])
def test_the_kill_switch_stands_over_every_phase_and_freeing_it_restores_what_the_phase_says(
    given: Callable[[], Scene],
) -> None:
    scene = given()
    was, was_killed = scene.where, scene.flag().killed
    kill = scene.command("kill")
    assert kill.reason.value == SWITCHED["kill"][was_killed]
    assert (scene.where, scene.flag().killed) == (was, True)
    free = scene.command("unkill")
    assert free.reason.value == SWITCHED["unkill"][True]
    assert (scene.where, scene.flag().killed) == (was, False)
    assert scene.command("unkill").reason.value == "UNCHANGED"


def test_a_kill_is_a_protective_action_of_its_own() -> None:
    scene = progressing()
    scene.command("kill")
    assert scene.rollbacks()[-1].reason.value == "KILLED"
    assert scene.rollbacks()[-1].change_id == scene.flag().change_id


def test_nothing_is_promoted_under_the_kill_switch_and_the_bake_starts_anew_after_it() -> None:
    scene = killed()
    scene.seconds(30)
    assert scene.where == "progressing canary 500"
    assert scene.status().missing == ["the kill switch is on: free it with unkill"]
    assert scene.status().baked_ms == 0
    scene.command("unkill")
    scene.seconds(9)
    assert scene.where == "progressing canary 500"
    scene.seconds(2)
    assert scene.where == "progressing half 5000"


def test_a_rollout_may_be_started_under_the_kill_switch_which_still_wins() -> None:
    scene = draft()
    scene.command("kill")
    scene.command("start")
    assert scene.where == "progressing canary 500"
    assert scene.flag().killed


# Refusals that concern no rollout


def test_an_unknown_flag_is_refused() -> None:
    scene = draft()
    for command in COMMANDS[1:]:
        assert scene.command(command, "nobody").reason.value == "REFUSED_UNKNOWN_FLAG"


def test_a_spec_that_cannot_be_read_is_refused_with_what_is_wrong() -> None:
    scene = Scene()
    answer = scene.command("apply", spec={"flag": FLAG, "revision": "r", "steps": 7})
    assert (answer.accepted, answer.reason.value) == (False, "REFUSED_SPEC")
    assert answer.text.startswith("steps: ")
    assert scene.command("apply", spec=None).reason.value == "REFUSED_SPEC"
    assert scene.engine.rollout_count == 0


def test_a_spec_of_another_flag_is_refused() -> None:
    scene = Scene()
    answer = scene.command("apply", "other", spec=document_of(spec()))
    assert answer.reason.value == "REFUSED_SPEC"
    assert scene.engine.rollout_count == 0


def test_a_word_that_is_no_command_is_refused() -> None:
    answer = progressing().command("explode")
    assert (answer.accepted, "explode" in answer.text) == (False, True)


# Rolling back


@pytest.mark.parametrize(
    ("to", "where"), [("previous", "rolled_back half 5000"), ("canary", "rolled_back canary 500"),
                      ("", "rolled_back - 0"), ("zero", "rolled_back - 0")],
)  # fmt: skip
def test_a_rollback_goes_to_zero_unless_it_names_another_target(to: str, where: str) -> None:
    scene = progressing()
    scene.command("promote")
    scene.command("promote")
    scene.command("rollback", to=to)
    assert scene.where == where
    assert scene.rollbacks()[-1].to_weight_bp == scene.flag().weight_bp


@pytest.mark.parametrize("to", ["canary", "half", "full", "nowhere"])
def test_a_target_that_is_not_below_is_refused(to: str) -> None:
    scene = progressing()
    assert scene.command("rollback", to=to).reason.value == "REFUSED_TARGET"
    assert scene.where == "progressing canary 500"


def test_previous_of_the_first_step_is_zero() -> None:
    scene = progressing()
    scene.command("rollback", to="previous")
    assert scene.where == "rolled_back - 0"


def test_after_a_rollback_to_a_step_previous_means_zero() -> None:
    scene = progressing()
    scene.command("promote")
    scene.command("promote")
    scene.command("rollback", to="previous")
    scene.command("rollback", to="previous")
    assert scene.where == "rolled_back - 0"


# A new attempt


def test_a_new_attempt_needs_a_person_and_the_wait() -> None:
    scene = Scene(replace(DECLARED, rollback=WAIT))
    scene.command("rollback")
    refused = scene.command("start")
    assert refused.reason.value == "REFUSED_WAIT"
    needs = "a person to resolve the rollback: guardian resolve pricing; 1m of the wait after a rollback"
    assert refused.text == f"a new attempt still needs {needs}"
    scene.command("resolve")
    scene.seconds(59)
    assert scene.command("start").reason.value == "REFUSED_WAIT"
    scene.seconds(1)
    assert scene.command("start").accepted
    assert scene.flag().attempt == 2


def test_every_rollback_wants_its_own_resolution() -> None:
    scene = Scene(replace(DECLARED, rollback=replace(WAIT, wait_ms=0)))
    for _ in range(2):
        scene.command("rollback")
        assert scene.command("start").reason.value == "REFUSED_WAIT"
        scene.command("resolve")
        assert scene.command("start").accepted


def test_a_rollback_that_goes_further_is_not_resolved_by_the_resolution_of_the_one_before() -> None:
    scene = Scene(replace(DECLARED, rollback=replace(WAIT, wait_ms=0)))
    scene.command("promote", force=True)
    scene.command("rollback", to="previous")
    scene.command("resolve")
    scene.command("rollback")
    assert scene.where == "rolled_back - 0"
    assert scene.command("start").reason.value == "REFUSED_WAIT"


def test_a_new_attempt_goes_on_from_the_step_that_was_rolled_back_to() -> None:
    scene = progressing()
    scene.command("promote")
    scene.command("promote")
    scene.command("rollback", to="previous")
    scene.command("start")
    assert scene.where == "progressing half 5000"
    assert scene.flag().attempt == 2


def test_a_new_attempt_ends_the_alerts_of_the_old_one() -> None:
    scene = progressing()
    scene.events(crash=1)
    scene.command("start")
    assert scene.alerts() == [("crash_count", True), ("crash_count", False)]


def test_an_archive_that_is_refused_ends_no_alert() -> None:
    scene = Scene(spec(triggers=(trigger(above("crash_count", 0, over_s=0), Action.NOTIFY),)))
    scene.events(crash=1)
    assert not scene.command("archive").accepted
    assert scene.alerts() == [("crash_count", True)]


# Pause and resume


def test_resume_continues_the_bake_and_skips_no_step() -> None:
    scene = progressing()
    scene.seconds(6)
    baked_ms = scene.status().baked_ms
    scene.command("pause")
    scene.seconds(60)
    assert (scene.where, scene.status().baked_ms) == ("paused canary 500", baked_ms)
    scene.command("resume")
    scene.seconds(2)
    assert scene.where == "progressing canary 500"
    scene.seconds(1)
    assert scene.where == "progressing half 5000"


def test_a_rollout_that_completes_by_itself_says_so_and_one_that_a_person_completes_names_the_person() -> None:
    scene = progressing()
    scene.command("promote")
    scene.command("promote")
    scene.seconds(10)
    assert scene.where == "completed full 10000"
    assert scene.decision().reason.value == "COMPLETED"
    by_hand = progressing()
    for _ in range(3):
        by_hand.command("promote")
    assert by_hand.where == "completed full 10000"
    assert by_hand.decision().reason.value == "OPERATOR"
    assert by_hand.decision().text.startswith("promoted by ann: because")


# For every flag at once


@pytest.mark.parametrize("command", FOR_ALL)
def test_a_command_for_all_reaches_every_flag_and_is_answered_for_each_and_once_for_the_partition(command: str) -> None:
    scene = Scene(spec(flag="a"), spec(flag="b"), spec(flag="c"))
    seen = len(scene.said)
    scene.command(command, "*")
    answers = [said for said in scene.said[seen:] if isinstance(said, Decision)]
    assert [answer.flag for answer in answers] == ["a", "b", "c", "*"]
    assert answers[-1].text == f"{command} for 3 flags of partition 0"


def test_partitions_answer_a_command_for_all_under_different_ids_also_at_the_same_offset() -> None:
    command = Command("c-1", "pause", "*", scenes.ANN)
    record = Record(0, scenes.T0, Batch(scenes.COMMANDS, 0, 1, commands=[command]))
    said = [output for number in range(3) for output in Engine(number, parse).fold(record)]
    assert len({output.id for output in said if isinstance(output, Decision)}) == 3


def test_killing_all_kills_all() -> None:
    scene = Scene(spec(flag="a"), spec(flag="b"))
    scene.command("kill", "*")
    assert all(state.killed for state in scene.engine.flags())


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in FOR_ALL])
def test_other_commands_are_for_one_flag(command: str) -> None:
    scene = Scene(spec(flag="a"))
    assert scene.command(command, "*").reason.value == "REFUSED_TARGET"


# Apply in mid-rollout


def applied(change: Callable[[RolloutSpec], RolloutSpec], given: Callable[[], Scene] = progressing) -> Scene:
    scene = given()
    scene.apply(replace(change(DECLARED), revision="r2"))
    return scene


def test_the_first_apply_asserts_control_for_everyone() -> None:
    scene = draft()
    assert scene.where == "draft - 0"
    assert [(state.phase, state.weight_bp, state.attempt) for state in scene.changes()] == [(Phase.DRAFT, 0, 0)]


def test_the_same_revision_does_nothing() -> None:
    scene = progressing()
    document = scene.flag()
    answer = scene.apply(DECLARED)
    assert (answer.accepted, answer.reason.value) == (True, "UNCHANGED")
    assert scene.flag() == document


def test_gates_change_at_once_without_a_new_flag_document() -> None:
    scene = progressing()
    document = scene.flag()
    gated = replace(LADDER[0], gates=(gate(below("error_rate", 0.1)),))
    assert scene.apply(replace(DECLARED, steps=(gated, *LADDER[1:]), revision="r2")).accepted
    scene.seconds(1)
    assert [each.name for each in scene.status().gates] == ["error_rate"]
    assert scene.flag() == document
    assert scene.status().revision == "r2"


def test_future_steps_may_change_and_the_current_one_is_found_by_its_name() -> None:
    steps = (step("pilot", 100), *LADDER[:1], step("third", 3_300), LADDER[2])
    scene = applied(lambda declared: replace(declared, steps=steps))
    assert scene.where == "progressing canary 500"
    scene.command("promote")
    assert scene.where == "progressing third 3300"
    scene.command("rollback", to="pilot")
    assert scene.where == "rolled_back pilot 100"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda declared: replace(declared, steps=LADDER[1:]), "canary"),
        (lambda declared: replace(declared, steps=(step("canary", 700), *LADDER[1:])), "never raises"),
        (lambda declared: replace(declared, variants=Variants("off", "new")), "variants"),
        (lambda declared: replace(declared, variants=Variants(values={"on": 1, "off": 0})), "variants"),
        (lambda declared: replace(declared, salt="pepper"), "salt"),
    ],
)
@pytest.mark.parametrize("given", [progressing, paused, completed, rolled_back_to_a_step])
def test_what_would_move_people_is_refused_while_the_candidate_is_served(
    change: Callable[[RolloutSpec], RolloutSpec], word: str, given: Callable[[], Scene]
) -> None:
    scene = given()
    before = scene.flag()
    answer = scene.apply(replace(change(DECLARED), revision="r2"))
    if given is completed and word in ("canary", "never raises"):
        assert answer.accepted, "canary is not its current step"
        return
    assert (answer.accepted, answer.reason.value) == (False, "REFUSED_CHANGE")
    assert word in answer.text
    assert scene.flag() == before


@pytest.mark.parametrize("given", [draft, rolled_back])
def test_before_and_after_an_attempt_everything_may_change(given: Callable[[], Scene]) -> None:
    scene = applied(
        lambda declared: replace(declared, steps=LADDER[1:], salt="pepper", variants=Variants("a", "b")), given
    )
    assert scene.decision().accepted
    assert (scene.flag().salt, scene.flag().candidate, scene.flag().weight_bp) == ("pepper", "b", 0)
    assert scene.changes()[-1] == scene.flag(), "and SDKs are told"
    scene.command("start")
    assert scene.where == "progressing half 5000"


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"env_prefix": "SHOP"}, True), ({"salt": "pepper"}, True), ({"owner": "others"}, False)],
)
def test_an_apply_writes_the_flag_anew_exactly_when_its_document_says_something_else(
    changed: dict[str, Any], told: bool
) -> None:
    scene = applied(lambda declared: replace(declared, **changed), draft)
    assert scene.decision().accepted
    assert len(scene.changes()) == 1 + told
    assert scene.changes()[-1] == scene.flag()


def test_an_archived_rollout_takes_no_spec() -> None:
    assert applied(lambda declared: declared, archived).decision().reason.value == "REFUSED_CHANGE"


def test_the_current_steps_weight_may_fall_and_its_bake_begins_anew() -> None:
    scene = applied(lambda declared: replace(declared, steps=(step("canary", 200), *LADDER[1:])))
    assert scene.where == "progressing canary 200"
    assert scene.decision().from_weight_bp == 500
    scene.seconds(9)
    assert scene.where == "progressing canary 200"


def test_a_changed_trigger_starts_its_hold_anew_and_an_unchanged_one_goes_on() -> None:
    held = trigger(above("error_rate", 0.05, over_s=10, hold_s=20))
    other = trigger(above("timeout_rate", 0.05, over_s=10, hold_s=20))
    scene = Scene(spec(step("only", 500, bake_s=600), triggers=(held, other)))
    scene.seconds(15, error=50, timeout=50)
    changed = replace(held, rule=above("error_rate", 0.04, over_s=10, hold_s=20))
    scene.apply(spec(step("only", 500, bake_s=600), triggers=(changed, other), revision="r2"))
    scene.seconds(7, error=50, timeout=50)
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].trigger == "timeout_rate"


def test_a_trigger_that_was_removed_or_changed_ends_its_alert() -> None:
    told = trigger(above("crash_count", 0, over_s=0), Action.NOTIFY)
    scene = Scene(spec(triggers=(told,)))
    scene.events(crash=1)
    scene.apply(spec(revision="r2"))
    assert scene.alerts() == [("crash_count", True), ("crash_count", False)]


def test_a_longer_window_is_kept_from_the_apply_on() -> None:
    scene = applied(lambda declared: replace(declared, triggers=(trigger(above("error_count", 5, over_s=300)),)))
    scene.seconds(4, error=1)
    scene.command("pause")
    scene.seconds(200, ok=1)
    scene.seconds(1, error=2)
    assert scene.where == "rolled_back - 0"
