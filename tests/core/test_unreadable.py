"""Records that ingest cannot read (case B4): one alert for each source partition, ended after a quiet hour."""

from __future__ import annotations

from guardian.core.inputs import Batch
from guardian.core.mishaps import QUIET_AFTER_UNREADABLE_MS
from guardian.core.outputs import Alert
from guardian.core.words import Severity
from tests.core.scenes import TELEMETRY, Scene, spec


def leave_out(scene: Scene, unreadable: int) -> None:
    start = scene.ends[TELEMETRY]
    scene.ends[TELEMETRY] = start + 10
    scene.feed(Batch(TELEMETRY, start, start + 10, unreadable=unreadable))


def test_B4_what_cannot_be_read_is_one_alert_however_often_it_comes() -> None:
    scene = Scene(spec())
    leave_out(scene, 7)
    leave_out(scene, 3)
    (alert,) = scene.all(Alert)
    assert (alert.flag, alert.trigger, alert.active) == ("*", "unreadable telemetry/0", True)
    assert alert.severity is Severity.CRITICAL
    assert "7 records within [0, 10) cannot be read" in alert.text


def test_B4_the_alert_ends_an_hour_after_the_last_of_them() -> None:
    scene = Scene(spec())
    leave_out(scene, 1)
    scene.t += QUIET_AFTER_UNREADABLE_MS - 1_000
    scene.tick()
    leave_out(scene, 1)
    scene.t += QUIET_AFTER_UNREADABLE_MS - 1_000
    scene.tick()
    name = "unreadable telemetry/0"
    assert [alert.active for alert in scene.all(Alert) if alert.trigger == name] == [True]
    scene.t += 1_000
    scene.tick()
    found = [alert for alert in scene.all(Alert) if alert.trigger == name]
    assert [alert.active for alert in found] == [True, False]
    assert found[0].id == found[1].id
    leave_out(scene, 1)
    assert scene.alerts()[-1] == ("unreadable telemetry/0", True), "a new one is a new alert"


def test_a_batch_that_could_be_read_whole_says_nothing() -> None:
    scene = Scene(spec())
    leave_out(scene, 0)
    assert scene.all(Alert) == []


def test_B11_a_source_that_ingest_may_not_read_is_one_alert_until_it_is_read_again() -> None:
    scene = Scene(spec())
    for _ in range(3):
        scene.marks(stopped="Kafka refuses the right Read on this topic")
    assert scene.alerts() == [("stopped telemetry/0", True)]
    assert "telemetry/0 is not read: Kafka refuses" in scene.all(Alert)[0].text
    scene.marks()
    assert scene.alerts() == [("stopped telemetry/0", True), ("stopped telemetry/0", False)]


def test_one_input_partition_speaks_for_all_of_them() -> None:
    scene = Scene()
    scene.engine.partition = 1
    scene.marks(stopped="refused")
    assert scene.alerts() == []
