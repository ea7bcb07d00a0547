"""Signs of life: heartbeats and gauges of services come in and reach the rollouts that they are about."""

from __future__ import annotations

from guardian.core.fleet import hear, key_of
from guardian.core.inputs import Batch, Gauge, Heartbeat
from guardian.core.instant import Instant
from guardian.core.state import RolloutState


def take_signs(rollouts: dict[str, RolloutState], batch: Batch, now: Instant) -> list[str]:
    """Take the heartbeats and gauges of a batch.

    Args:
        rollouts: of the partition; one that includes this input already is left alone.

    Returns:
        the flags whose state changed: most heartbeats say nothing new of a flag.
    """
    changed: dict[str, None] = {}
    for heartbeat in batch.heartbeats:
        changed.update(dict.fromkeys(_take_heartbeat(rollouts, heartbeat, now)))
    for gauge in batch.gauges:
        if _take_gauge(rollouts, gauge, now):
            changed[gauge.flag] = None
    return list(changed)


def _take_heartbeat(rollouts: dict[str, RolloutState], heartbeat: Heartbeat, now: Instant) -> list[str]:
    key = key_of(heartbeat.service, heartbeat.instance)
    states = [(flag, rollouts[flag]) for flag in heartbeat.flags if flag in rollouts]
    states = [(flag, state) for flag, state in states if state.folded_offset < now.offset]
    if getattr(heartbeat, "bye", False):
        now.heard.pop(key, None)
        return [flag for flag, state in states if state.fleet.leave(key)]
    if not hear(now.heard, key, heartbeat.at_ms):
        return [flag for flag, state in states if state.fleet.miss(key, heartbeat.at_ms)]
    changed = []
    for flag, state in states:
        version = heartbeat.flags[flag]
        is_new = state.fleet.take(key, version, heartbeat.at_ms, now.heard, state.published)
        has_gauge = state.gauges is not None and state.gauges.add(
            heartbeat.service, heartbeat.at_ms, heartbeat.metrics, now.watermark_ms
        )
        told = heartbeat.dropped, heartbeat.evaluation_errors
        is_new |= state.fleet.take_loss(key, told, heartbeat.at_ms, now.heard)
        state.touched = state.touched or is_new
        if is_new or has_gauge:
            changed.append(flag)
    return changed


def _take_gauge(rollouts: dict[str, RolloutState], gauge: Gauge, now: Instant) -> bool:
    state = rollouts.get(gauge.flag)
    if state is None or state.folded_offset >= now.offset or state.gauges is None:
        return False
    return state.gauges.add(gauge.service, gauge.at_ms, gauge.metrics, now.watermark_ms)
