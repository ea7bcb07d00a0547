"""Snapshot and restore at any point of any log change nothing, and a snapshot stays small whatever was seen."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.engine import Engine
from guardian.core.inputs import Batch, Bucket, Cell, Command, Gauge, Heartbeat, Reassert, Record, Source, Tick
from guardian.core.outputs import Alert, Beat, Decision, FlagChange, Output, Rollback, RolloutStatus
from guardian.core.rollout import BUG_COUNT, MEMORY, METRICS, SILENCE, Against, Op, Rule, Step
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES, Capture, PartitionState, pack, unpack
from guardian.core.state import RolloutState
from guardian.core.words import Action
from guardian.errors import InternalError
from tests.core.scenes import (
    ANN,
    COMMANDS,
    T0,
    TELEMETRY,
    Scene,
    above,
    below,
    bucket,
    document_of,
    gate,
    parse,
    spec,
    step,
    trigger,
)

FLAGS = ("alpha", "beta", "gamma")
MIGRATIONS = Source("migrations", "id-3", 0)


def compared(metric: str, against: Against, limit: float) -> Rule:
    """A rule that compares with another arm or another time, over ten seconds."""
    period_ms = 10_000 if against is Against.PAST else 0
    return Rule(f"{metric} > {limit}x {against}", METRICS[metric], Op.ABOVE, limit, 10_000, 0, against, period_ms)


TRIGGERS = (
    trigger(above("error_rate", 0.4, over_s=10, hold_s=3)),
    trigger(above("crash_count", 2, over_s=0)),
    trigger(above("p95_latency", 300, over_s=5, hold_s=2), Action.PAUSE),
    trigger(above("timeout_count", 4, over_s=10), Action.NOTIFY),
    trigger(compared("error_rate", Against.CONTROL, 3.0), name="control"),
    trigger(compared("p95_latency", Against.BASELINE, 8.0), Action.NOTIFY, name="baseline"),
    trigger(compared("request_count", Against.PAST, 9.0), Action.NOTIFY, name="growth"),
    trigger(Rule("memory > 2 GB", MEMORY, Op.ABOVE, 2e9, 60_000), Action.NOTIFY, name="memory"),
    trigger(Rule("silence > 20s", SILENCE, Op.ABOVE, 20_000, 60_000), Action.PAUSE, name="silence", min_samples=0),
    trigger(Rule("bug_count > 1", BUG_COUNT, Op.ABOVE, 1, 0), name="bugs", min_samples=0),
)
STEPS = (
    step("canary", 500, bake_s=3, gates=(gate(below("error_rate", 0.2)),), timeout_s=5),
    step("half", 5_000, bake_s=3, gates=(gate(below("p95_latency", 200, over_s=5)),), on_gate_fail=Action.ROLLBACK),
    step("full", 10_000, bake_s=4),
)


# Any log


def changed_triggers(number: int) -> tuple[Any, ...]:
    """The triggers of a revision: each revision changes the limits of some, in mid-step too."""
    return tuple(
        replace(each, rule=replace(each.rule, limit=each.rule.limit * 1.01)) if index % number else each
        for index, each in enumerate(TRIGGERS)
    )


def random_log(seed: int, length: int = 70) -> list[Record]:
    """A log of three rollouts that are applied, started, fed, broken and brought back in whatever order."""
    chance = random.Random(seed)
    scene = Scene()
    while len(scene.log) < length:
        flag = chance.choice(FLAGS)
        roll = chance.random()
        if roll < 0.12:
            number = chance.randint(1, 3)
            scene.apply(spec(*STEPS, flag=flag, revision=f"r{number}", triggers=changed_triggers(number)))
        elif roll < 0.2:
            scene.command("start", flag)
        elif roll < 0.3:
            names = ["promote", "pause", "resume", "rollback", "kill", "unkill", "resolve", "archive", "bug", "metric"]
            whom, epoch = chance.choice([flag, flag, flag, "*"]), chance.choice([0, 0, 0, 1])
            scene.command(chance.choice(names), whom, epoch=epoch, name="tickets", value=chance.random())
        elif roll < 0.33:
            scene.feed(None)
        elif roll < 0.36:
            scene.feed(Reassert(flag, 0, T0))
        elif roll < 0.4:
            scene.feed(Batch(TELEMETRY, chance.randint(0, 60), 60))
        elif roll < 0.44:
            scene.t += chance.randint(2_000, 30_000)
        elif roll < 0.6:
            scene.batch(*random_cells(chance, scene))
        else:
            scene.t += 1_000
            if roll < 0.7:
                scene.feed(random_signs(chance, scene))
            if roll < 0.85:
                scene.batch(*random_cells(chance, scene))
            scene.marks()
            scene.tick()
    return scene.log


def random_cells(chance: random.Random, scene: Scene) -> list[Cell]:
    cells = []
    for state in scene.engine.flags():
        n = {word: chance.choice([0, 0, most]) for word, most in (("error", 20), ("crash", 1), ("timeout", 2))}
        second = scene.t // 1_000 - chance.choice([1, 1, 1, 2, 200])
        slow = [chance.choice([20.0, 500.0])] * chance.randint(0, 12)
        version = chance.choice([state.version, state.version, 0, 1])
        cells.append(Cell(state.flag, version, chance.choice(["on", "on", "off", "teal"]), "split",
                          buckets=[bucket(second, ok=chance.randint(0, 40), latency_ms=slow, **n)]))  # fmt: skip
    return cells


def random_signs(chance: random.Random, scene: Scene) -> Batch:
    """Heartbeats and gauges of a few instances, some of which still serve an older version."""
    start = scene.ends[MIGRATIONS] = scene.ends.get(MIGRATIONS, 0) + 1
    served = {state.flag: chance.choice([state.version, state.version, T0]) for state in scene.engine.flags()}
    memory = {"memory_bytes": chance.choice([1e9, 3e9])}
    heartbeats = [Heartbeat("shop", f"i{chance.randint(1, 3)}", scene.t, served, metrics=memory) for _ in range(2)]
    return Batch(MIGRATIONS, start, start + 1, heartbeats=heartbeats,
                 gauges=[Gauge(chance.choice(FLAGS), "shop", "i1", scene.t, memory)])  # fmt: skip


def fold(engine: Engine, log: list[Record]) -> list[tuple[int, Output]]:
    return [(record.offset, output) for record in log for output in engine.fold(record)]


def flag_of(output: Output) -> str:
    """The rollout that an output is about; empty when it is about the partition."""
    match output:
        case FlagChange() | RolloutStatus():
            return output.state.flag
        case Decision() | Alert() | Rollback():
            return "" if output.flag == "*" else output.flag
        case Beat():
            return ""


class Changelog:
    """What a checkpoint's topic would hold: the greatest of each, whoever wrote it when."""

    def __init__(self) -> None:
        self.mark: tuple[int, bytes] | None = None
        self.snapshots: dict[str, tuple[int, bytes]] = {}

    def write(self, capture: Capture, *, with_mark: bool) -> None:
        for each in capture.rollouts:
            self.snapshots[each.flag] = (each.offset, each.data)
        if with_mark:
            self.mark = (capture.next_offset, capture.mark)

    def restore(self) -> Engine:
        return Engine.restore(0, parse, self.mark, dict(self.snapshots))


