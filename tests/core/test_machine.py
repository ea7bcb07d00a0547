"""The machine: every cell of its table, and what no sequence of commands and evidence can make it do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.inputs import Payload, Tick
from guardian.core.machine import TABLE, WEIGHT_MOVES, diagram, legal_signals, next_phase
from guardian.core.outputs import Decision, FlagChange, Output
from guardian.core.words import Action, Phase, Reason, Signal
from guardian.errors import IllegalTransition
from tests.core.scenes import Scene, above, below, gate, spec, step, trigger

CELLS = list(itertools.product(Phase, Signal))


@pytest.mark.parametrize(("phase", "signal"), CELLS, ids=[f"{phase}-{signal}" for phase, signal in CELLS])
def test_a_cell_leads_where_the_table_says_and_any_other_is_illegal(phase: Phase, signal: Signal) -> None:
    if (phase, signal) in TABLE:
        assert next_phase(phase, signal) is TABLE[phase, signal]
        assert signal in legal_signals(phase)
        return
    with pytest.raises(IllegalTransition) as raised:
        next_phase(phase, signal)
    assert raised.value.phase == phase
    assert signal not in legal_signals(phase)


def test_every_signal_has_a_direction_for_the_weight() -> None:
    assert set(WEIGHT_MOVES) == set(Signal)


def test_every_phase_that_serves_the_candidate_can_be_rolled_back() -> None:
    serving = set(Phase) - {Phase.DRAFT, Phase.ARCHIVED}
    assert {phase for phase, signal in TABLE if signal is Signal.ROLL_BACK} == serving


def test_archived_is_the_end_of_a_rollout_and_only_another_one_follows() -> None:
    assert legal_signals(Phase.ARCHIVED) == [Signal.DECLARE]


def test_every_phase_can_be_reached() -> None:
    assert {*TABLE.values(), Phase.DRAFT} == set(Phase)


def test_the_diagram_has_a_line_for_every_cell() -> None:
    assert len(diagram().splitlines()) == len(TABLE) + 3


# What no sequence can do

GUARDED = spec(
    step("canary", 500, bake_s=3, gates=(gate(below("error_rate", 0.2)),), timeout_s=8),
    step("half", 5_000, bake_s=3, gates=(gate(below("error_rate", 0.2)),), timeout_s=8, on_gate_fail=Action.ROLLBACK),
    step("full", 10_000, bake_s=3),
    triggers=(
        trigger(above("error_rate", 0.5, over_s=5, hold_s=2)),
        trigger(above("crash_count", 3, over_s=0)),
        trigger(above("timeout_count", 5, over_s=10), Action.PAUSE),
    ),
)
COMMANDS = ["start", "promote", "pause", "resume", "rollback", "kill", "unkill", "resolve", "archive"]
commands = st.tuples(st.just("command"), st.sampled_from([*COMMANDS[:-1] * 3, "archive"]))
targets = st.tuples(st.just("rollback"), st.sampled_from(["previous", "zero", "canary", "half", "nowhere"]))
evidence = st.tuples(
    st.just("seconds"),
    st.fixed_dictionaries(
        {"count": st.integers(1, 4)},
        optional={
            "ok": st.integers(1, 40),
            "error": st.integers(0, 60),
            "crash": st.integers(0, 2),
            "timeout": st.integers(0, 4),
            "blind": st.booleans(),
        },
    ),
)
blind_spell = st.tuples(st.just("seconds"), st.just({"count": 13, "blind": True}))
gap = st.tuples(st.just("jump"), st.integers(1, 5))
lives = st.lists(st.one_of(commands, targets, evidence, evidence, evidence, blind_spell, gap), max_size=30)


def live(scene: Scene, event: tuple[str, Any]) -> None:
    kind, what = event
    if kind == "command":
        scene.command(what)
    elif kind == "rollback":
        scene.command("rollback", to=what)
    elif kind == "jump":
        scene.said += scene.engine.jump(scene.engine.next_offset + what, scene.t)
    else:
        scene.seconds(**what)


UPWARDS = {Reason.STARTED, Reason.GATES_PASSED, Reason.BAKE_OVER, Reason.OPERATOR}
DOWNWARDS = {Reason.TRIGGER_FIRED, Reason.GATE_TIMED_OUT, Reason.OPERATOR}


@given(lives)
@settings(deadline=None, max_examples=60)
def test_the_weight_moves_only_with_a_signal_of_the_table_and_only_its_way(events: list[tuple[str, Any]]) -> None:
    scene = Scene(GUARDED)
    for event in events:
        live(scene, event)
    weight_bp = 0
    for said in scene.said:
        if isinstance(said, Decision):
            assert said.from_weight_bp == weight_bp, "no weight changes without a decision"
            weight_bp = said.weight_bp
            moved = said.weight_bp - said.from_weight_bp
            ways = {WEIGHT_MOVES[signal] for signal in legal_signals(said.from_phase)
                    if next_phase(said.from_phase, signal) is said.phase}  # fmt: skip
            assert moved == 0 or (moved > 0) - (moved < 0) in ways
            assert moved <= 0 or said.reason in UPWARDS
            assert moved >= 0 or said.reason in DOWNWARDS
        if isinstance(said, FlagChange):
            assert said.state.weight_bp in {0, 500, 5_000, 10_000}
    assert weight_bp == scene.flag().weight_bp


class WatchedScene(Scene):
    """A scene that looks at the state before every record that promotes."""

    def feed(self, payload: Payload | None, *, log_ms: int | None = None) -> list[Output]:
        before = [self.state()] if self.engine.rollout_count else []
        killed, phase = [state.killed for state in before], [state.phase for state in before]
        holding = [name for state in before for name, watch in state.watches.items() if watch.hold.crossed]
        outputs = super().feed(payload, log_ms=log_ms)
        for said in outputs:
            if isinstance(said, Decision) and said.reason in (Reason.GATES_PASSED, Reason.BAKE_OVER):
                assert isinstance(payload, Tick), "only time that passes promotes"
                assert (killed, phase, holding) == ([False], [Phase.PROGRESSING], [])
                assert self.engine._stale() == ""
        return outputs


@given(lives)
@settings(deadline=None, max_examples=60)
def test_no_promotion_is_made_while_stale_killed_paused_or_holding(events: list[tuple[str, Any]]) -> None:
    scene = WatchedScene(GUARDED)
    for event in events:
        live(scene, event)


def test_the_promotions_that_these_lives_watch_do_happen() -> None:
    scene = WatchedScene(GUARDED)
    scene.seconds(20, ok=40)
    assert scene.where == "completed full 10000"


@given(lives)
@settings(deadline=None, max_examples=40)
def test_nothing_beats_the_kill_switch(events: list[tuple[str, Any]]) -> None:
    scene = Scene(GUARDED)
    scene.command("kill")
    seen = len(scene.said)
    for event in events:
        if event != ("command", "unkill"):
            live(scene, event)
    assert scene.flag().killed
    assert all(said.state.killed for said in scene.said[seen:] if isinstance(said, FlagChange))
