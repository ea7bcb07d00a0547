"""Figures are what they say (cases W): trailing counts beside latency histograms, at traffic as services have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from guardian.core.inputs import Bucket, Cell
from guardian.core.instance_gauges import MAX_INSTANCES, MAX_NAME_BYTES, MAX_OF_SERVICE, Instances, short_name
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


# W4: growth within one instance's life

MB = 1e6
GROWTH = "memory growing 10%/hour"


def grown(minutes: int, memory_of: Callable[[int], dict[str, float]], rule: str = GROWTH) -> Scene:
    """So many minutes, in each of them every instance tells its memory in megabytes."""
    scene = Scene(spec(step("half", 5_000, bake_s=LONG), triggers=(watching(rule),)))
    for minute in range(minutes):
        scene.t += 60_000
        for name, megabytes in memory_of(minute).items():
            beat(scene, f"shop/{name}", memory_bytes=megabytes * MB)
        scene.marks()
        scene.tick()
    return scene


def warming(age: int) -> float:
    """200 MB at the start, 400 MB after ten minutes and from then on."""
    return 200 + 20 * min(age, 10)


def test_W4_deploys_do_not_fire_growth() -> None:
    scene = grown(300, lambda minute: {f"v{minute // 90}-{i}": warming(minute % 90) for i in range(3)})
    assert scene.alerts() == []
    assert shown(scene).outcome.value == "INCONCLUSIVE", "the last instances are 30 minutes old"
    scene = grown(170, lambda minute: {f"v{minute // 90}-{i}": warming(minute % 90) for i in range(3)})
    assert shown(scene).text.startswith("memory of shop/v1-0 400MB < 10% above 400MB 1h before")


def test_W4_a_restart_under_the_same_name_does_not_fire_growth() -> None:
    def memory_of(minute: int) -> dict[str, float]:
        return {"shop-0": warming(minute % 90) if minute % 90 else 150}

    assert grown(300, memory_of).alerts() == []


def test_W4_scale_in_does_not_fire_growth() -> None:
    def memory_of(minute: int) -> dict[str, float]:
        small = {f"small-{i}": 200.0 for i in range(10)} if minute < 90 else {}
        return {**{f"large-{i}": 600.0 for i in range(10)}, **small}

    scene = grown(130, memory_of)
    assert scene.alerts() == []
    assert shown(scene).outcome.value == "PASS"


def test_W4_one_leaking_instance_of_twenty_fires_and_is_named() -> None:
    def memory_of(minute: int) -> dict[str, float]:
        return {**{f"i{i}": 400.0 for i in range(19)}, "leaky": 400 * 1.2 ** (minute / 60)}

    scene = grown(80, memory_of)
    assert scene.alerts() == [("it", True)]
    assert shown(scene).text.startswith("memory of shop/leaky ")
    assert shown(scene).evidence.service == "shop/leaky"


def test_W4_beyond_the_bound_the_mean_speaks_and_the_verdict_says_so() -> None:
    scene = grown(80, lambda minute: {f"i{i}": 400 * 1.2 ** (minute / 60) for i in range(MAX_OF_SERVICE)})
    assert "mean of the service" not in shown(scene).text
    scene = grown(
        80, lambda minute: {f"i{i}": 1.0 * (i < 64) + 400 * (i >= 64) * 1.2 ** (minute / 60) for i in range(70)}
    )
    assert "; mean of the service, it has more than 64 instances" in shown(scene).text
    assert shown(scene).outcome.value == "FAIL"


def test_W4_growth_over_a_day_is_judged_within_a_life_too() -> None:
    def at(share: float) -> Callable[[int], dict[str, float]]:
        return lambda minute: {"leaky": 400 * (1 + share) ** (minute / 1_440), "well": 400.0}

    assert grown(1_600, at(0.2), "memory growing 10%/day").alerts() == [("it", True)]
    assert grown(1_600, at(0.05), "memory growing 10%/day").alerts() == []


def test_W4_instances_are_bounded_and_who_is_gone_makes_room() -> None:
    instances = Instances()
    instances.look_at(("m",), 3_900)
    for i in range(200):
        instances.add("m", f"s{i % 4}", "x" * 60 + str(i), 1_000_000, 1.0)
    lives = [name for of_service in instances.lives["m"].values() for name in of_service]
    assert len(lives) == len(set(lives)) == MAX_INSTANCES
    assert all(len(name.encode()) <= MAX_NAME_BYTES for name in [*lives, short_name("漢" * 50)])
    instances.add("m", "s0", "late", 1_000_700, 1.0)
    assert "late" in instances.lives["m"]["s0"]
    assert sum(len(of_service) for of_service in instances.lives["m"].values()) == MAX_INSTANCES
