"""Who is served the candidate, in words: by the split, and past it by an opt-in or an override."""

from __future__ import annotations

from guardian.core.outputs import FlagState
from guardian.core.override_names import override_name
from guardian.core.text import weight_text
from guardian.core.words import Phase


def share_left(state: FlagState) -> str:
    """Return what a rollback has left: `still 10% on`; empty when the split gives the candidate to nobody."""
    return f"still {weight_text(state.weight_bp)} {state.candidate}" if state.weight_bp and not state.killed else ""


def recipients(state: FlagState) -> str:
    """Return who gets the candidate, as a sentence for a person who must know whether anybody still does."""
    candidate = state.candidate
    if state.killed:
        return f"nobody: the kill switch goes before opt-ins to {candidate} and overrides"
    share = share_left(state) if state.phase is Phase.ROLLED_BACK else ""
    parts = [share or f"{weight_text(state.weight_bp)} {candidate}"]
    if state.phase is Phase.ROLLED_BACK:
        parts.append("opt-ins are denied until a new attempt")
    elif state.attempt:
        parts.append("calls that opt in")
    variable = override_name(state.flag, state.env_prefix)
    parts.append(f"an environment override still wins where it is set: {variable}={candidate}")
    return "; ".join(parts)