def whole_state(engine: Engine) -> dict[str, bytes]:
    """Everything an engine knows, by flag; which offset was captured last is no part of it."""
    states = {"": pack(engine._state)}
    for flag, state in {**engine._rollouts, **engine._ahead}.items():
        states[flag] = pack(replace(state, folded_offset=-1))
    return states


@given(st.integers(0, 10_000), st.integers(0, 70))
@settings(deadline=None, max_examples=50)
def test_restoring_at_any_point_changes_no_output_and_no_state(seed: int, k: int) -> None:
    log = random_log(seed)
    straight = Engine(0, parse)
    expected = fold(straight, log)
    broken = Engine(0, parse)
    before = fold(broken, log[:k])
    changelog = Changelog()
    changelog.write(broken.capture(), with_mark=True)
    restored = changelog.restore()
    assert whole_state(restored) == whole_state(broken)
    assert before + fold(restored, log[k:]) == expected
    assert whole_state(restored) == whole_state(straight)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 25), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50)
def test_writing_only_what_changed_is_enough_however_often_it_is_captured(seed: int, strides: list[int]) -> None:
    log = random_log(seed)
    straight = Engine(0, parse)
    expected = fold(straight, log)
    engine, changelog, said, at = Engine(0, parse), Changelog(), [], 0
    for stride in strides:
        said += fold(engine, log[at : at + stride])
        at += stride
        changelog.write(engine.capture(), with_mark=True)
    restored = changelog.restore()
    assert whole_state(restored) == whole_state(engine)
    assert said + fold(restored, log[at:]) == expected


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(1, 40), st.sets(st.sampled_from(FLAGS)))
@settings(deadline=None, max_examples=60)
def test_snapshots_newer_than_the_mark_are_not_counted_twice(seed: int, k: int, later: int, written: set[str]) -> None:
    """A crash between snapshots and mark: some rollouts are ahead of the partition; they skip what they include."""
    log = random_log(seed, length=90)
    straight = Engine(0, parse)
    expected = fold(straight, log)
    engine, changelog = Engine(0, parse), Changelog()
    fold(engine, log[:k])
    changelog.write(engine.capture(), with_mark=True)
    fold(engine, log[k : k + later])
    torn = engine.capture()
    kept = [each for each in torn.rollouts if each.flag in written]
    changelog.write(replace(torn, rollouts=kept), with_mark=False)
    restored = changelog.restore()
    again = fold(restored, log[k:])
    ahead = {each.flag: each.offset for each in kept}
    wanted = [(offset, said) for offset, said in expected if offset >= k and offset > ahead.get(flag_of(said), -1)]
    heard = [(offset, said) for offset, said in again if offset > ahead.get(flag_of(said), -1)]
    assert heard == wanted
    skipped = [said for offset, said in again if offset <= ahead.get(flag_of(said), -1)]
    assert all(isinstance(said, Decision) and not said.accepted for said in skipped), "refused before it was declared"
    assert whole_state(restored) == whole_state(straight)


