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
    assert scene.alerts() == [("unreadable telemetry/0", True)]
    scene.t += 1_000
    scene.tick()
    assert scene.alerts() == [("unreadable telemetry/0", True), ("unreadable telemetry/0", False)]
    assert scene.all(Alert)[0].id == scene.all(Alert)[1].id
    leave_out(scene, 1)
    assert scene.alerts()[-1] == ("unreadable telemetry/0", True), "a new one is a new alert"


def test_a_batch_that_could_be_read_whole_says_nothing() -> None:
    scene = Scene(spec())
    leave_out(scene, 0)
    assert scene.all(Alert) == []
