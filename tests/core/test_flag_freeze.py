"""The fold is total: what guardian's own code fails on freezes one flag or leaves out one record, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core import engine as engine_module
from guardian.core.engine import Engine
from guardian.core.inputs import Batch, Cell, FreezeFlag, Gauge, Heartbeat, Payload, Watermarks
from guardian.core.outputs import Alert, Decision, FlagFrozen, InputLeftOut, Output, RolloutStatus
from guardian.core.rollout import MEMORY, Op, Rule, Unit
from guardian.core.snapshot import MAX_RECORD_BYTES
from guardian.core.text import (
    bytes_text,
    count_text,
    duration_text,
    latency_text,
    number_text,
    rate_text,
    ratio_text,
    value_text,
    weight_text,
)
from guardian.core.words import Phase, Reason, Severity
from tests.core.scenes import FLAG, TELEMETRY, Scene, above, bucket, parse, spec, step, trigger

OTHER = "search"
TRIGGERS = (trigger(above("crash_count", 0, over_s=0)),)


class Broken(Exception):
    """What stands for a fault that nobody has found yet."""


def scene() -> Scene:
    """Two rollouts in one partition, both on their way at 5 %."""
    return Scene(*(spec(step("canary", 500, bake_s=600), step("full", 10_000), flag=flag, triggers=TRIGGERS)
                   for flag in (FLAG, OTHER)))  # fmt: skip


def breaks(monkeypatch: pytest.MonkeyPatch, name: str, *, flag: str = FLAG, after: bool = False) -> None:
    """Let one of the fold's functions fail for one flag, before or after it has changed the state."""
    whole: Callable[..., Any] = getattr(engine_module, name)

    def broken(state: Any, *args: Any) -> Any:
        if state.flag == flag and after:
            whole(state, *args)
        if state.flag == flag:
            raise Broken("a fault")
        return whole(state, *args)

    monkeypatch.setattr(engine_module, name, broken)


def crash(scene: Scene, flag: str) -> list[Output]:
    return scene.events(flag=flag, crash=1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "half way"])
@pytest.mark.parametrize(
    "name", ["take_cell", "judge_arrivals", "judge_event_times", "progress", "summarise", "watch_share", "status_of"]
)
def test_B1_a_fault_on_one_flag_freezes_it_and_every_other_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str, after: bool
) -> None:
    there = scene()
    breaks(monkeypatch, name, after=after)
    there.seconds(2, ok=5)
    frozen, decision = there.all(FlagFrozen)[0], next(d for d in there.all(Decision) if d.reason is Reason.FROZEN)
    assert (frozen.flag, "Broken: a fault" in frozen.error) == (FLAG, True)
    assert len(there.all(FlagFrozen)) == 1, "once frozen it is not asked again"
    assert (decision.flag, there.flag(FLAG).weight_bp) == (FLAG, 500)
    alert = next(a for a in there.all(Alert) if a.trigger == "flag_frozen")
    assert (alert.flag, alert.active, alert.severity) == (FLAG, True, Severity.CRITICAL)
    assert "5% still get on" in alert.text
    monkeypatch.undo()
    crash(there, OTHER)
    assert there.flag(OTHER).weight_bp == 0, "the other flag is judged as before"
    assert crash(there, FLAG) == [], "a frozen flag judges nothing"


def test_a_fault_leaves_no_half_change_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    before = there.flag(FLAG)
    # The crash rolls the flag back, and then the code fails: neither the rollback nor its document may remain.
    breaks(monkeypatch, "judge_arrivals", after=True)
    outputs = crash(there, FLAG)
    assert there.flag(FLAG) == before
    assert next(each for each in outputs if isinstance(each, Decision)).reason is Reason.FROZEN
    assert not there.rollbacks()


