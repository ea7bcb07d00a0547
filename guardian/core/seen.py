"""Two actors at once: one wins, and the other, whose sender saw what is no longer so, is refused with a reason.

Only commands that climb are refused for it. What protects is always obeyed: it is right whatever was seen.
"""

from __future__ import annotations

from typing import Final

from guardian.core.inputs import Command
from guardian.core.state import RolloutState
from guardian.core.text import duration_text

CLIMBING: Final = frozenset({"apply", "start", "promote", "resume", "unkill"})
"""The commands that may bring the candidate to more people than their sender knew of."""


def overtaken(state: RolloutState, command: Command, log_ms: int) -> str:
    """Return who came between what a command's sender saw and the command; empty when nobody did.

    Args:
        state: of the rollout.
        command: one that climbs. Without `seen_turn` (for `apply`: `seen_revision`) it is unconditional.
        log_ms: log time.
    """
    ago = duration_text(max(0, log_ms - state.turn) // 1_000 * 1_000)
    last = f"{state.moved_by or 'a command'}, {ago} ago"
    if command.command == "apply":
        seen, present = command.seen_revision, state.spec.revision
        if command.seen_turn is not None and command.seen_turn < state.applied_turn:
            came = f"revision {present} was applied after what you saw"
        elif seen is not None and seen != present:
            came = f"revision {present} is applied, where you saw {f'revision {seen}' if seen else 'no rollout'}"
        else:
            return ""
        return f"{came}; the last move was {last}: guardian apply FILE --dry-run shows what your spec would change now"
    if command.seen_turn is None or command.seen_turn == state.turn:
        return ""
    return (
        f"it moved after what you saw: {last} (turn {command.seen_turn} was seen, now it is {state.turn}): "
        f"look with guardian status {state.flag}, and give the command again if it is still right"
    )


def is_repeated(state: RolloutState, command: Command) -> bool:
    """Return whether this very command made the rollout's last move: given twice, it was obeyed once."""
    return bool(command.id) and command.id == state.moved_id
