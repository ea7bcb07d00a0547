"""What readers find in Kafka is not what this rollout said last: it is said again."""

from __future__ import annotations

from guardian.core.inputs import Reassert
from guardian.core.instant import Cause, Instant, change_flag, decide, stand
from guardian.core.state import RolloutState
from guardian.core.words import Outcome, Reason


def reassert(state: RolloutState, found: Reassert, now: Instant) -> bool:
    """Write the flag document again when an older one or none is there, and the status at the next tick in any case.

    Args:
        state: of the flag; changed.
        found: the version of the document that was found.
        now: of the record.

    Returns:
        whether anything of the state changed.
    """
    if (found.epoch, found.version) > (state.epoch, state.version):
        return False
    state.status_ms = 0
    if (found.epoch, found.version) < (state.epoch, state.version):
        version = f"{found.epoch}.{found.version}"
        text = f"an older document of the flag, version {version}, lay on top of guardian's: it was written again"
        if found.version < 0:
            text = "the flag had no document in Kafka, and who started would have served its code's default"
            text += ": it was written again"
        change_flag(state, now, Reason.REASSERTED, same_content=True)
        decide(state, now, stand(state), Cause(Outcome.PASS, Reason.REASSERTED, text))
    return True