def test_a_capture_after_such_a_crash_does_not_claim_less_than_it_includes() -> None:
    scene = Scene(spec(flag="alpha"), spec(flag="beta"))
    changelog = Changelog()
    changelog.write(scene.engine.capture(), with_mark=True)
    mark = len(scene.log)
    scene.seconds(3, flag="alpha", ok=5)
    torn = scene.engine.capture()
    changelog.write(torn, with_mark=False)
    restored = changelog.restore()
    fold(restored, scene.log[mark : mark + 2])
    restored.mark_dirty("alpha")
    again = {each.flag: each for each in restored.capture().rollouts}
    assert again["alpha"].offset == {each.flag: each.offset for each in torn.rollouts}["alpha"]
    assert unpack(again["alpha"].data, RolloutState).totals == {"on": 15, "on:ok": 15}


def test_only_changed_rollouts_are_captured_and_a_failed_write_makes_one_dirty_again() -> None:
    scene = Scene(spec(flag="alpha"), spec(flag="beta"), started=False)
    assert [each.flag for each in scene.engine.capture().rollouts] == ["alpha", "beta"]
    assert scene.engine.capture().rollouts == []
    scene.command("start", "beta")
    assert [each.flag for each in scene.engine.capture().rollouts] == ["beta"]
    scene.engine.mark_dirty("alpha")
    scene.engine.mark_dirty("nobody")
    assert [each.flag for each in scene.engine.capture().rollouts] == ["alpha"]


