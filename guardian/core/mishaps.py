"""What befell a partition and is over by itself: a gap in its log, timestamps that were not believed.

Each is one alert about guardian, raised when it begins and ended when nothing of it is left.
"""

from __future__ import annotations

from typing import Final

from guardian.core.alerts import alert_on_guardian, end_alert_on_guardian
from guardian.core.inputs import Batch, Watermarks
from guardian.core.instant import Instant
from guardian.core.snapshot import PartitionState

QUIET_AFTER_LEAP_MS: Final = 3_600_000
"""After so much log time without another one, the brokers' clocks are taken for mended."""
QUIET_AFTER_UNREADABLE_MS: Final = 3_600_000
"""After so much log time without another one, the producer is taken for corrected."""
TOLD: Final = 0
"""The input partition that raises alerts on what all of them hear: one is enough, and there always is this one."""
BLIND_FOR_MS: Final = 30_000
"""Stale evidence of this much log time is an alert."""
SIGHTED_FOR_MS: Final = 10_000
"""After so much log time of fresh evidence the alert ends."""
_BLIND: Final = "blind"
_LOST: Final = "inputs_lost"
_LEAP: Final = "log_time_leap"
_LEFT_OUT: Final = "input_left_out"


def tell_lost(state: PartitionState, now: Instant, text: str, full_ms: int) -> None:
    """Say that a part of the log was lost.

    Args:
        state: of the partition.
        now: the moment.
        text: which part.
        full_ms: event time from which every window is full again.
    """
    if state.lost_at is not None:
        end_alert_on_guardian(now, _LOST, state.lost_at, f"another gap followed: {text}")
    state.lost_at = alert_on_guardian(now, _LOST, text)
    state.full_ms = max(state.full_ms, full_ms)


def tell_left_out(state: PartitionState, now: Instant, text: str, full_ms: int) -> None:
    """Say that an input was left out because guardian's own code failed on it.

    Args:
        state: of the partition.
        now: the moment.
        text: which input, and what was raised.
        full_ms: event time from which every window is full again.
    """
    state.left_out_count += 1
    if state.left_out_at is None:
        state.left_out_at = alert_on_guardian(now, _LEFT_OUT, text)
    state.full_ms = max(state.full_ms, full_ms)


def tell_leap(state: PartitionState, now: Instant) -> None:
    """Say that a timestamp was not believed; a broken clock breaks every record, and is one alert."""
    state.leap_alert_ms = now.log_ms
    if state.leapt_at is None:
        text = f"partition {now.partition}: a timestamp far ahead of log time was ignored; check the brokers' clocks"
        state.leapt_at = alert_on_guardian(now, _LEAP, text)


def tell_unreadable(state: PartitionState, batch: Batch, now: Instant) -> None:
    """Raise one alert for each source partition of which ingest left records out because it cannot read them."""
    if not batch.unreadable:
        return
    name = f"{batch.source.topic}/{batch.source.partition}"
    state.unreadable_ms[name] = now.log_ms
    if name not in state.unreadable_at:
        text = (
            f"{name}: {batch.unreadable} records within [{batch.start}, {batch.end}) cannot be read (codec, checksum or"
            " size) and do not count; each batch is a dead letter with the reason unreadable"
        )
        state.unreadable_at[name] = alert_on_guardian(now, f"unreadable {name}", text)


def tell_stopped(state: PartitionState, marks: Watermarks, now: Instant) -> None:
    """Raise one alert for each source partition that ingest owns and does not read; every partition hears the marks."""
    if now.partition != TOLD:
        return
    for mark in marks.marks:
        name = f"{mark.source.topic}/{mark.source.partition}"
        if mark.stopped and name not in state.stopped_at:
            state.stopped_at[name] = alert_on_guardian(now, f"stopped {name}", f"{name} is not read: {mark.stopped}")
        elif not mark.stopped and (raised := state.stopped_at.pop(name, None)):
            end_alert_on_guardian(now, f"stopped {name}", raised, f"{name} is read again")


def _end_unreadable(state: PartitionState, now: Instant) -> None:
    over = [name for name, at in state.unreadable_ms.items() if now.log_ms - at >= QUIET_AFTER_UNREADABLE_MS]
    for name in over:
        del state.unreadable_ms[name]
        raised = state.unreadable_at.pop(name)
        end_alert_on_guardian(now, f"unreadable {name}", raised, f"{name}: every record was readable for an hour")


def end_mishaps(state: PartitionState, now: Instant) -> None:
    """Say of what is over that it is."""
    if state.left_out_at is not None and now.watermark_ms >= state.full_ms:
        text = f"the windows of partition {now.partition} are full again"
        end_alert_on_guardian(now, _LEFT_OUT, state.left_out_at, text)
        state.left_out_at = None
    if state.lost_at is not None and now.watermark_ms >= state.full_ms:
        text = f"the windows of partition {now.partition} are full again"
        end_alert_on_guardian(now, _LOST, state.lost_at, text)
        state.lost_at = None
    if state.leapt_at is not None and now.log_ms - state.leap_alert_ms >= QUIET_AFTER_LEAP_MS:
        text = f"partition {now.partition}: no such timestamp for an hour"
        end_alert_on_guardian(now, _LEAP, state.leapt_at, text)
        state.leapt_at = None
    _end_unreadable(state, now)


def watch_blindness(state: PartitionState, now: Instant, *, is_watched: bool) -> None:
    """Alert when guardian has been blind for a while, and end it when the evidence is fresh again.

    Args:
        state: of the partition.
        now: the moment of a tick.
        is_watched: the partition has a rollout to watch; nobody is alarmed for one that has none.
    """
    if why := state.clock.stale():
        state.sighted_ms, state.blind_ms = 0, state.blind_ms or now.log_ms
        if state.blind_at is None and is_watched and now.log_ms - state.blind_ms >= BLIND_FOR_MS:
            text = f"partition {now.partition}: guardian is blind: {why}"
            text += "; nothing is promoted, triggers miss what happens"
            state.blind_at = alert_on_guardian(now, _BLIND, text)
        return
    state.blind_ms, state.sighted_ms = 0, state.sighted_ms or now.log_ms
    if state.blind_at is not None and now.log_ms - state.sighted_ms >= SIGHTED_FOR_MS:
        text = f"partition {now.partition}: the evidence is fresh again"
        end_alert_on_guardian(now, _BLIND, state.blind_at, text)
        state.blind_at = None
