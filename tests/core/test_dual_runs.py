"""For whom both implementations run: the step's share while it lasts, nobody when nobody wants the candidate to run."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from guardian.core.inputs import Reassert
from guardian.core.outputs import FlagState
from guardian.core.rollout import Gate, RolloutSpec, Step
from guardian.core.snapshot import pack, unpack
from guardian.core.state import RolloutState
from guardian.core.words import Action
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.figures import cell, pass_s, shown, watching
from tests.core.scenes import Scene, bucket, spec, step

ALIKE = Gate("alike", parse_rule("mismatch_rate < 5%", Use.GATE), 100)
SHADOW = step("shadow", 0, bake_s=10, timeout_s=20, dual_run_bp=2_000, gates=(ALIKE,))
EARLY = step("early", 500, bake_s=10, dual_run_bp=1_000)
FULL = step("full", 10_000, bake_s=10, dual_run_bp=0)
DIFFERS = watching("mismatch_rate > 10%", Action.ROLLBACK, min_samples=50)


def shadowed(*steps: Step, **fields: object) -> RolloutSpec:
    return spec(*(steps or (SHADOW, EARLY, FULL)), **{"triggers": (DIFFERS,), **fields})


def compared(scene: Scene, n: int, mismatches: int) -> None:
    """So many dual runs of the last second, of calls that control served."""
    one = bucket(scene.t // 1_000 - 1)
    one.pairs = [n, mismatches, 0, 0, 0]
    scene.batch(cell("off", one, version=scene.flag().version))


def shares(states: list[FlagState]) -> list[tuple[str, int | None]]:
    """Step and share of each flag document."""
    return [(state.step or "-", state.dual_run_bp) for state in states]


# Where it comes from and where it goes


def test_the_share_comes_with_its_step_and_goes_with_it() -> None:
    scene = Scene(shadowed(), started=False)
    scene.command("start")
    scene.command("promote", force=True)
    scene.command("promote", force=True)
    assert shares(scene.changes()) == [("-", 0), ("shadow", 2_000), ("early", 1_000), ("full", 0)]


def test_a_pause_keeps_the_step_and_its_share_without_a_new_document() -> None:
    scene = Scene(shadowed())
    documents = len(scene.changes())
    scene.command("pause")
    assert (len(scene.changes()), scene.flag().dual_run_bp) == (documents, 2_000)
    pass_s(scene, 2)
    compared(scene, 100, 30)
    pass_s(scene, 3)
    assert scene.where == "rolled_back - 0", "the triggers watch on what is compared in the pause"


@pytest.mark.parametrize("steps", [(SHADOW, EARLY, FULL), (step("half", 5_000), FULL)], ids=["declared", "not said"])
def test_who_was_killed_rolled_back_or_archived_runs_nothing_twice(steps: tuple[Step, ...]) -> None:
    said = steps[0].dual_run_bp
    scene = Scene(shadowed(*steps))
    scene.command("kill")
    assert scene.flag().dual_run_bp == 0
    scene.command("unkill")
    assert scene.flag().dual_run_bp == said
    scene.command("rollback")
    assert (scene.where, scene.flag().dual_run_bp) == ("rolled_back - 0", 0)
    scene.command("start")
    assert scene.flag().dual_run_bp == said
    scene.command("rollback")
    scene.command("archive")
    assert scene.flag().dual_run_bp == 0


def test_a_rollback_to_a_step_above_zero_serves_its_weight_and_compares_nobody_until_it_is_tried_anew() -> None:
    scene = Scene(shadowed(step("early", 500, dual_run_bp=1_000), step("half", 5_000, dual_run_bp=1_000)))
    scene.command("promote", force=True)
    scene.command("rollback", to="early")
    assert (scene.where, scene.flag().dual_run_bp) == ("rolled_back early 500", 0)
    scene.command("start")
    assert (scene.where, scene.flag().dual_run_bp) == ("progressing early 500", 1_000)


def test_completion_ends_it_by_a_document_that_leaves_the_evidence_as_it_is() -> None:
    last = step("full", 10_000, bake_s=10, dual_run_bp=1_000)
    scene = Scene(shadowed(last, triggers=(watching("error_rate > 50%"),)))
    pass_s(scene, 12, on={"ok": 10})
    assert scene.where == "completed full 10000"
    assert shares(scene.changes())[-2:] == [("full", 1_000), ("full", 0)]
    assert scene.decision().version == scene.changes()[-1].version
    assert shown(scene).evidence.n >= 100, "the triggers watch on"
    assert scene.state().content_version == scene.changes()[-2].version, "who still has the old one counts"


def test_completion_writes_no_document_when_the_last_step_compares_nobody_or_says_nothing() -> None:
    for last in (FULL, step("full", 10_000)):
        scene = Scene(shadowed(last))
        documents = len(scene.changes())
        pass_s(scene, 12, on={"ok": 10})
        assert (scene.where, len(scene.changes())) == ("completed full 10000", documents)
    assert scene.flag().dual_run_bp is None, "then it is the application's own affair"


def test_an_apply_changes_the_share_at_once_and_leaves_the_evidence_as_it_is() -> None:
    scene = Scene(shadowed())
    pass_s(scene, 3)
    compared(scene, 60, 1)
    more = step("shadow", 0, bake_s=10, timeout_s=20, dual_run_bp=10_000, gates=(ALIKE,))
    assert scene.apply(shadowed(more, EARLY, FULL, revision="r2")).accepted
    assert shares(scene.changes())[-2:] == [("shadow", 2_000), ("shadow", 10_000)]
    pass_s(scene, 2)
    assert shown(scene).evidence.n == 60
    documents = len(scene.changes())
    scene.apply(shadowed(more, EARLY, step("full", 10_000, dual_run_bp=500), revision="r3"))
    assert len(scene.changes()) == documents, "a later step's share moves nothing yet"


def test_a_document_that_was_overtaken_is_asserted_with_its_share() -> None:
    scene = Scene(shadowed())
    scene.feed(Reassert(scene.flag().flag, 0, 1))
    assert shares(scene.changes())[-1] == ("shadow", 2_000)


# What it leads to


def test_a_step_of_zero_is_rolled_back_by_what_differs() -> None:
    scene = Scene(shadowed())
    pass_s(scene, 2)
    compared(scene, 100, 30)
    pass_s(scene, 3)
    assert scene.where == "rolled_back - 0"
    (rollback,) = scene.rollbacks()
    assert (rollback.from_step, rollback.from_weight_bp, rollback.from_dual_run_bp) == ("shadow", 0, 2_000)
    assert (rollback.to_weight_bp, rollback.to_dual_run_bp) == (0, 0)
    decision = scene.decision()
    assert (decision.reason.value, decision.from_dual_run_bp, decision.dual_run_bp) == ("TRIGGER_FIRED", 2_000, 0)
    assert decision.text == "it: mismatch_rate 30% > 10% over 1m (n=100)"


def test_a_step_of_zero_goes_on_when_enough_is_alike() -> None:
    scene = Scene(shadowed())
    pass_s(scene, 12)
    gate, exposure, guard = scene.status().missing
    assert gate.startswith("gate alike: mismatch_rate: no data to compare with 5%; no samples come")
    assert exposure == "0 of 20 dual runs in this step"
    assert guard == "trigger it cannot judge: mismatch_rate: no data to judge by yet"
    compared(scene, 99, 0)
    pass_s(scene, 2)
    assert scene.where == "progressing shadow 0"
    compared(scene, 1, 0)
    pass_s(scene, 2)
    assert scene.where == "progressing early 500"
    assert [each.dual_run_bp for each in scene.status().steps] == [2_000, 1_000, 0]


def test_a_step_of_zero_whose_gate_is_never_passed_can_be_rolled_back_too() -> None:
    strict = step("shadow", 0, bake_s=5, timeout_s=5, dual_run_bp=2_000, gates=(ALIKE,), on_gate_fail=Action.ROLLBACK)
    scene = Scene(shadowed(strict, EARLY))
    pass_s(scene, 15)
    assert (scene.where, scene.flag().dual_run_bp) == ("rolled_back - 0", 0)
    assert scene.decision().reason.value == "GATE_TIMED_OUT"


def test_a_step_of_zero_that_compares_nobody_has_nothing_to_take_back() -> None:
    learning = step("learn", 0, bake_s=600, dual_run_bp=0)
    scene = Scene(shadowed(learning, EARLY, triggers=(watching("critical bug reported", Action.ROLLBACK),)))
    scene.command("bug")
    assert scene.where == "progressing learn 0"


def test_a_step_of_zero_in_which_both_run_has_its_five_minute_record() -> None:
    scene = Scene(shadowed(step("shadow", 0, bake_s=3_600, dual_run_bp=2_000), EARLY))
    pass_s(scene, 310)
    assert scene.reasons().count("SUMMARY") == 1


# What an older version wrote


def test_a_snapshot_of_before_dual_runs_is_read() -> None:
    scene = Scene(shadowed(step("half", 5_000), step("full", 10_000)))
    pass_s(scene, 3, on={"ok": 100})
    fields = msgspec.to_builtins(scene.state(), builtin_types=(bytes,))
    for each in fields["spec"]["steps"]:
        del each["dual_run_bp"]
    old = pack(scene.state())[:1] + zlib.compress(msgspec.msgpack.encode(fields))
    read = unpack(old, RolloutState)
    assert read == scene.state()
    assert read.flag_state().dual_run_bp is None