def test_where_the_installation_says_so_a_fault_restores_control(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    there.engine._restore_control = True
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    state = there.flag(FLAG)
    assert (state.weight_bp, state.phase, state.reason) == (0, Phase.ROLLED_BACK, Reason.FROZEN)
    assert there.rollbacks()[-1].reason is Reason.FROZEN


@pytest.mark.parametrize(
    ("word", "accepted", "where"),
    [
        ("kill", True, "progressing canary 500"),
        ("rollback", True, "rolled_back - 0"),
        ("promote", False, "progressing canary 500"),
        ("pause", False, "progressing canary 500"),
        ("unkill", False, "progressing canary 500"),
        ("bug", False, "progressing canary 500"),
    ],
)
def test_a_frozen_flag_obeys_the_brake_and_nothing_that_needs_evidence(
    monkeypatch: pytest.MonkeyPatch, word: str, accepted: bool, where: str
) -> None:
    there = scene()
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    answer = there.command(word)
    assert (answer.accepted, there.where) == (accepted, where)
    assert there.flag().killed is (word == "kill")
    if not accepted:
        assert (answer.reason, "unfreeze" in answer.text) == (Reason.REFUSED_FROZEN, True)
    assert there.status().reason is Reason.FROZEN


def test_the_brake_is_obeyed_by_a_flag_whose_command_code_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    breaks(monkeypatch, "obey")
    answer = there.command("kill")
    assert (answer.accepted, answer.reason, there.flag().killed) == (True, Reason.KILLED, True)


def test_a_spec_that_guardians_code_fails_on_is_refused_and_freezes_nothing() -> None:
    def fails(document: dict[str, Any]) -> Any:
        if document.get("revision") == "r2":
            raise Broken("a fault")
        return parse(document)

    there = scene()
    there.engine._parse_spec = fails
    answer = there.apply(spec(revision="r2"))
    assert (answer.accepted, answer.reason) == (False, Reason.REFUSED_SPEC)
    assert "Broken: a fault" in answer.text
    assert there.apply(spec(revision="r2", flag="new")).reason is Reason.REFUSED_SPEC
    assert not there.all(FlagFrozen)


def test_a_lifted_freeze_begins_new_evidence_and_ends_the_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    monkeypatch.undo()
    assert there.command("unfreeze").accepted
    assert ("flag_frozen", False) in there.alerts()
    there.seconds(1, ok=3)
    shown = [each for each in there.all(RolloutStatus) if each.state.flag == FLAG][-1]
    assert shown.figures["on"].n == 3
    crash(there, FLAG)
    assert there.where == "rolled_back - 0"


def replayed(log: list[Any], engine: Engine) -> list[Output]:
    return [output for record in log for output in engine.fold(record)]


def test_a_build_whose_code_does_not_fail_agrees_once_the_log_says_that_the_flag_is_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = scene()
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    frozen = there.all(FlagFrozen)[0]
    there.feed(FreezeFlag(frozen.flag, frozen.offset, frozen.build, frozen.error))
    there.seconds(3)
    monkeypatch.undo()
    other = Engine(0, parse)
    replayed(there.log, other)
    assert [state.flag for state in other.flags()] == [FLAG, OTHER]
    assert other._rollouts[FLAG].freeze is not None
    assert other.flags() == there.engine.flags()


def test_a_freeze_that_the_log_tells_twice_does_not_undo_the_person_who_lifted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = scene()
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    monkeypatch.undo()
    frozen = there.all(FlagFrozen)[0]
    told = FreezeFlag(frozen.flag, frozen.offset, frozen.build, frozen.error)
    there.feed(told)
    there.command("unfreeze")
    there.feed(told)
    assert there.state().freeze is None


def test_a_frozen_flag_survives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    breaks(monkeypatch, "take_cell")
    there.events(ok=1)
    there.command("kill")
    captured = there.engine.capture()
    restored = Engine.restore(
        0,
        parse,
        (captured.next_offset, captured.mark),
        {each.flag: (each.offset, each.data) for each in captured.rollouts},
    )
    assert restored.flags() == there.engine.flags()
    assert restored._rollouts[FLAG].freeze == there.state().freeze


def test_B1_a_record_that_fails_outside_of_any_flag_is_left_out_and_evidence_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = scene()
    there.seconds(3, ok=5)

    def broken(*args: Any) -> Any:
        raise Broken("a fault")

    monkeypatch.setattr(engine_module, "is_next", broken)
    outputs = there.events(ok=1)
    monkeypatch.undo()
    left_out = next(each for each in outputs if isinstance(each, InputLeftOut))
    assert (left_out.offset, "Broken" in left_out.error) == (len(there.log) - 1, True)
    assert ("input_left_out", True) in there.alerts()
    assert not there.all(FlagFrozen)
    crash(there, FLAG)
    assert there.flag(FLAG).weight_bp == 0, "protection goes on with the next record"


def test_a_state_that_cannot_be_written_down_is_frozen_through_the_log() -> None:
    there = scene()
    there.state().totals["on"] = 2**70
    captured = there.engine.capture()
    assert [each.flag for each in captured.failed] == [FLAG]
    assert captured.rollouts == []
    failed = captured.failed[0]
    there.feed(FreezeFlag(failed.flag, failed.offset, failed.build, failed.error))
    again = there.engine.capture()
    assert (again.failed, sorted(each.flag for each in again.rollouts)) == ([], sorted([FLAG, OTHER]))


def test_a_state_that_outgrows_a_record_is_frozen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene()
    monkeypatch.setattr(engine_module, "MAX_RECORD_BYTES", 100)
    captured = there.engine.capture()
    assert {each.flag for each in captured.failed} == {FLAG, OTHER}
    assert all("bytes" in each.error for each in captured.failed)
    assert MAX_RECORD_BYTES == 1_000_000


# Figures and texts

ANY_NUMBER = st.one_of(st.floats(), st.integers(), st.integers(-(10**400), 10**400))


@given(ANY_NUMBER)
def test_B1_every_number_has_a_text(number: float) -> None:
    texts = [
        text(number)
        for text in (bytes_text, count_text, duration_text, latency_text, number_text, rate_text, ratio_text)
    ]
    texts.append(weight_text(number))  # type: ignore[arg-type]
    texts += [value_text(unit, number) for unit in Unit]
    assert all(0 < len(text) <= 32 for text in texts)


def test_texts_of_plain_numbers_are_as_before() -> None:
    assert (bytes_text(-5_000), number_text(-0.00314), duration_text(-90_000)) == ("-5kB", "-0.00314", "-1m30s")
    assert (number_text(math.inf), rate_text(math.nan), bytes_text(1.7e308)) == ("infinity", "NaN of 1", "1.7e+308B")


MEMORY_RULE = Rule("memory > 1GB over 1m", MEMORY, Op.ABOVE, 1e9, 60_000)


@pytest.mark.parametrize("figures", [[-5_000.0], [1.7e308, 1.7e308], [1e308] * 5 + [-1e308]])
def test_B1_gauges_of_any_size_are_judged_and_stop_nothing(figures: list[float]) -> None:
    there = Scene(spec(triggers=(trigger(MEMORY_RULE),)), spec(flag=OTHER, triggers=TRIGGERS))
    for index, figure in enumerate(figures):
        there.t += 1_000
        beat = Heartbeat("shop", str(index), there.t, {FLAG: there.flag().version}, 0, 0, {"memory_bytes": figure})
        gauge = Gauge(FLAG, "shop", str(index), there.t, {"memory_bytes": figure})
        there.feed(Batch(TELEMETRY, index * 10, index * 10 + 10, heartbeats=[beat], gauges=[gauge]))
        there.marks()
        there.tick()
    there.ends[TELEMETRY] = 10 * len(figures)
    assert there.all(RolloutStatus)
    assert not there.all(FlagFrozen)
    crash(there, OTHER)
    assert there.flag(OTHER).weight_bp == 0


def test_nothing_else_of_the_log_is_disturbed_by_a_strange_watermark() -> None:
    there = scene()
    strange: Payload = Watermarks("x", [], {"telemetry": 1, "": 3}, -5)
    there.feed(strange)
    there.feed(Batch(TELEMETRY, 0, 10, [Cell("unknown", 0, "on", "split", buckets=[bucket(1, ok=1)])]))
    there.seconds(2, ok=1)
    assert not there.all(InputLeftOut)
