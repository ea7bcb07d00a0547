"""Guardian says that it is blind, and when it sees again."""

from __future__ import annotations

from guardian.core.outputs import Alert
from guardian.core.words import Severity
from tests.core.scenes import Scene, spec


def blind(scene: Scene) -> list[tuple[str, bool]]:
    return [(alert.text, alert.active) for alert in scene.all(Alert) if alert.trigger == "blind"]


def test_U1_when_ingest_is_dead_for_more_than_half_a_minute_guardian_alarms_once() -> None:
    scene = Scene(spec())
    scene.seconds(5, ok=10)
    scene.seconds(38, blind=True)
    assert blind(scene) == []
    scene.seconds(100, blind=True)
    text = (
        "partition 0: guardian is blind: 1 source partitions do not report (telemetry/0); "
        "nothing is promoted, triggers miss what happens"
    )
    assert blind(scene) == [(text, True)]
    alert = next(each for each in scene.all(Alert) if each.trigger == "blind")
    assert (alert.flag, alert.severity, alert.id.startswith("guardian/0/blind/")) == ("*", Severity.CRITICAL, True)


def test_U1_it_ends_once_the_evidence_has_been_fresh_for_ten_seconds() -> None:
    scene = Scene(spec())
    scene.seconds(5, ok=10)
    scene.seconds(60, blind=True)
    scene.seconds(9)
    assert [active for _, active in blind(scene)] == [True]
    scene.seconds(3)
    assert blind(scene)[1:] == [("partition 0: the evidence is fresh again", False)]
    assert len({alert.id for alert in scene.all(Alert)}) == 1


def test_U1_that_no_ingest_has_ever_reported_is_said() -> None:
    scene = Scene(spec())
    scene.seconds(40, blind=True)
    assert "no ingest process has reported yet" in blind(scene)[0][0]


def test_U1_a_partition_without_a_rollout_to_watch_is_silent() -> None:
    scene = Scene()
    scene.seconds(100, blind=True)
    assert blind(scene) == []
    scene = Scene(spec(), started=False)
    scene.command("archive")
    scene.seconds(100, blind=True)
    assert blind(scene) == []


def test_U1_evidence_that_lags_is_blindness_too() -> None:
    scene = Scene(spec())
    scene.seconds(5, ok=10)
    mark_ms = scene.t
    for _ in range(90):
        scene.t += 1_000
        scene.marks(to_end=False, watermark_ms=mark_ms)
        scene.tick()
    assert [active for _, active in blind(scene)] == [True]
    assert "the watermark is " in blind(scene)[0][0]
