"""How long a step has been held and watched: log time in `progressing`, on fresh evidence, without the kill switch.

The partition keeps one clock of fresh time, and a rollout the moment from which it counts;
so time passes for ten thousand rollouts without a write for any of them.
"""

from __future__ import annotations

from guardian.core.instant import Instant
from guardian.core.state import RolloutState
from guardian.core.words import Phase


def baked_ms(state: RolloutState, now: Instant) -> int:
    """Return how much of the current step's bake is over."""
    if state.phase is not Phase.PROGRESSING or state.killed or state.step is None:
        return state.baked_ms
    return min(max(now.fresh_ms - state.bake_from_ms, 0), state.step.bake_ms)


def set_bake(state: RolloutState, now: Instant, done_ms: int) -> None:
    """Let the bake count on from here; its gates are waited for anew.

    Args:
        done_ms: how much of it is over.
    """
    state.baked_ms = done_ms
    state.bake_from_ms = now.fresh_ms - done_ms
    state.gate_wait_ms = 0
