"""Signs of life: heartbeats and gauges of services come in and reach the rollouts that they are about."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from guardian.core.fleet import hear, key_of
from guardian.core.inputs import Batch, Gauge, Heartbeat
from guardian.core.instant import Instant
from guardian.core.state import RolloutState

OnOne = Callable[[RolloutState, Instant, Callable[[], bool]], bool | None]
"""Runs work on one rollout; when it fails, that flag is frozen, and the answer is None."""


def take_signs(rollouts: dict[str, RolloutState], batch: Batch, now: Instant, on_one: OnOne) -> list[str]:
    """Take the heartbeats and gauges of a batch.

    Args:
        rollouts: of the partition; one that includes this input already is left alone.
        on_one: runs what changes a rollout.

    Returns:
        the flags whose state changed: most heartbeats say nothing new of a flag.
    """
    changed: dict[str, None] = {}
    for heartbeat in batch.heartbeats:
        take = _how_to_take(heartbeat, now)
        for flag in heartbeat.flags:
            state = _unread(rollouts, flag, now)
            if state is not None and on_one(state, now, partial(take, state)):
                changed[flag] = None
    for gauge in batch.gauges:
        state = _unread(rollouts, gauge.flag, now)
        if state is not None and on_one(state, now, partial(_take_gauge, state, gauge, now)):
            changed[gauge.flag] = None
    return list(changed)


def _unread(rollouts: dict[str, RolloutState], flag: str, now: Instant) -> RolloutState | None:
    state = rollouts.get(flag)
    return state if state is not None and state.folded_offset < now.offset else None


def _how_to_take(heartbeat: Heartbeat, now: Instant) -> Callable[[RolloutState], bool]:
    """Take note of the instance in the partition; return what its heartbeat means to each of its rollouts."""
    key = key_of(heartbeat.service, heartbeat.instance)
    if heartbeat.bye:
        now.heard.pop(key, None)
        return lambda state: state.fleet.leave(key)
    if not hear(now.heard, key, heartbeat.at_ms):
        return lambda state: state.fleet.miss(key, heartbeat.at_ms)
    return lambda state: _take_heartbeat(state, heartbeat, key, now)


def _take_heartbeat(state: RolloutState, heartbeat: Heartbeat, key: str, now: Instant) -> bool:
    version = heartbeat.flags[state.flag]
    is_new = state.fleet.take(key, version, heartbeat.at_ms, now.heard, state.published)
    has_gauge = state.gauges is not None and state.gauges.add(
        heartbeat.service, heartbeat.at_ms, heartbeat.metrics, now.watermark_ms, instance=heartbeat.instance
    )
    told = heartbeat.dropped, heartbeat.evaluation_errors
    is_new |= state.fleet.take_loss(key, told, heartbeat.at_ms, now.heard)
    state.touched = state.touched or is_new
    return is_new or has_gauge


def _take_gauge(state: RolloutState, gauge: Gauge, now: Instant) -> bool:
    if state.gauges is None:
        return False
    return state.gauges.add(gauge.service, gauge.at_ms, gauge.metrics, now.watermark_ms, instance=gauge.instance)
