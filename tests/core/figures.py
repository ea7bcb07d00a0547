"""What comparisons need of a scene: both arms at once, heartbeats, gauges, dual runs, and rules in words."""

from __future__ import annotations

from typing import Any

from guardian.core.inputs import Batch, Bucket, Cell, Gauge, Heartbeat
from guardian.core.outputs import Output, Verdict
from guardian.core.rollout import Trigger, Unit
from guardian.core.words import Action
from guardian.spec.rule_checks import Use
from guardian.spec.rules import parse_rule
from tests.core.scenes import FLAG, TELEMETRY, Scene, bucket

ON_SERVICES = ("gauges", "heartbeats", "people")


def watching(text: str, do: Action = Action.NOTIFY, *, name: str = "it", min_samples: int = 10) -> Trigger:
    """A trigger from its rule in words."""
    rule = parse_rule(text, Use.TRIGGER)
    counted = rule.metric.unit is Unit.COUNT or rule.metric.origin in ON_SERVICES
    return Trigger(name, rule, do, min_samples=0 if counted else min_samples)


def cell(variant: str, one: Bucket, *, version: int = 0, assignment: str = "split", service: str = "shop") -> Cell:
    return Cell(FLAG, version, variant, assignment, service, buckets=[one])


def arms(
    scene: Scene, *, on: dict[str, Any] | None = None, off: dict[str, Any] | None = None, **how: Any
) -> list[Output]:
    """Requests of the last whole second in both arms, decided by the present document."""
    second = scene.t // 1_000 - 1
    version = scene.flag().version
    cells = [
        cell(variant, bucket(second, **n), **{"version": version, **how})
        for variant, n in (("on", on), ("off", off))
        if n is not None
    ]
    return scene.batch(*cells)


def pass_s(scene: Scene, count: int, *, beats: tuple[str, ...] = (), **arms_of: Any) -> list[Output]:
    """So many seconds pass, each with these requests, and heartbeats of these instances every five."""
    outputs: list[Output] = []
    for _ in range(count):
        scene.t += 1_000
        if arms_of:
            outputs += arms(scene, **arms_of)
        if beats and scene.t % 5_000 == 0:
            outputs += beat(scene, *beats)
        outputs += scene.marks() + scene.tick()
    return outputs


def signs(
    scene: Scene, *, heartbeats: list[Heartbeat] | None = None, gauges: list[Gauge] | None = None
) -> list[Output]:
    start = scene.ends[TELEMETRY]
    scene.ends[TELEMETRY] = start + 10
    return scene.feed(Batch(TELEMETRY, start, start + 10, heartbeats=heartbeats or [], gauges=gauges or []))


def beat(
    scene: Scene,
    *names: str,
    version: int | None = None,
    at_ms: int | None = None,
    lost: tuple[int, int] = (0, 0),
    **metrics: float,
) -> list[Output]:
    """Heartbeats of instances such as `shop/1`, which serve the present document and have lost nothing unless said."""
    served = scene.flag().version if version is None else version
    at = scene.t if at_ms is None else at_ms
    found = [Heartbeat(*name.split("/"), at, {FLAG: served}, *lost, dict(metrics)) for name in names]
    return signs(scene, heartbeats=found)


def gauge(scene: Scene, service: str, **metrics: float) -> list[Output]:
    return signs(scene, gauges=[Gauge(FLAG, service, f"{service}-1", scene.t, dict(metrics))])


def shown(scene: Scene, name: str = "it") -> Verdict:
    """A trigger's verdict as the last status shows it."""
    return next(each.verdict for each in scene.status().triggers if each.name == name)