def test_rollouts_that_nothing_happens_to_are_not_written() -> None:
    scene = Scene(spec(flag="alpha"), started=False)
    scene.seconds(3)
    scene.engine.capture()
    scene.seconds(60)
    assert scene.engine.capture().rollouts == []
    scene.command("start", "alpha")
    scene.command("rollback", "alpha")
    scene.seconds(3)
    scene.engine.capture()
    scene.seconds(60)
    assert scene.engine.capture().rollouts == []


def test_what_judging_alone_changes_is_written_too() -> None:
    slow = trigger(above("error_rate", 0.5, over_s=10, hold_s=30), Action.NOTIFY)
    scene = Scene(spec(step("only", 500, bake_s=600), flag="alpha", triggers=(slow,)))
    scene.command("pause", "alpha")
    scene.seconds(4, flag="alpha", error=50)
    scene.seconds(2)
    changelog = Changelog()
    changelog.write(scene.engine.capture(), with_mark=True)
    scene.seconds(4)
    changelog.write(scene.engine.capture(), with_mark=True)
    assert whole_state(changelog.restore()) == whole_state(scene.engine)


def test_a_snapshot_of_another_format_or_a_damaged_one_is_refused() -> None:
    good = pack(PartitionState())
    for bad in (b"", b"\x07" + good[1:], good[:-4], good[:1] + b"rubbish", good[:1] + zlib.compress(b"rubbish")):
        with pytest.raises(InternalError):
            unpack(bad, PartitionState)


# A gap in the log


def test_a_record_out_of_order_is_an_error_of_our_own_and_changes_nothing() -> None:
    scene = Scene(spec())
    before = whole_state(scene.engine)
    for offset in (scene.engine.next_offset + 1, scene.engine.next_offset - 1):
        with pytest.raises(InternalError):
            scene.engine.fold(Record(offset, scene.t, Tick("d")))
    assert whole_state(scene.engine) == before


def test_a_jump_starts_evidence_anew_and_freezes_promotion_until_the_windows_are_full() -> None:
    slow = trigger(above("error_rate", 0.5, over_s=20))
    scene = Scene(spec(step("canary", 500, bake_s=5), step("full", 10_000), triggers=(slow,)))
    scene.seconds(3, error=40, ok=60)
    scene.said += scene.engine.jump(scene.engine.next_offset + 7, scene.t)
    assert [alert.trigger for alert in scene.all(Alert)] == ["inputs_lost"]
    assert scene.decision().reason.value == "EVIDENCE_LOST"
    assert scene.decision().text == "inputs 11 to 17 of partition 0 were lost before they were read"
    scene.seconds(20, ok=100)
    assert scene.where == "progressing canary 500"
    assert scene.status().missing[0].endswith("until the windows are full again")
    assert scene.status().figures["on"].errors == 0
    assert scene.status().evidence_from_ms == scene.t - 20_000 + 21_000
    assert scene.alerts() == [("inputs_lost", True)]
    scene.seconds(3, ok=100)
    assert scene.where == "progressing full 10000"
    raised, ended = scene.all(Alert)
    assert (raised.id, ended.active, ended.text) == (ended.id, False, "the windows of partition 0 are full again")


def test_a_rollout_that_waits_shows_at_the_next_tick_that_its_evidence_was_lost() -> None:
    scene = Scene(spec())
    scene.seconds(3, ok=100)
    scene.command("pause")
    scene.seconds(2)
    before = scene.status().evidence_from_ms
    scene.said += scene.engine.jump(scene.engine.next_offset + 7, scene.t)
    scene.seconds(2)
    assert scene.status().evidence_from_ms > before, "nothing came for it since"


