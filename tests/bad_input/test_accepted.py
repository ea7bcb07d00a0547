"""A recreated source counts once a person has accepted it, and only then; what comes from the one before stays out."""

from __future__ import annotations

from guardian.core.inputs import Source
from guardian.core.outputs import Alert
from guardian.core.words import Severity
from tests.core.scenes import TELEMETRY
from tests.core.test_ranges import range_of, scene_with_a_long_step, total

RECREATED = Source("telemetry", "id-9", 0)
ACCEPTED = Source("telemetry", "id-9", 0, accepted=True)


def test_batches_of_a_recreated_topic_count_from_its_beginning_once_it_is_accepted() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 30))
    scene.feed(range_of(scene, 0, 20, RECREATED))
    assert total(scene) == 30
    assert list(scene.engine._state.frozen) == ["recreated telemetry/0"]
    scene.feed(range_of(scene, 0, 20, ACCEPTED))
    scene.feed(range_of(scene, 0, 20, ACCEPTED))
    scene.feed(range_of(scene, 20, 25, ACCEPTED))
    assert total(scene) == 55
    assert scene.engine._state.frozen == {}
    raised, ended, accepted = scene.all(Alert)
    assert (raised.trigger, raised.active, raised.severity) == ("recreated telemetry/0", True, Severity.CRITICAL)
    assert (ended.id, ended.active) == (raised.id, False), "nobody would ever have ended it again"
    assert (accepted.trigger, accepted.active, accepted.severity) == ("accepted telemetry/0", False, Severity.INFO)


def test_acceptance_is_needed_where_nothing_was_refused_yet_too() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 30))
    scene.feed(range_of(scene, 0, 20, ACCEPTED))
    assert total(scene) == 50


def test_what_a_zombie_writes_of_the_topic_before_is_left_out_and_freezes_promotions() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 30))
    scene.feed(range_of(scene, 0, 20, ACCEPTED))
    scene.feed(range_of(scene, 30, 40, TELEMETRY))
    assert total(scene) == 50
    assert list(scene.engine._state.frozen) == ["recreated telemetry/0"]


def test_a_mark_of_accepted_ranges_makes_no_difference_on_the_topic_that_was_read_all_along() -> None:
    scene = scene_with_a_long_step()
    same = Source(TELEMETRY.topic, TELEMETRY.topic_id, TELEMETRY.partition, accepted=True)
    scene.feed(range_of(scene, 0, 30))
    scene.feed(range_of(scene, 0, 30, same))
    scene.feed(range_of(scene, 30, 40, same))
    assert (total(scene), scene.alerts()) == (40, [])
