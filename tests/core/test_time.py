"""Three times: log time never falls, the watermark never falls, and time in which nobody looked is worth nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.clock import BLIND_AFTER_MS, FRESH_LAG_MS, IMPLAUSIBLE_JUMP_MS, Clock
from guardian.core.inputs import Reassert, Source, SourceMark, Watermarks
from guardian.core.outputs import Alert, Beat, Decision, FlagChange, RolloutStatus
from guardian.core.progress import MAX_CREDIT_MS
from guardian.core.words import Action, Phase, Reason
from tests.core.scenes import DISORDER_MS, T0, TELEMETRY, Scene, above, spec, step, trigger

HOUR_MS = 3_600_000
SOURCES = [Source("telemetry", "id-1", i) for i in range(3)]


def marks(*watermarks: int, to_end: bool = False, expected: int = 3, process: str = "i-1") -> Watermarks:
    said = [SourceMark(source, at, 5, to_end) for source, at in zip(SOURCES, watermarks, strict=False)]
    return Watermarks(process, said, {"telemetry": expected}, DISORDER_MS)


def clock_at(log_ms: int) -> Clock:
    clock = Clock()
    clock.read_log(log_ms)
    return clock


# Log time


@given(st.lists(st.integers(T0 - HOUR_MS, T0 + 3 * HOUR_MS), max_size=40))
@settings(deadline=None)
def test_log_time_and_watermark_never_fall(stamps: list[int]) -> None:
    clock, log_ms, watermark_ms = Clock(), 0, 0
    for stamp in stamps:
        clock.read_log(stamp)
        clock.read_marks(marks(stamp, stamp - 1_000, stamp + 1_000))
        assert clock.log_ms >= log_ms
        assert clock.watermark_ms >= watermark_ms
        log_ms, watermark_ms = clock.log_ms, clock.watermark_ms


def test_an_implausible_leap_is_ignored_until_a_second_record_confirms_it() -> None:
    clock, far = clock_at(T0), T0 + IMPLAUSIBLE_JUMP_MS + 1
    assert clock.read_log(far) == T0
    assert clock.read_log(far + 5) == far + 5
    assert clock.leaps == 0


def test_a_leap_that_nothing_confirms_is_counted_and_does_no_harm() -> None:
    clock, far = clock_at(T0), T0 + 10 * HOUR_MS
    assert [clock.read_log(at) for at in (far, T0 + 1, far, T0 + 2)] == [T0, T0 + 1, T0 + 1, T0 + 2]
    assert clock.leaps == 2


def test_two_leaps_to_different_places_confirm_nothing() -> None:
    clock = clock_at(T0)
    assert clock.read_log(T0 + 10 * HOUR_MS) == T0
    assert clock.read_log(T0 + 20 * HOUR_MS) == T0
    assert clock.read_log(T0 + 20 * HOUR_MS + 1) == T0 + 20 * HOUR_MS + 1


def test_a_leap_up_to_the_bound_is_believed_at_once() -> None:
    assert clock_at(T0).read_log(T0 + IMPLAUSIBLE_JUMP_MS) == T0 + IMPLAUSIBLE_JUMP_MS


def half_an_hour(scene: Scene) -> None:
    for _ in range(6):
        scene.t += HOUR_MS // 12
        scene.tick()


def leap_alerts(scene: Scene) -> list[bool]:
    return [active for trigger, active in scene.alerts() if trigger == "log_time_leap"]


def test_refused_leaps_are_one_alert_that_ends_after_an_hour_without_one() -> None:
    scene = Scene(spec())
    for _ in range(3):
        for _ in range(5):
            scene.feed(None, log_ms=scene.t + 10 * HOUR_MS)
            scene.seconds(1)
        half_an_hour(scene)
    assert leap_alerts(scene) == [True]
    half_an_hour(scene)
    assert leap_alerts(scene) == [True, False]
    raised, ended = [alert for alert in scene.all(Alert) if alert.trigger == "log_time_leap"]
    assert (raised.id, raised.onset_ms) == (ended.id, ended.onset_ms)
    scene.feed(None, log_ms=scene.t + 10 * HOUR_MS)
    scene.seconds(1)
    assert leap_alerts(scene)[2:] == [True]


# The watermark


def test_the_watermark_is_the_least_of_all_expected_sources() -> None:
    clock = clock_at(T0)
    clock.read_marks(marks(T0 - 5_000, T0 - 9_000, T0 - 7_000))
    assert clock.watermark_ms == T0 - 9_000


def test_sources_may_be_reported_by_different_processes() -> None:
    clock = clock_at(T0)
    clock.read_marks(Watermarks("a", [SourceMark(SOURCES[0], T0 - 5, 0, False)], {"telemetry": 2}, 0))
    assert (clock.watermark_ms, clock.missing()) == (0, ["telemetry/1"])
    clock.read_marks(Watermarks("b", [SourceMark(SOURCES[1], T0 - 9, 0, False)], {"telemetry": 2}, 0))
    assert (clock.watermark_ms, clock.missing()) == (T0 - 9, [])


def test_a_source_read_to_its_end_does_not_hold_time_back() -> None:
    clock = clock_at(T0)
    clock.read_marks(marks(0, 0, 0, to_end=True))
    assert clock.watermark_ms == T0 - DISORDER_MS


def test_a_source_that_has_said_nothing_yet_does_hold_it_back() -> None:
    clock = clock_at(T0)
    clock.read_marks(marks(T0, 0, T0))
    assert clock.watermark_ms == 0
    assert clock.stale() == "no event time is known yet"


def test_a_source_that_is_expected_no_more_is_forgotten() -> None:
    clock = clock_at(T0)
    clock.read_marks(marks(T0 - 5_000, T0 - 9_000, T0 - 7_000))
    clock.read_log(T0 + 1_000)
    clock.read_marks(marks(T0 - 4_000, expected=1))
    assert clock.watermark_ms == T0 - 4_000


# Blindness


@pytest.mark.parametrize(
    ("silent_ms", "lag_ms", "stale"),
    [
        (0, 0, ""),
        (BLIND_AFTER_MS, 0, ""),
        (BLIND_AFTER_MS + 1, 0, "3 source partitions do not report (telemetry/0, telemetry/1, telemetry/2)"),
        (0, FRESH_LAG_MS + DISORDER_MS, ""),
        (0, FRESH_LAG_MS + DISORDER_MS + 1_000, "the watermark is 32s behind"),
    ],
)
def test_evidence_is_stale_when_a_source_is_silent_or_far_behind(silent_ms: int, lag_ms: int, stale: str) -> None:
    clock = clock_at(T0)
    clock.read_marks(marks(T0 - lag_ms, T0, T0))
    clock.read_log(T0 + silent_ms)
    assert clock.stale() == stale
    assert clock.lag_ms == (-1 if "report" in stale else lag_ms + silent_ms)


def test_before_any_report_guardian_is_blind() -> None:
    assert clock_at(T0).stale() == "no ingest process has reported yet"


def test_U1_the_beat_says_whether_guardian_sees_the_evidence() -> None:
    scene = Scene(spec())
    scene.seconds(12, ok=5)
    beat = scene.all(Beat)[-1]
    assert (beat.lag_ms >= 0, beat.blind) == (True, "")
    scene.seconds(60, blind=True)
    beat = scene.all(Beat)[-1]
    assert (beat.lag_ms, beat.blind) == (-1, "1 source partitions do not report (telemetry/0)")


def test_blind_time_is_no_bake_and_is_said() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=20), step("full", 10_000)))
    scene.seconds(5, ok=5)
    scene.seconds(60, blind=True)
    assert scene.where == "progressing canary 500"
    assert scene.decision().reason.value == "STALE_EVIDENCE"
    assert scene.status().lag_ms == -1
    baked_ms = scene.status().baked_ms
    assert baked_ms <= 5_000 + BLIND_AFTER_MS
    scene.seconds(1, ok=5)
    assert scene.status().reason.value == "BAKING"
    assert scene.status().baked_ms <= baked_ms + 1_000


def test_a_trigger_that_has_fired_is_shown_as_fired_while_guardian_is_blind() -> None:
    triggers = (trigger(above("crash_count", 0, over_s=0), Action.NOTIFY), trigger(above("error_rate", 0.5)))
    scene = Scene(spec(step("only", 500, bake_s=600), triggers=triggers))
    scene.seconds(5, ok=20, crash=1)
    scene.seconds(60, blind=True)
    assert scene.verdict("crash_count") == ("FAIL", "OVER_LIMIT")
    assert scene.verdict("error_rate") == ("INCONCLUSIVE", "STALE_EVIDENCE")


def test_triggers_that_act_on_arrival_act_while_guardian_is_blind() -> None:
    scene = Scene(spec(triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    scene.seconds(60, blind=True)
    scene.events(crash=1)
    assert scene.where == "rolled_back - 0"


# The bake


def test_a_big_jump_of_log_time_is_worth_little_bake() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=60), step("full", 10_000)))
    scene.seconds(3)
    scene.t += 9 * 60_000
    scene.seconds(1)
    assert scene.status().baked_ms == 2_000 + MAX_CREDIT_MS


def test_a_step_is_credited_from_its_beginning_and_not_from_the_tick_before() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=60), step("full", 10_000)), started=False)
    scene.seconds(3)
    scene.t += 4_000
    scene.command("start")
    scene.t += 100
    scene.marks()
    scene.tick()
    assert scene.baked_ms == 100


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_no_tick_is_worth_more_than_five_seconds_and_none_more_than_what_passed(gaps: list[int]) -> None:
    scene = Scene(spec(step("canary", 500, bake_s=100_000)))
    scene.tick()
    most_ms = 0
    for gap_ms in gaps:
        scene.t += gap_ms
        scene.marks()
        scene.tick()
        most_ms += min(gap_ms, MAX_CREDIT_MS)
        assert scene.baked_ms <= most_ms
    assert scene.baked_ms == most_ms


# What guardian says of itself and of its rollouts


def test_guardian_says_every_five_seconds_that_it_is_alive() -> None:
    scene = Scene()
    scene.seconds(60, blind=True)
    assert len(scene.all(Beat)) == 12


def test_a_long_quiet_rollout_is_decided_on_rarely() -> None:
    scene = Scene(spec(step("only", 1_000, bake_s=100_000)))
    scene.seconds(3_600, ok=1)
    reasons = scene.reasons()
    assert reasons.count("SUMMARY") == 11
    assert len(reasons) <= 11 + 4
    assert len(scene.changes()) == 2


def test_a_refused_promotion_is_decided_once_and_not_at_every_tick() -> None:
    scene = Scene(spec(step("canary", 500, bake_s=2), step("full", 10_000)))
    scene.seconds(1)
    scene.seconds(200, blind=True)
    assert scene.reasons().count("STALE_EVIDENCE") == 1


def test_ids_and_versions_are_unique_and_versions_grow() -> None:
    crash = trigger(above("crash_count", 0, over_s=0))
    scene = Scene(spec(flag="a", triggers=(crash,)), spec(flag="b"))
    for _ in range(6):
        scene.command("promote", "a")
        scene.command("kill", "a")
        scene.command("unkill", "a")
        scene.events(flag="a", crash=1)
        scene.command("start", "a")
    ids = [decision.id for decision in scene.all(Decision)]
    assert len(ids) == len(set(ids))
    versions = [state.version for state in scene.changes() if state.flag == "a"]
    assert versions == sorted(set(versions))
    assert len({state.change_id for state in scene.changes()}) == len(scene.changes())


def test_a_version_is_the_log_time_in_milliseconds_or_one_more_than_before() -> None:
    scene = Scene(spec())
    first, second = [state.version for state in scene.changes()]
    assert (first, second) == (T0, T0 + 1)
    scene.seconds(2)
    scene.command("kill")
    assert scene.flag().version == scene.t


def test_statuses_are_spread_so_that_many_rollouts_do_not_flood_the_topic() -> None:
    scene = Scene(*(spec(step("only", 500, bake_s=10_000), flag=f"f{i}") for i in range(400)))
    scene.seconds(2)
    seen = len(scene.all(RolloutStatus))
    at_once = []
    for _ in range(20):
        at_once.append(sum(isinstance(said, RolloutStatus) for said in scene.seconds(1)))
    assert max(at_once) <= 200
    assert len(scene.all(RolloutStatus)) - seen == pytest.approx(400 * 20 / 2, rel=0.3)
    assert {status.state.flag for status in scene.all(RolloutStatus)[seen:]} == {f"f{i}" for i in range(400)}


def test_a_status_says_what_is_missing_to_move_on() -> None:
    scene = Scene(spec(), started=False)
    assert scene.status().missing == ["a person to start it: guardian start pricing"]
    scene.command("start")
    scene.seconds(4)
    assert scene.status().missing == ["3s of the bake of 10s is over"]
    assert [each.state for each in scene.status().steps] == ["current", "ahead", "ahead"]
    scene.command("pause")
    assert scene.status().missing == ["a person to resume it: guardian resume pricing"]
    scene.command("rollback")
    assert scene.status().missing == ["a person to start a new attempt: guardian start pricing"]


# Reassert


def test_an_older_document_that_landed_is_answered_with_a_newer_one_of_the_same_content() -> None:
    scene = Scene(spec(step("only", 500, bake_s=600), triggers=(trigger(above("crash_count", 4, over_s=0)),)))
    scene.seconds(20, ok=1)
    scene.seconds(3, crash=1)
    before = scene.flag()
    outputs = scene.feed(Reassert("pricing", 0, before.version - 1))
    (change,) = [said.state for said in outputs if isinstance(said, FlagChange)]
    assert change.version > before.version
    assert (change.weight_bp, change.phase, change.reason.value) == (500, Phase.PROGRESSING, "REASSERTED")
    (decision,) = [said for said in outputs if isinstance(said, Decision)]
    assert decision.reason is Reason.REASSERTED
    assert f"version 0.{before.version - 1}" in decision.text
    scene.events(crash=1, version=before.version)
    assert scene.where == "progressing only 500"
    scene.events(crash=1, version=change.version)
    assert scene.where == "rolled_back - 0", "the content is the same: its evidence goes on, for every reader"


def test_a_document_that_is_not_there_is_written_again_and_the_decision_says_so() -> None:
    scene = Scene(spec())
    before = scene.flag()
    outputs = scene.feed(Reassert("pricing", -1, -1))
    assert scene.flag().version > before.version
    (decision,) = [said for said in outputs if isinstance(said, Decision)]
    assert (decision.reason, "had no document" in decision.text) == (Reason.REASSERTED, True)
    scene.seconds(1)
    assert scene.status().reason is not Reason.REASSERTED, "it is not why the rollout stands where it stands"


def test_a_status_that_is_not_there_is_written_again_although_the_rollout_is_quiet() -> None:
    scene = Scene(spec(), started=False)
    scene.seconds(3)
    seen, version = len(scene.all(RolloutStatus)), scene.status().state.version
    scene.seconds(3)
    assert len(scene.all(RolloutStatus)) == seen
    scene.feed(Reassert("pricing", 0, version))
    scene.seconds(1)
    assert len(scene.all(RolloutStatus)) == seen + 1
    assert scene.status().state.version == version


@pytest.mark.parametrize("version_ahead", [0, 1])
def test_a_document_that_is_not_older_needs_no_answer(version_ahead: int) -> None:
    scene = Scene(spec())
    assert scene.feed(Reassert("pricing", 0, scene.flag().version + version_ahead)) == []
    assert scene.feed(Reassert("pricing", 1, 0)) == []
    assert scene.feed(Reassert("nobody", 0, 0)) == []


def test_the_sources_end_is_judged_by_log_time() -> None:
    slow = trigger(above("error_rate", 0.05, over_s=5))
    scene = Scene(spec(step("only", 500, bake_s=600), triggers=(slow,)))
    scene.events(error=50, second=T0 // 1_000)
    scene.marks(to_end=False, watermark_ms=T0)
    assert scene.where == "progressing only 500"
    scene.t += 3_000
    scene.marks(source=TELEMETRY)
    assert scene.where == "rolled_back - 0"
