"""A trigger that an apply brings or changes starts its evidence at the apply: what is older was judged as it stood."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from guardian.core.inputs import Batch, Bucket, Cell, Gauge, Heartbeat, Source
from guardian.core.rollout import BUG_COUNT, MEMORY, METRICS, SILENCE, Against, Op, Rule, Trigger, named_metric
from guardian.core.snapshot import pack, unpack
from guardian.core.state import RolloutState
from guardian.core.words import Action, Severity
from tests.core.scenes import FLAG, Scene, above, below, bucket, spec, step, trigger

STEP = step("only", 500, bake_s=100_000)
SIGNS = Source("signs", "id-7", 0)


def scene_with(*triggers: Trigger) -> Scene:
    return Scene(spec(STEP, triggers=triggers))


def apply(scene: Scene, *triggers: Trigger) -> None:
    revision = f"r-{len(scene.log)}"
    assert scene.apply(spec(STEP, triggers=triggers, revision=revision)).reason.value == "APPLIED"


def limit(each: Trigger, value: float, **fields: Any) -> Trigger:
    return replace(each, rule=replace(each.rule, limit=float(value)), **fields)


def fired(scene: Scene) -> list[str]:
    return [rollback.trigger for rollback in scene.rollbacks() if rollback.trigger]


@pytest.mark.parametrize("over_s", [0, 600])
@pytest.mark.parametrize("name", ["error_count", "another"])
def test_a_tightened_count_does_not_fire_on_the_errors_before_the_apply(over_s: int, name: str) -> None:
    loose = trigger(above("error_count", 100, over_s=over_s))
    scene = scene_with(loose)
    scene.seconds(5, error=10, ok=90)
    apply(scene, limit(loose, 20, name=name))
    scene.seconds(4, error=5, ok=90)
    assert fired(scene) == []
    scene.seconds(1, error=1)
    assert fired(scene) == [name]
    assert scene.rollbacks()[-1].evidence.value == 21


def test_its_text_says_since_when_it_counts() -> None:
    loose = trigger(above("error_count", 100, over_s=0))
    scene = scene_with(loose)
    scene.seconds(5, error=10)
    apply(scene, limit(loose, 20))
    scene.seconds(1, error=3)
    shown = scene.status().triggers[0].verdict
    assert shown.text == "error_count 3 <= 20 since its evidence began again (n=3)"


@pytest.mark.parametrize(("early", "late", "fires"), [(15, 6, True), (15, 5, False)])
def test_no_error_since_the_apply_is_lost_or_added_when_buckets_grow_coarse(early: int, late: int, fires: bool) -> None:
    loose = trigger(above("error_count", 10_000, over_s=7_200))
    scene = scene_with(loose)
    scene.seconds(137, error=7)
    apply(scene, limit(loose, 20))
    scene.seconds(1, error=early)
    scene.seconds(2_000, ok=1)
    scene.seconds(1, error=late)
    assert fired(scene) == (["error_count"] if fires else [])


def test_a_rate_over_a_window_looks_at_what_came_since_alone() -> None:
    loose = trigger(above("error_rate", 0.9, over_s=60))
    scene = scene_with(loose)
    scene.seconds(20, error=50, ok=50)
    apply(scene, limit(loose, 0.1))
    scene.seconds(10, error=5, ok=95)
    assert fired(scene) == []
    scene.seconds(2, error=100)
    assert fired(scene) == ["error_rate"]


def pairs(scene: Scene, n: int, wrong: int) -> None:
    seen = Bucket(scene.t // 1_000 - 1, pairs=[n, wrong, 0, 0, 0])
    scene.batch(Cell(FLAG, scene.flag().version, "on", "split", buckets=[seen]))


def split(scene: Scene, variant: str, **n: Any) -> None:
    seen = bucket(scene.t // 1_000 - 1, **n)
    scene.batch(Cell(FLAG, scene.flag().version, variant, "split", buckets=[seen]))


PER_STEP: list[tuple[Rule, float, Any, Any]] = [
    (above("error_rate", 9, over_s=0), 0.1, {"error": 50, "ok": 50}, {"error": 5, "ok": 95}),
    (
        above("p95_latency", 9_000, over_s=0),
        200,
        {"ok": 50, "latency_ms": [900] * 50},
        {"ok": 50, "latency_ms": [20] * 50},
    ),
    (
        above("mean_latency", 9_000, over_s=0),
        200,
        {"ok": 50, "latency_ms": [900] * 50},
        {"ok": 50, "latency_ms": [20] * 50},
    ),
]


@pytest.mark.parametrize(("rule", "tight", "bad", "good"), PER_STEP)
def test_figures_of_the_step_count_from_the_apply_on(rule: Rule, tight: float, bad: Any, good: Any) -> None:
    loose = trigger(rule)
    scene = scene_with(loose)
    scene.seconds(200, **bad)
    apply(scene, limit(loose, tight))
    scene.seconds(400, **good)
    assert fired(scene) == []
    scene.seconds(400, **bad)
    assert fired(scene) == [rule.metric.name]


def test_named_figures_count_from_the_apply_on() -> None:
    loose = trigger(above("mismatch_rate", 0.9, over_s=0))
    scene = scene_with(loose)
    for count, wrong in ((100, 50), (100, 1)):
        scene.seconds(1, ok=1)
        pairs(scene, count, wrong)
        if wrong == 50:
            apply(scene, limit(loose, 0.1))
    scene.seconds(2, ok=1)
    assert fired(scene) == []
    assert scene.status().triggers[0].verdict.evidence.value == 0.01


def test_a_comparison_with_control_counts_both_arms_from_the_apply_on() -> None:
    rule = Rule("error_rate > 9x control per step", METRICS["error_rate"], Op.ABOVE, 9.0, 0, 0, Against.CONTROL)
    loose = trigger(rule, name="worse")
    scene = scene_with(loose)
    for bad in (True, False):
        for _ in range(5):
            scene.seconds(1)
            split(scene, "on", error=40 if bad else 10, ok=60 if bad else 90)
            split(scene, "off", error=10, ok=90)
        if bad:
            apply(scene, limit(loose, 2.0))
    scene.seconds(2)
    shown = scene.status().triggers[0].verdict.evidence
    assert (shown.value, shown.reference, shown.n, shown.reference_n) == (0.1, 0.1, 500, 500)
    assert fired(scene) == []


def test_a_bug_that_was_reported_before_does_not_fire_a_trigger_that_comes_later() -> None:
    scene = scene_with()
    scene.command("bug")
    apply(scene, trigger(Rule("bug_count > 0", BUG_COUNT, Op.ABOVE, 0.0, 0), name="bugs"))
    scene.seconds(2, ok=5)
    assert fired(scene) == []
    scene.command("bug")
    assert fired(scene) == ["bugs"]


def test_a_figure_that_was_set_before_does_not_either_and_one_that_is_set_since_does() -> None:
    scene = scene_with()
    scene.command("metric", name="tickets", value=9.0)
    rule = Rule("metric tickets > 3", named_metric("tickets"), Op.ABOVE, 3.0, 60_000)
    apply(scene, trigger(rule, name="tickets", min_samples=0))
    scene.seconds(2, ok=5)
    assert fired(scene) == []
    assert "before the trigger's evidence began" in scene.status().triggers[0].verdict.text
    scene.command("metric", name="tickets", value=8.0)
    scene.seconds(2, ok=5)
    assert fired(scene) == ["tickets"]


def signs(scene: Scene, memory: float) -> None:
    start = scene.ends[SIGNS] = scene.ends.get(SIGNS, 0) + 1
    beat = Heartbeat("shop", "i1", scene.t, {FLAG: scene.flag().version})
    gauge = Gauge(FLAG, "shop", "i1", scene.t, {"memory_bytes": memory})
    scene.feed(Batch(SIGNS, start, start + 1, heartbeats=[beat], gauges=[gauge]))


def test_silence_and_gauges_count_from_the_apply_on() -> None:
    scene = scene_with(trigger(Rule("memory > 9 GB", MEMORY, Op.ABOVE, 9e9, 300_000), name="memory", min_samples=0))
    for _ in range(20):
        scene.seconds(10, ok=1)
        signs(scene, 3e9)
    scene.seconds(60, ok=1)
    apply(
        scene,
        trigger(Rule("memory > 2 GB", MEMORY, Op.ABOVE, 2e9, 300_000), Action.NOTIFY, name="memory", min_samples=0),
        trigger(Rule("silence > 50s", SILENCE, Op.ABOVE, 50_000, 60_000), name="silence", min_samples=0),
    )
    scene.seconds(45, ok=1)
    assert (fired(scene), scene.alerts()) == ([], [])
    scene.seconds(10, ok=1)
    assert fired(scene) == ["silence"]


def test_a_low_count_waits_for_a_full_window_of_its_own() -> None:
    low = trigger(below("request_count", 2, over_s=30), Action.NOTIFY)
    scene = scene_with(low)
    scene.seconds(60, ok=1)
    apply(scene, limit(low, 9))
    scene.seconds(25, ok=1)
    assert scene.verdict("request_count") == ("INCONCLUSIVE", "SETTLING")
    scene.seconds(10, ok=1)
    assert scene.verdict("request_count") == ("PASS", "WITHIN_LIMIT")


# What goes on


def test_what_an_apply_does_not_change_keeps_its_evidence_through_any_number_of_them() -> None:
    changed, kept = trigger(above("error_count", 100, over_s=0)), trigger(above("timeout_count", 20, over_s=0))
    scene = scene_with(changed, kept)
    scene.seconds(3, timeout=5)
    for value in range(12):
        scene.seconds(1, error=1)
        apply(scene, limit(changed, 50 + value), kept)
    scene.seconds(1, timeout=6)
    assert fired(scene) == ["timeout_count"]


def test_whom_a_trigger_tells_is_no_matter_of_evidence() -> None:
    counted = trigger(above("error_count", 20, over_s=0))
    scene = scene_with(counted)
    scene.seconds(2, error=10)
    apply(scene, replace(counted, tell="somebody else", severity=Severity.WARNING))
    scene.seconds(1, error=1)
    assert fired(scene) == ["error_count"]


def test_what_it_does_is_part_of_a_trigger() -> None:
    counted = trigger(above("error_count", 20, over_s=0), Action.NOTIFY)
    scene = scene_with(counted)
    scene.seconds(3, error=10)
    apply(scene, replace(counted, do=Action.ROLLBACK))
    scene.seconds(2, error=10)
    assert fired(scene) == []
    scene.seconds(1, error=1)
    assert fired(scene) == ["error_count"]


def test_a_flag_change_ends_the_matter_for_it_begins_new_evidence_for_all() -> None:
    counted = trigger(above("error_count", 100, over_s=0))
    scene = scene_with(counted)
    scene.seconds(5, error=10)
    apply(scene, limit(counted, 20))
    scene.command("kill")
    scene.command("unkill")
    scene.seconds(2, error=10)
    assert fired(scene) == []
    scene.seconds(1, error=1)
    assert fired(scene) == ["error_count"]


def test_before_the_start_nothing_is_told_apart() -> None:
    counted = trigger(above("error_count", 20, over_s=0))
    scene = Scene(spec(STEP), started=False)
    apply(scene, counted)
    scene.command("start")
    scene.seconds(1, error=21)
    assert fired(scene) == ["error_count"]


def test_it_stands_in_the_snapshot() -> None:
    counted = trigger(above("error_count", 100, over_s=0))
    scene = scene_with(counted)
    scene.seconds(5, error=10)
    apply(scene, limit(counted, 20))
    state = scene.state()
    again = unpack(pack(state), RolloutState)
    assert again.watches["error_count"].since == state.watches["error_count"].since
    assert state.watches["error_count"].since.mine == (50, 50)
    assert again.series.cuts == state.series.cuts != ()