def test_a_second_gap_ends_the_alert_on_the_first_and_one_that_no_rollout_felt_ends_with_the_next_events() -> None:
    scene = Scene(spec(triggers=(trigger(above("error_rate", 0.5, over_s=20)),)))
    scene.seconds(3, ok=100)
    for _ in range(2):
        scene.said += scene.engine.jump(scene.engine.next_offset + 7, scene.t)
    first, ended, second = scene.all(Alert)
    assert (first.id, ended.active, second.active) == (ended.id, False, True)
    assert second.id != first.id
    empty = Scene()
    empty.said += empty.engine.jump(7, empty.t)
    empty.seconds(3)
    assert empty.alerts() == [("inputs_lost", True), ("inputs_lost", False)]


def test_a_gap_that_was_told_is_ended_after_a_restore_too() -> None:
    scene = Scene(spec(triggers=(trigger(above("error_rate", 0.5, over_s=20)),)))
    scene.seconds(3, ok=100)
    scene.said += scene.engine.jump(scene.engine.next_offset + 7, scene.t)
    changelog = Changelog()
    changelog.write(scene.engine.capture(), with_mark=True)
    scene.engine = changelog.restore()
    scene.seconds(25, ok=100)
    assert scene.alerts() == [("inputs_lost", True), ("inputs_lost", False)]


def test_a_jump_leaves_the_reason_of_a_rollback_standing() -> None:
    scene = Scene(spec(triggers=(trigger(above("crash_count", 0, over_s=0)),)))
    scene.events(crash=1)
    scene.said += scene.engine.jump(scene.engine.next_offset + 7, scene.t)
    scene.seconds(2, ok=1)
    assert scene.status().reason.value == "TRIGGER_FIRED"


def torn_at(mark: int, scene: Scene) -> Engine:
    """An engine whose mark lies at an offset, and whose rollouts include the whole log."""
    changelog, engine = Changelog(), Engine(0, parse)
    fold(engine, scene.log[:mark])
    changelog.write(engine.capture(), with_mark=True)
    fold(engine, scene.log[mark:])
    changelog.write(engine.capture(), with_mark=False)
    return changelog.restore()


def test_behind_an_expired_part_of_the_log_a_rollout_that_includes_it_loses_and_repeats_nothing() -> None:
    scene = Scene(spec(flag="alpha"))
    mark = len(scene.log)
    scene.seconds(4, flag="alpha", ok=5)
    scene.command("promote", "alpha")
    engine = torn_at(mark, scene)
    engine.jump(mark + 6, scene.t)
    fold(engine, scene.log[mark + 6 :])
    straight = Engine(0, parse)
    fold(straight, scene.log)
    assert whole_state(engine)["alpha"] == whole_state(straight)["alpha"]


def test_a_rollout_whose_declaration_expired_lives_on() -> None:
    scene = Scene()
    mark = len(scene.log)
    scene.apply(spec(flag="alpha"))
    scene.command("start", "alpha")
    engine = torn_at(mark, scene)
    assert [state.flag for state in engine.flags()] == ["alpha"]
    engine.jump(len(scene.log), scene.t)
    assert engine.rollout_count == 1
    assert engine.fold(Record(len(scene.log), scene.t, Batch(COMMANDS, 500, 501, commands=[
        Command("c", "pause", "alpha", ANN)])))  # fmt: skip


