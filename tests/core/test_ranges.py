"""Exactly once: a range of a source partition counts whole and once; a broken protocol stops promotions, loudly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.engine import Engine
from guardian.core.inputs import Batch, Cell, Command, Source
from guardian.core.outputs import Alert
from guardian.core.words import Severity
from tests.core.scenes import ANN, COMMANDS, FLAG, TELEMETRY, Scene, bucket, parse, spec, step

OTHER_PARTITION = Source("telemetry", "id-1", 1)
MIGRATIONS = Source("migrations", "id-3", 0)
RECREATED = Source("telemetry", "id-9", 0)


def range_of(scene: Scene, start: int, end: int, source: Source = TELEMETRY) -> Batch:
    """One ok request for each offset of [start, end)."""
    seen = bucket(scene.t // 1_000 - 1, ok=end - start)
    return Batch(source, start, end, [Cell(FLAG, scene.flag().version, "on", "split", buckets=[seen])])


def total(scene: Scene) -> int:
    return scene.state().totals.get("on", 0)


def scene_with_a_long_step() -> Scene:
    return Scene(spec(step("only", 500, bake_s=3), step("full", 10_000)))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.data())
@settings(deadline=None, max_examples=60)
def test_totals_are_exact_whatever_is_repeated(lengths: list[int], data: st.DataObject) -> None:
    scene = scene_with_a_long_step()
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    ranges = list(zip([0, *ends[:-1]], ends, strict=True))
    for i, (start, end) in enumerate(ranges):
        scene.feed(range_of(scene, start, end))
        for again in data.draw(st.lists(st.integers(0, i), max_size=3)):
            scene.feed(range_of(scene, *ranges[again]))
    assert total(scene) == sum(lengths)
    assert scene.alerts() == []


def test_a_repeated_batch_repeats_none_of_its_commands() -> None:
    scene = scene_with_a_long_step()
    promote = Batch(COMMANDS, 500, 501, commands=[Command("c-1", "promote", FLAG, ANN, force=True)])
    scene.feed(promote)
    assert scene.where == "progressing full 10000"
    assert scene.feed(promote) == []
    assert scene.where == "progressing full 10000"


def test_an_empty_range_of_a_recreated_topic_raises_the_alert_and_changes_nothing_where_nothing_was_known() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 30))
    for source in (RECREATED, MIGRATIONS):
        scene.feed(Batch(source, 0, 0))
    assert list(scene.engine._state.frozen) == ["recreated telemetry/0"]
    assert [alert.trigger for alert in scene.all(Alert)] == ["recreated telemetry/0"]
    scene.feed(range_of(scene, 0, 10, MIGRATIONS))
    assert total(scene) == 40


def test_source_partitions_are_independent() -> None:
    scene = scene_with_a_long_step()
    for source in (TELEMETRY, OTHER_PARTITION, MIGRATIONS):
        scene.feed(range_of(scene, 0, 10, source))
    scene.feed(range_of(scene, 10, 20, OTHER_PARTITION))
    scene.feed(range_of(scene, 0, 10, MIGRATIONS))
    assert total(scene) == 40


def test_a_range_that_retention_took_leaves_a_gap_that_is_no_fault_of_the_protocol() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 10))
    scene.feed(range_of(scene, 50, 60))
    assert total(scene) == 20
    assert scene.alerts() == []


def test_a_range_that_straddles_what_is_applied_is_not_applied_and_freezes_promotions() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 10))
    scene.feed(range_of(scene, 5, 15))
    assert total(scene) == 10
    (alert,) = scene.all(Alert)
    assert alert.severity is Severity.CRITICAL
    assert "[5, 15) straddles 10" in alert.text
    scene.feed(range_of(scene, 8, 18))
    assert len(scene.all(Alert)) == 1, "said once"
    scene.seconds(10)
    assert scene.where == "progressing only 500"
    assert "straddles" in scene.status().missing[0]
    scene.feed(range_of(scene, 10, 20))
    assert total(scene) == 20


def frozen_by_a_straddle() -> Scene:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 10))
    scene.feed(range_of(scene, 5, 15))
    return scene


def test_a_person_who_has_looked_releases_a_straddle_and_a_later_one_freezes_anew() -> None:
    scene = frozen_by_a_straddle()
    assert "guardian checkpoint release telemetry/id-1/0 5..15 --yes" in scene.all(Alert)[0].text
    answer = scene.command("release", "*", freeze="telemetry/id-1/0 5..15")
    assert (answer.accepted, answer.reason.value, answer.flag) == (True, "OPERATOR", "*")
    raised, ended, told = scene.all(Alert)
    assert (raised.id, ended.active, told.active) == (ended.id, False, False)
    assert "by ann: because" in ended.text
    scene.ends[TELEMETRY] = 15
    scene.seconds(10, ok=1)
    assert scene.where == "progressing full 10000"
    end = scene.ends[TELEMETRY]
    scene.feed(range_of(scene, end - 5, end + 5))
    assert scene.alerts()[3:] == [("straddle telemetry/id-1/0", True)]
    assert list(scene.engine._state.frozen) == ["straddle telemetry/id-1/0"]


def test_what_straddles_meanwhile_must_be_looked_at_too() -> None:
    scene = frozen_by_a_straddle()
    scene.feed(range_of(scene, 8, 18))
    refused = scene.command("release", "*", freeze="telemetry/id-1/0 5..15")
    assert (refused.accepted, refused.reason.value) == (False, "REFUSED_TARGET")
    assert "telemetry/id-1/0 5..18" in refused.text
    assert scene.command("release", "*", freeze="telemetry/id-1/0 5..18").reason.value == "OPERATOR"


def test_a_release_lets_go_of_nothing_else() -> None:
    scene = frozen_by_a_straddle()
    scene.feed(range_of(scene, 0, 10, OTHER_PARTITION))
    scene.feed(range_of(scene, 5, 15, OTHER_PARTITION))
    scene.feed(range_of(scene, 0, 10, MIGRATIONS))
    scene.feed(range_of(scene, 0, 10, Source("migrations", "id-8", 0)))
    scene.command("release", "*", freeze="telemetry/id-1/0 5..15")
    assert sorted(scene.engine._state.frozen) == ["recreated migrations/0", "straddle telemetry/id-1/1"]
    assert scene.command("release", "*", freeze="telemetry/id-1/0 5..15").reason.value == "UNCHANGED"
    assert scene.command("release", FLAG, freeze="telemetry/id-1/0 5..15").accepted is False


def test_a_freeze_is_released_after_a_restart_and_one_of_an_older_version_too() -> None:
    for knows_range in (True, False):
        scene = frozen_by_a_straddle()
        if not knows_range:
            scene.engine._state.straddles.clear()
        capture = scene.engine.capture()
        snapshots = {each.flag: (each.offset, each.data) for each in capture.rollouts}
        scene.engine = Engine.restore(0, parse, (capture.next_offset, capture.mark), snapshots)
        assert scene.command("release", "*", freeze="telemetry/id-1/0 5..15").reason.value == "OPERATOR"
        assert scene.engine._state.frozen == {}


def test_a_recreated_topic_stops_its_partition_with_an_alert() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 10))
    scene.feed(range_of(scene, 0, 10, RECREATED))
    scene.feed(range_of(scene, 10, 20, RECREATED))
    scene.feed(range_of(scene, 0, 10, OTHER_PARTITION))
    assert total(scene) == 20
    (alert,) = scene.all(Alert)
    assert "telemetry/0 was recreated: its id was id-1, now it is id-9" in alert.text
    scene.seconds(10)
    assert scene.where == "progressing only 500"
    assert (scene.engine.lag_ms, scene.status().lag_ms) == (-1, -1), "blind, whatever the watermark says"


def test_a_topic_that_a_person_has_accepted_ends_what_was_frozen_for_the_one_before() -> None:
    scene = scene_with_a_long_step()
    scene.feed(range_of(scene, 0, 10))
    scene.feed(range_of(scene, 5, 15))
    scene.feed(range_of(scene, 0, 10, RECREATED))
    assert len(scene.engine._state.frozen) == 2
    scene.feed(range_of(scene, 0, 10, Source("telemetry", "id-9", 0, accepted=True)))
    assert scene.engine._state.frozen == {}
    assert total(scene) == 20
    raised, ended = [{one.id for one in scene.all(Alert) if one.active is is_active} for is_active in (True, False)]
    assert len(raised) == 2
    assert raised <= ended
    assert list(scene.engine._state.applied) == ["commands/id-2/0", "telemetry/id-9/0"]


def test_many_partitions_that_are_frozen_are_told_by_one_of_them_and_their_number() -> None:
    scene = scene_with_a_long_step()
    for partition in range(40):
        scene.feed(range_of(scene, 0, 10, Source("telemetry", "id-1", partition)))
        scene.feed(range_of(scene, 0, 10, Source("telemetry", "id-9", partition)))
    scene.seconds(10)
    assert len(scene.all(Alert)) == 40
    (missing,) = [text for text in scene.status().missing if "recreated" in text]
    assert missing.count("was recreated") == 1
    assert "(and 39 more)" in missing


def test_rubbish_takes_its_offset_and_changes_nothing() -> None:
    scene = scene_with_a_long_step()
    before = scene.flag()
    offset = scene.engine.next_offset
    assert scene.feed(None) == []
    assert (scene.engine.next_offset, scene.flag()) == (offset + 1, before)


def test_cells_of_unknown_flags_are_passed_over() -> None:
    scene = scene_with_a_long_step()
    assert scene.batch(Cell("nobody", 0, "on", "split", buckets=[bucket(1, ok=5)])) == []
    assert scene.engine.rollout_count == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 6), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_any_split_into_batches_and_any_order_within_one_judges_the_same(
    oks: list[int], parts: int, chance: object
) -> None:
    def lived(*, split: bool) -> Scene:
        scene = scene_with_a_long_step()
        scene.t += 5_000
        version = scene.flag().version
        cells = [Cell(FLAG, version, "on", "split", service=f"s{i}",
                      buckets=[bucket(scene.t // 1_000 - i % 4, ok=ok, latency_ms=[ok * 10.0])])
                 for i, ok in enumerate(oks)]  # fmt: skip
        if split:
            chance.shuffle(cells)  # type: ignore[attr-defined]
            for i in range(parts):
                scene.batch(*cells[i::parts])
        else:
            scene.batch(*cells)
        scene.seconds(2)
        return scene

    whole, split = lived(split=False), lived(split=True)
    assert split.state().series == whole.state().series
    assert split.state().step_tallies == whole.state().step_tallies
    assert (split.where, split.status().figures) == (whole.where, whole.status().figures)
