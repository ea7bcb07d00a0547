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
from tests.core.figures import shown, watching
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
