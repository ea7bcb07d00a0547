"""What applications dropped, or could not evaluate, is never silent: heartbeats tell it, the status shows it."""

from __future__ import annotations

import msgspec

from guardian.core.fleet import GONE_MS, LOST_MS, MAX_LOSSES, MAX_NAMED, Fleet
from guardian.core.outputs import Lost
from guardian.core.snapshot import pack, unpack
from guardian.core.state import RolloutState
from tests.core.figures import beat, pass_s
from tests.core.scenes import Scene
from tests.core.test_services import declared

HEARD = {"shop\x1f1": 0}
KEY = "shop\x1f1"


def test_what_an_instance_dropped_stands_in_the_status_with_its_time() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    assert scene.status().lost == []
    first = scene.t
    beat(scene, "shop/1", lost=(1_200, 0))
    pass_s(scene, 3)
    assert scene.status().lost == [Lost("shop/1", 1_200, 0, first, first)]
    later = scene.t
    beat(scene, "shop/1", lost=(1_200, 3))
    beat(scene, "shop/2", lost=(1_300, 0))
    pass_s(scene, 3)
    assert scene.status().lost == [Lost("shop/2", 1_300, 0, later, later), Lost("shop/1", 1_200, 3, first, later)]


def test_heartbeats_that_tell_of_the_same_loss_again_leave_the_rollout_unwritten() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    scene.command("pause")
    beat(scene, "shop/1", lost=(7, 1))
    pass_s(scene, 5)
    scene.engine.capture()
    for _ in range(10):
        beat(scene, "shop/1", lost=(7, 1))
    assert [each.flag for each in scene.engine.capture().rollouts] == []


def test_a_restart_begins_at_zero_and_what_was_lost_before_is_kept() -> None:
    fleet = Fleet()
    told = [(1_200, 2), (0, 0), (0, 0), (30, 0), (40, 1), (40, 1)]
    changed = [fleet.take_loss(KEY, lost, at_ms, {KEY: at_ms}) for at_ms, lost in enumerate(told)]
    assert changed == [True, True, False, True, True, False]
    assert fleet.lost(10) == [Lost("shop/1", 1_240, 3, 0, 4)]


def test_a_heartbeat_that_is_late_is_no_restart() -> None:
    fleet = Fleet()
    assert fleet.take_loss(KEY, (50, 0), 100, {KEY: 100})
    assert not fleet.take_loss(KEY, (40, 0), 90, {KEY: 100})
    assert fleet.lost(100) == [Lost("shop/1", 50, 0, 100, 100)]


def test_after_a_day_without_more_it_is_told_no_longer_and_never_counted_anew() -> None:
    fleet = Fleet()
    fleet.take_loss(KEY, (50, 0), 100, HEARD)
    assert fleet.lost(100 + LOST_MS)
    assert fleet.lost(101 + LOST_MS) == []
    fleet.take_loss(KEY, (51, 0), 200 + LOST_MS, HEARD)
    assert fleet.lost(200 + LOST_MS) == [Lost("shop/1", 51, 0, 100, 200 + LOST_MS)]


def test_a_flood_of_instances_that_lose_is_bounded_and_who_is_gone_makes_room() -> None:
    fleet, heard = Fleet(), {}
    for number in range(MAX_LOSSES + 10):
        heard[f"shop\x1f{number}"] = 1_000
        assert fleet.take_loss(f"shop\x1f{number}", (number + 1, 0), 1_000, heard) is (number < MAX_LOSSES)
    assert len(fleet.losses) == MAX_LOSSES
    assert [one.dropped for one in fleet.lost(1_000)] == list(range(MAX_LOSSES, MAX_LOSSES - MAX_NAMED, -1))
    later_ms = 1_001 + GONE_MS
    assert fleet.take_loss("new\x1f1", (1, 0), later_ms, {**heard, "new\x1f1": later_ms})
    assert list(fleet.losses) == ["new\x1f1"]


def test_absurd_counts_still_fit_into_a_checkpoint() -> None:
    scene = Scene(declared())
    pass_s(scene, 3, beats=("shop/1",))
    for _ in range(3):
        beat(scene, "shop/1", lost=(2**63 - 1, 2**63 - 1))
        beat(scene, "shop/1")
    assert unpack(pack(scene.state()), RolloutState).fleet == scene.state().fleet


def test_a_snapshot_of_before_is_restored_without_losses() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    document = msgspec.msgpack.decode(msgspec.msgpack.encode(scene.state().fleet))
    del document["losses"]
    assert msgspec.convert(document, Fleet) == scene.state().fleet
