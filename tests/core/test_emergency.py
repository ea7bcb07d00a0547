"""The emergency path in the fold: an epoch is adopted with one document, and only by what lowers exposure (B10)."""

from __future__ import annotations

import pytest

from guardian.core.inputs import Actor, Command
from guardian.core.outputs import Alert, Decision, FlagChange, FlagState
from guardian.core.words import Reason
from tests.core.scenes import COMMANDS, FLAG, T0, Scene, document_of, spec

EPOCH = T0 // 1_000
DAY_S = 86_400


def changes_of(scene: Scene, *given: tuple[str, dict[str, object]]) -> list[FlagState]:
    """The flag documents that these commands make."""
    seen = len(scene.said)
    for word, fields in given:
        scene.command(word, **fields)
    return [said.state for said in scene.said[seen:] if isinstance(said, FlagChange)]


@pytest.mark.parametrize("word", ["kill", "rollback"])
def test_an_emergency_command_is_adopted_with_exactly_one_document(word: str) -> None:
    scene = Scene(spec())
    (state,) = changes_of(scene, (word, {"epoch": EPOCH + 5}))
    assert (state.epoch, state.version) == (EPOCH + 5, scene.t)
    assert (state.killed, state.weight_bp) == ((True, 500) if word == "kill" else (False, 0))
    (alert,) = scene.all(Alert)
    assert (alert.trigger, alert.severity.value, alert.active) == ("emergency", "critical", True)
    assert "ann: because" in alert.text


def test_what_it_finds_done_already_is_written_once_under_the_new_epoch_and_the_answer_names_it() -> None:
    scene = Scene(spec())
    scene.command("kill")
    (state,) = changes_of(scene, ("kill", {"epoch": EPOCH + 5}))
    assert (state.killed, state.epoch, state.reason) == (True, EPOCH + 5, Reason.EMERGENCY)
    answer = scene.decision()
    assert (answer.reason, answer.epoch, answer.version) == (Reason.UNCHANGED, state.epoch, state.version)
    assert answer.change_id == state.change_id


def test_versions_start_at_log_time_under_a_new_epoch_whatever_stood_before() -> None:
    scene = Scene(spec())
    scene.state().version = 2**62
    (state,) = changes_of(scene, ("kill", {"epoch": EPOCH}))
    assert (state.epoch, state.version) == (EPOCH, scene.t)


def test_an_archived_rollout_that_serves_everybody_is_killed_where_it_cannot_be_rolled_back() -> None:
    scene = Scene(spec())
    for _ in range(3):
        scene.command("promote", force=True)
    scene.command("archive")
    assert scene.where.startswith("archived")
    (state,) = changes_of(scene, ("rollback", {"epoch": EPOCH}))
    assert (state.killed, state.epoch) == (True, EPOCH)
    assert scene.decision().accepted


def test_the_flag_is_freed_afterwards_and_the_alert_is_over() -> None:
    scene = Scene(spec())
    scene.command("kill", epoch=EPOCH)
    assert scene.command("unkill").accepted
    assert (scene.flag().killed, scene.flag().epoch) == (False, EPOCH)
    scene.seconds(1)
    assert scene.alerts() == [("emergency", True), ("emergency", False)]


@pytest.mark.parametrize(
    ("word", "fields"),
    [("pause", {}), ("promote", {}), ("unkill", {}), ("resume", {}), ("rollback", {"to": "previous"}), ("start", {})],
)
def test_B10_an_epoch_on_any_other_command_is_refused(word: str, fields: dict[str, str]) -> None:
    scene = Scene(spec())
    before = scene.flag()
    answer = scene.command(word, epoch=EPOCH, **fields)
    assert (answer.accepted, answer.reason) == (False, Reason.REFUSED_EPOCH)
    assert scene.flag() == before


def test_B10_an_apply_declares_and_changes_nothing_with_an_epoch() -> None:
    scene = Scene()
    document = document_of(spec())
    assert scene.command("apply", spec=document, epoch=EPOCH).reason is Reason.REFUSED_EPOCH
    assert scene.engine.flags() == []
    scene.apply(spec())
    changed = document_of(spec(revision="r2"))
    assert scene.command("apply", spec=changed, epoch=EPOCH).reason is Reason.REFUSED_EPOCH
    assert scene.flag().epoch == 0


def test_B10_an_epoch_beyond_a_day_is_not_adopted_and_the_kill_is_obeyed_all_the_same() -> None:
    scene = Scene(spec())
    (state,) = changes_of(scene, ("kill", {"epoch": EPOCH + DAY_S + 1}))
    assert (state.killed, state.epoch) == (True, 0)
    scene.command("unkill")
    (state,) = changes_of(scene, ("kill", {"epoch": EPOCH + DAY_S}))
    assert (state.killed, state.epoch) == (True, EPOCH + DAY_S)


def test_an_older_epoch_changes_nothing_but_what_the_command_says() -> None:
    scene = Scene(spec())
    scene.command("kill", epoch=EPOCH)
    (state,) = changes_of(scene, ("unkill", {}))
    (killed,) = changes_of(scene, ("kill", {"epoch": EPOCH - 100}))
    assert killed.epoch == EPOCH
    assert killed.version > state.version


def test_an_emergency_for_all_reaches_every_flag_of_the_partition() -> None:
    scene = Scene(spec(), spec(flag="search"))
    given = Command("all", "kill", "*", Actor("ann", "emergency"), "night", epoch=EPOCH)
    scene.batch(commands=[given], source=COMMANDS)
    assert [(state.killed, state.epoch) for state in scene.engine.flags()] == [(True, EPOCH)] * 2
    decisions = [said for said in scene.all(Decision) if said.command_id == "all" and said.flag == FLAG]
    assert [one.actor.via for one in decisions] == ["emergency"]
