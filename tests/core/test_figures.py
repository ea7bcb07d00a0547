"""Figures are what they say (cases W): trailing counts beside latency histograms, at traffic as services have it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from guardian.core.inputs import Bucket, Cell
from guardian.core.rollout import Gate, Trigger
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES, pack
from guardian.core.words import Action
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.figures import beat, pass_s, shown, watching
from tests.core.scenes import FLAG, Scene, bucket, spec, step

LONG = 864_000
PER_SECOND = 20


def scene_of(*more: Trigger) -> Scene:
    """The case's rules: a latency against baseline, a gate against control, and a count per hour."""
    compared = Gate("g", parse_rule("p95_latency < 1.05x control", Use.GATE))
    slow = [watching("p99_latency > 2x baseline", name="slow"), watching("p95_latency > 60s over 1h", name="hour")]
    triggers = (*slow, watching("error_count > 9999/hour"), *more)
    steps = (step("half", 5_000, bake_s=LONG, gates=(compared,)), step("full", 10_000, bake_s=LONG))
    return Scene(spec(*steps, triggers=triggers), started=False)


def pass_hours(scene: Scene, hours: float, *, errors_each_s: int = 0, mismatch_each_s: int = 0) -> Iterator[int]:
    """Lognormal latencies at 20 requests a second in each arm; yields the event time in seconds once a minute."""
    chance = np.random.default_rng(1)
    for passed in range(int(hours * 3_600)):
        scene.t += 1_000
        second, version, cells = scene.t // 1_000 - 1, scene.flag().version, []
        for variant in ("on", "off"):
            failed = int(bool(errors_each_s) and second % errors_each_s == 0)
            latency_ms = chance.lognormal(4, 1, PER_SECOND)
            one = bucket(second, ok=PER_SECOND - failed, error=failed, latency_ms=latency_ms)
            cells.append(Cell(FLAG, version, variant, "split", buckets=[one]))
        if mismatch_each_s:
            pairs = (1, int(second % mismatch_each_s == 0), 0, 0)
            cells.append(Cell(FLAG, version, "on", "split", buckets=[Bucket(second, pairs=list(pairs))]))
        scene.batch(*cells)
        if passed % 10 == 9:
            scene.marks()
            scene.tick()
        if passed % 60 == 59:
            yield second


@pytest.mark.parametrize("beside", [(), ("request_count > 1000000000 per 24h",)], ids=["alone", "over 24h"])
def test_W1_a_trailing_hour_is_exact_whatever_the_histograms_cost(beside: tuple[str, ...]) -> None:
    scene = scene_of(*(watching(rule, name=f"m{i}") for i, rule in enumerate(beside)))
    scene.command("start")
    begin_s = scene.t // 1_000
    for second in pass_hours(scene, 2, errors_each_s=9):
        found = shown(scene).evidence
        end_s = found.window_end_ms // 1_000
        errors = [at for at in range(begin_s, end_s) if at % 9 == 0 and at * 1_000 >= found.window_start_ms]
        assert found.value == len(errors), "it counts what it names"
        if second - begin_s > 3_700:
            assert 3_540 <= end_s - found.window_start_ms // 1_000 <= 3_600, "and names the hour but for a bucket"
    series = scene.state().series
    assert series.latencies.pressure > 0, "otherwise this shows nothing"
    assert len(pack(scene.state())) <= MAX_SNAPSHOT_BYTES
    assert "; kept by " in shown(scene, "hour").text, "precision that was given up is shown"


def test_W1_150_mismatches_an_hour_fire_above_100_with_a_day_and_many_figures_beside() -> None:
    figures = [watching(f"metric figure_{i} > 5 over 24h", name=f"m{i}") for i in range(20)]
    fires = watching("dual_run assertions fail > 100/hour", Action.PAUSE, name="mismatches")
    scene = scene_of(fires, *figures)
    scene.command("start")
    for _ in pass_hours(scene, 1, mismatch_each_s=24):
        if scene.where.startswith("paused"):
            break
    assert scene.where == "paused half 5000"
    assert "mismatches: mismatch_count 101 > 100" in scene.decision().text


# W3: gauges at their own pace


def told_every(every_s: int, hold: str, *, values: tuple[float, ...] = (95.0,), limit_s: int = 10_000) -> int | None:
    """After how many seconds `cpu > 80%` with this hold acts on a gauge that is told so often; None for never."""
    steps = (step("half", 5_000, bake_s=LONG), step("full", 10_000, bake_s=LONG))
    scene = Scene(spec(*steps, triggers=(watching(f"cpu > 80% for {hold}", Action.PAUSE),)))
    for passed in range(0, limit_s, 10):
        if passed % every_s == 0 and (len(values) == 1 or passed // every_s < len(values)):
            beat(scene, "shop/1", cpu_pct=values[0 if len(values) == 1 else passed // every_s])
        scene.t += 10_000
        scene.marks()
        scene.tick()
        if scene.where.startswith("paused"):
            return passed
    return None


@pytest.mark.parametrize("every_s", [10, 60, 300, 900])
def test_W3_a_gauge_beyond_its_limit_acts_after_the_hold_however_seldom_it_is_told(every_s: int) -> None:
    acted_s = told_every(every_s, "30 minutes", limit_s=2_400)
    assert acted_s is not None
    assert 1_790 <= acted_s <= 1_860


def test_W3_a_single_sample_never_fills_a_hold() -> None:
    assert told_every(300, "30 minutes", values=(95.0, 0.0), limit_s=4_000) is None
    for start_s in (0, 20, 40):
        scene = Scene(spec(step("half", 5_000, bake_s=LONG), triggers=(watching("cpu > 80% for 5m", Action.PAUSE),)))
        pass_s(scene, start_s)
        beat(scene, "shop/1", cpu_pct=95.0)
        pass_s(scene, 700)
        assert scene.where == "progressing half 5000"


def test_W3_a_value_within_its_limit_begins_the_hold_again() -> None:
    assert told_every(300, "30 minutes", values=(*[95.0] * 5, 20.0, *[95.0] * 6), limit_s=3_580) is None