@pytest.mark.parametrize("said_so", [True, False])
def test_behind_a_truncated_end_new_records_count_though_their_offsets_were_seen_before(said_so: bool) -> None:
    scene = Scene(spec(flag="alpha"))
    mark = len(scene.log)
    scene.seconds(8, flag="alpha", ok=5)
    end = mark + 3
    if said_so:
        engine = torn_at(mark, scene)
        engine.jump(end, scene.t, truncated=True)
    else:
        engine = Engine(0, parse)
        fold(engine, scene.log)
        engine.jump(end, scene.t)
    cell = Cell("alpha", engine.flags()[0].version, "on", "split", buckets=[Bucket(scene.t // 1_000, n=7, ok=7)])
    engine.fold(Record(end, scene.t, Batch(TELEMETRY, 10_000, 10_010, [cell])))
    state = unpack({each.flag: each.data for each in engine.capture().rollouts}["alpha"], RolloutState)
    assert (state.totals["on"], state.folded_offset) == (8 * 5 + 7, end)


# How large a snapshot can get


def worst_rules(over_s: int) -> tuple[Any, ...]:
    return tuple(Rule(f"{name} > 1 over {over_s}s, rule {name}", METRICS[name], above(name, 1).op, 1e9, over_s * 1_000,
                      over_s * 1_000) for name in METRICS)  # fmt: skip


def worst_spec(over_s: int) -> Any:
    """Twenty steps with sixteen gates and sixteen triggers each, and sixteen triggers over all of them."""
    rules = worst_rules(over_s)
    steps = [
        Step(f"step-{i}", 500 * i, 1 << 40,
             gates=tuple(gate(rule) for rule in rules),
             triggers=tuple(trigger(rule, Action.NOTIFY, name=f"step-{i}-{rule.metric.name}") for rule in rules))
        for i in range(1, 21)
    ]  # fmt: skip
    return spec(*steps, triggers=tuple(trigger(rule, Action.NOTIFY) for rule in rules))


@pytest.mark.parametrize("arms", ["the candidate alone", "both arms and the past"])
@pytest.mark.parametrize("spread", ["every bin", "a busy service"])
@pytest.mark.parametrize("over_s", [60, 3_600, 7_200, 86_400, 7 * 86_400])
def test_the_worst_snapshot_stays_within_its_bound(over_s: int, spread: str, arms: str) -> None:
    chance = random.Random(over_s)
    declared = worst_spec(over_s)
    if arms == "both arms and the past":
        rules = worst_rules(over_s)
        against = [replace(rule, against=kind) for rule in rules for kind in (Against.CONTROL, Against.BASELINE)]
        more = [trigger(rule, Action.NOTIFY, name=f"{rule.metric.name}-{rule.against}") for rule in against]
        declared = replace(declared, triggers=(*declared.triggers, *more), baseline_window_ms=7 * 86_400_000)
    scene = Scene(declared)
    version = scene.flag().version
    # Ages of the buckets: every second of the first minutes, then a few in each bucket of each coarser tier.
    ages = [*range(0, 200), *range(200, 1_400, 5), *range(1_400, 7_300, 30), *range(7_300, over_s, 600)]
    for age_s in sorted((age for age in ages if age <= over_s + 200), reverse=True):
        scene.t = T0 + (over_s + 300 - age_s) * 1_000
        low, high = (0, 1_150) if spread == "every bin" else (400, 750)
        bins = list(range(low, high))
        counts = [chance.randint(1, 1_000 if spread == "every bin" else 50) for _ in bins]
        n = sum(counts)
        seen = Bucket(scene.t // 1_000 - 1, n=n, ok=n, latency_n=n, latency_sum_us=n, bins=bins, bin_counts=counts)
        scene.batch(*(Cell(declared.flag, version, variant, "split", buckets=[seen]) for variant in ("on", "off")))
        scene.engine._state.clock.watermark_ms = scene.t - 2_000
        scene.state().series.roll(scene.t // 1_000 - 2)
    scene.seconds(1, ok=1)
    (snapshot,) = scene.engine.capture().rollouts
    assert len(snapshot.data) <= MAX_SNAPSHOT_BYTES
    assert scene.state().series.window(0, 1 << 62).n > 0


def test_the_document_of_a_snapshot_is_the_spec_as_it_was_applied() -> None:
    declared = worst_spec(60)
    scene = Scene(declared)
    (snapshot,) = scene.engine.capture().rollouts
    assert unpack(snapshot.data, RolloutState).document == document_of(declared)
