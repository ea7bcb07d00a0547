"""Documents of somebody else on guardian.flags: adopted where they lower, written over where they raise (B5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.inputs import FlagReport
from guardian.core.outputs import Alert, Decision, FlagChange, FlagState, Output
from guardian.core.served import content_hash, everyone_gets, served_content
from guardian.core.snapshot import pack, unpack
from guardian.core.state import RolloutState
from guardian.core.words import Reason
from guardian.wire.inputs import decode_payload, encode_payload
from tests.core.scenes import FLAG, T0, Scene, spec

EPOCH = T0 // 1_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def report(scene: Scene, state: FlagState, *, content: dict[str, Any] | None = None, **changes: Any) -> list[Output]:
    """Fold what the watcher says of a document that renders this state."""
    content = served_content(state) if content is None else content
    ours = scene.flag()
    found = FlagReport(
        FLAG, state.epoch, state.version, content_hash(content), everyone_gets(content),
        expected_epoch=ours.epoch, expected_version=ours.version,
    )  # fmt: skip
    return scene.feed(replace(found, **changes))


def foreign(scene: Scene, ahead_ms: int = 1_000, **changes: Any) -> FlagState:
    """Ours, changed, with a newer version."""
    return replace(scene.flag(), **{"version": scene.t + ahead_ms, **changes})


def written(outputs: list[Output]) -> list[FlagState]:
    return [said.state for said in outputs if isinstance(said, FlagChange)]


def test_a_foreign_document_that_gives_the_candidate_to_nobody_is_adopted_as_a_kill_switch() -> None:
    scene = Scene(spec())
    found = foreign(scene, epoch=EPOCH, killed=True)
    (state,) = written(report(scene, found))
    assert (state.killed, state.weight_bp, state.epoch) == (True, 500, EPOCH)
    assert state.version > found.version, "readers take ours"
    decision = scene.decision()
    assert (decision.reason, decision.actor.name, decision.actor.authenticated) == (
        Reason.EMERGENCY, "emergency", False,
    )  # fmt: skip
    assert [(each.trigger, each.severity.value) for each in scene.all(Alert)] == [("emergency", "critical")]
    assert len(scene.rollbacks()) == 1
    assert scene.command("unkill", seen_turn=scene.status().turn).accepted
    assert (scene.flag().killed, scene.flag().epoch) == (False, EPOCH)


def test_control_under_another_name_is_adopted_and_the_candidate_under_control_s_name_is_not() -> None:
    scene = Scene(spec())
    plain = {"state": "ENABLED", "variants": {"old": False}, "defaultVariant": "old"}
    report(scene, foreign(scene), content=plain)
    assert scene.flag().killed
    other = Scene(spec())
    swapped = {"state": "ENABLED", "variants": {"on": False, "off": True}, "defaultVariant": "off"}
    report(other, foreign(other), content=swapped)
    assert (other.flag().killed, other.decision().reason) == (False, Reason.FOREIGN_DOCUMENT)


@pytest.mark.parametrize(
    "content",
    [
        {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"},
        {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
        {"state": "ENABLED", "variants": {"on": True, "off": False}},
        {"state": "ENABLED", "variants": {"off": 0}, "defaultVariant": "off"},
    ],
)
def test_B5_what_may_serve_the_candidate_is_written_over_under_a_raised_epoch(content: dict[str, Any]) -> None:
    scene = Scene(spec())
    before = scene.flag()
    (state,) = written(report(scene, foreign(scene), content=content))
    assert (state.epoch, state.version) == (scene.t // 1_000, scene.t)
    assert served_content(state) == served_content(before)
    assert [(each.trigger, each.severity.value) for each in scene.all(Alert)] == [("foreign_document", "critical")]
    assert scene.status().reason is not Reason.FOREIGN_DOCUMENT, "it is not why the rollout stands where it stands"


def test_B5_a_version_beyond_all_is_written_over_and_a_kill_is_obeyed_by_readers() -> None:
    scene = Scene(spec())
    (state,) = written(report(scene, replace(foreign(scene), version=2**63 - 1, weight_bp=10_000)))
    assert (state.epoch, state.version) == (EPOCH, scene.t)
    scene.t += 1_000
    scene.command("kill")
    assert (scene.flag().killed, scene.flag().version) == (True, scene.t)


def test_B5_an_epoch_beyond_all_is_not_followed() -> None:
    scene = Scene(spec())
    (state,) = written(report(scene, foreign(scene, epoch=2**62, weight_bp=10_000)))
    assert state.epoch == EPOCH
    (state,) = written(report(scene, foreign(scene, epoch=2**62, killed=True)))
    assert (state.killed, state.epoch) == (True, EPOCH)


def test_an_epoch_within_a_day_is_risen_above() -> None:
    scene = Scene(spec())
    (state,) = written(report(scene, foreign(scene, epoch=EPOCH + 86_000, weight_bp=10_000)))
    assert state.epoch == EPOCH + 86_001


def test_a_newer_pair_with_our_content_is_taken_over_without_an_alarm() -> None:
    scene = Scene(spec())
    found = foreign(scene, ahead_ms=HOUR_MS)
    (state,) = written(report(scene, found))
    assert (state.epoch, state.version) == (found.epoch, found.version + 1)
    assert scene.all(Alert) == []
    scene.command("kill")
    assert scene.flag().version > found.version, "or readers would not obey the kill for an hour"


def test_the_third_raise_in_ten_minutes_is_not_made_and_alarmed() -> None:
    scene = Scene(spec())
    writes = 0
    for _ in range(20):
        scene.t += 10_000
        found = foreign(scene, epoch=scene.flag().epoch + 1, weight_bp=10_000)
        writes += len(written(report(scene, found)))
    assert writes == 2
    assert [each.trigger for each in scene.all(Alert)] == ["foreign_document", "another_writer"]
    # It is tried again until it stands, as often as the limit allows.
    scene.t += 600_000
    assert len(written(report(scene, foreign(scene, epoch=scene.flag().epoch + 1, weight_bp=10_000)))) == 1
    scene.seconds(601)
    ours = ("foreign_document", "another_writer")
    assert [(each.trigger, each.active) for each in scene.all(Alert) if each.trigger in ours][2:] == [
        ("foreign_document", False), ("another_writer", False),
    ]  # fmt: skip


def test_our_own_kill_or_zero_is_always_asserted() -> None:
    scene = Scene(spec())
    scene.command("kill")
    for _ in range(10):
        scene.t += 3_000
        found = foreign(scene, epoch=scene.flag().epoch + 1, killed=False, weight_bp=10_000)
        (state,) = written(report(scene, found))
        assert (state.killed, state.epoch > found.epoch) == (True, True)
    assert all(each.trigger != "another_writer" for each in scene.all(Alert))


@pytest.mark.parametrize("word", ["kill", "rollback"])
def test_a_kill_beside_another_writer_rises_above_his_document_at_once(word: str) -> None:
    scene = Scene(spec())
    for _ in range(5):
        scene.t += 1_000
        report(scene, foreign(scene, epoch=scene.flag().epoch + 7, weight_bp=10_000))
    his = scene.flag().epoch + 7
    assert [each.trigger for each in scene.all(Alert)] == ["foreign_document", "another_writer"]
    scene.command(word)
    assert scene.flag().epoch > his
    assert len(written([said for said in scene.said if isinstance(said, FlagChange)])) == 5


def test_at_a_take_over_what_our_predecessor_wrote_raises_no_alarm() -> None:
    scene = Scene(spec())
    first = scene.flag()
    scene.t += 1_000
    scene.command("promote", force=True)
    # The watcher of the successor saw the predecessor's second document while it had folded the first only.
    outputs = report(scene, scene.flag(), expected_epoch=first.epoch, expected_version=first.version)
    # Repeated after a crash: the first one, on top for a moment, was looked at before the second was published.
    outputs += report(scene, first, expected_epoch=first.epoch, expected_version=first.version)
    assert [said for said in outputs if isinstance(said, Decision | Alert | FlagChange)] == []


def test_an_older_document_that_stays_on_top_is_healed_without_an_alarm_whatever_it_serves() -> None:
    scene = Scene(spec())
    first = scene.flag()
    scene.t += 1_000
    scene.command("kill")
    (state,) = written(report(scene, first))
    assert (state.killed, state.epoch, state.reason) == (True, 0, Reason.REASSERTED)
    scene.command("unkill")
    zero = replace(first, weight_bp=0)
    (state,) = written(report(scene, zero))
    assert not state.killed, "what readers do not obey is not adopted"
    assert scene.all(Alert) == []


def test_another_build_that_writes_the_same_pair_otherwise_is_healed_without_an_alarm() -> None:
    scene = Scene(spec())
    other = {
        **served_content(scene.flag()),
        "targeting": {"if": [{"<": [{"var": "guardian_split"}, 500]}, "on", "off"]},
    }
    (state,) = written(report(scene, scene.flag(), content=other))
    assert state.epoch == 0
    assert scene.all(Alert) == []


def test_a_missing_document_is_written_again_and_a_missing_status_too() -> None:
    scene = Scene(spec())
    ours = scene.flag()
    gone = FlagReport(FLAG, -1, -1, expected_epoch=ours.epoch, expected_version=ours.version)
    (state,) = written(scene.feed(gone))
    assert (state.version > ours.version, scene.decision().reason) == (True, Reason.REASSERTED)
    assert written(scene.feed(gone)) == [], "what was published after the look is not written twice"
    assert written(report(scene, scene.flag())) == []
    assert scene.feed(FlagReport("nobody", 0, 0)) == []


def test_what_is_remembered_survives_the_snapshot_and_the_report_the_log() -> None:
    scene = Scene(spec())
    report(scene, foreign(scene, weight_bp=10_000))
    restored = unpack(pack(scene.state()), RolloutState)
    assert restored.foreign == scene.state().foreign
    found = FlagReport(FLAG, 5, 2**63 - 1, "c", "e", "s", 1, 2)
    assert decode_payload(encode_payload(found)) == found
    assert msgspec.json.encode(restored.foreign)


FOUND = st.fixed_dictionaries(
    {
        "epoch": st.sampled_from([-1, 0, 1, EPOCH - 9, EPOCH, EPOCH + 50, EPOCH + 86_000, EPOCH + 10**6, 2**62]),
        "version": st.sampled_from([0, T0 - 1, T0 + 500, T0 + HOUR_MS, T0 + DAY_MS - 1, T0 + 2 * DAY_MS, 2**63 - 1]),
        "weight_bp": st.sampled_from([0, 500, 10_000]),
        "killed": st.booleans(),
    }
)
STEP = st.one_of(
    FOUND, st.sampled_from(["kill", "unkill", "rollback", "promote", "start", "resolve"]), st.integers(1, 900)
)


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=30))
def test_B5_our_kill_stands_above_everything_and_raises_are_bounded(steps: list[Any]) -> None:
    scene = Scene(spec())
    raises_ms: list[int] = []
    for step in steps:
        before = scene.flag()
        if isinstance(step, int):
            scene.t += step * 1_000
            continue
        if isinstance(step, str):
            scene.command(step)
        else:
            found = replace(before, **step)
            report(scene, found)
            if step["version"] <= scene.t + DAY_MS and step["epoch"] * 1_000 <= scene.t and found.weight_bp == 10_000:
                ours = scene.flag()
                if ours.killed and not found.killed:
                    assert (ours.epoch, ours.version) > (found.epoch, found.version)
            if scene.flag().epoch > before.epoch and not (before.killed or before.weight_bp == 0):
                raises_ms += [scene.t] if scene.decision().reason is Reason.FOREIGN_DOCUMENT else []
        after = scene.flag()
        assert (after.epoch, after.version) >= (before.epoch, before.version), "our own pair never falls"
        assert after.epoch * 1_000 <= scene.t + DAY_MS, "readers never refuse it"
    for first, third in zip(raises_ms, raises_ms[2:], strict=False):
        assert third - first >= 600_000
