"""What readers find on guardian.flags is not what this rollout said last: adopted, written over, or said again.

What guardian itself once said, or says in another build, is healed without an alarm. A newer document of somebody else
is adopted where it gives the candidate to nobody, and written over under a raised epoch where it gives it to anybody.
"""

from __future__ import annotations

from typing import Final

from guardian.core.actions import switch
from guardian.core.alerts import end_named_alert, named_alert
from guardian.core.epochs import raised_epoch, too_far_ahead
from guardian.core.foreign import RAISES_WITHIN_MS, ForeignDocument
from guardian.core.inputs import Actor, FlagReport, Reassert
from guardian.core.instant import Cause, Instant, change_flag, decide, stand
from guardian.core.outputs import Alert
from guardian.core.served import content_hash, served_content, serves_nobody
from guardian.core.state import RolloutState
from guardian.core.words import Outcome, Phase, Reason, Severity

EMERGENCY: Final = Actor("emergency", "emergency")
"""The actor of a change that was adopted from guardian.flags: nobody has proved who made it."""
QUIET_MS: Final = RAISES_WITHIN_MS
"""After so much log time without a foreign document its alert is over."""
FOREIGN_ALERT: Final = "foreign_document"
WRITER_ALERT: Final = "another_writer"
EMERGENCY_ALERT: Final = "emergency"


def reassert(state: RolloutState, found: Reassert, now: Instant) -> bool:
    """Fold what a version before FlagReport wrote: only older documents, and none, were reported."""
    if (found.epoch, found.version) > (state.epoch, state.version):
        return False
    if (found.epoch, found.version) < (state.epoch, state.version):
        _write_again(state, now, found)
    state.status_ms = 0
    return True


def reconcile(state: RolloutState, found: FlagReport, now: Instant) -> bool:
    """Compare what was found on guardian.flags with what this rollout asserts, and act on the difference.

    Args:
        state: of the flag; changed.
        found: the newest record of the flag.
        now: of the record.

    Returns:
        whether anything of the state changed.
    """
    ours, theirs = (state.epoch, state.version), (found.epoch, found.version)
    content = content_hash(served_content(state.flag_state()))
    if theirs == ours and found.content == content:
        state.status_ms = 0
        if state.foreign is not None:
            state.foreign.epoch = state.foreign.version = -1
        return True
    if theirs <= ours:
        if (found.expected_epoch, found.expected_version) != ours:
            return False  # ours was published after the watcher looked: it reports again if that does not heal it
        _write_again(state, now, found)
        return True
    # Step 1: a newer document that gives the candidate to nobody is obeyed, signed or not.
    if found.everyone == content_hash(state.spec.variants.values.get(state.spec.variants.control)):
        _adopt(state, found, now)
    # Step 2: one that says what ours says takes nothing from anybody, but its pair must not stand above ours.
    elif found.content == content:
        _rise_to(state, found, now)
        _write_again(state, now, found)
    # Step 3: one that serves the candidate is written over.
    else:
        _overwrite(state, found, now)
    return True


def note_emergency(state: RolloutState, now: Instant, text: str) -> None:
    """Raise the alert that an emergency change was adopted; nothing when it is active already."""
    foreign = _foreign_of(state)
    if foreign.emergency_alert is None:
        foreign.emergency_alert = named_alert(state, now, EMERGENCY_ALERT, text, Severity.CRITICAL)


def end_foreign_alerts(state: RolloutState, now: Instant) -> bool:
    """End the alerts whose cause is over; called at every tick.

    Returns:
        whether one was ended.
    """
    foreign = state.foreign
    if foreign is None:
        return False
    before = foreign.alert, foreign.writer_alert, foreign.emergency_alert
    is_over = state.phase is Phase.ARCHIVED
    if is_over or (now.log_ms - foreign.seen_ms >= QUIET_MS and foreign.epoch < 0):
        foreign.alert = _ended(foreign.alert, now, "no document of somebody else was found for ten minutes")
        foreign.writer_alert = _ended(foreign.writer_alert, now, "the other writer has stopped")
    if is_over or not (state.killed or state.phase is Phase.ROLLED_BACK):
        foreign.emergency_alert = _ended(foreign.emergency_alert, now, "the emergency was ended by a person")
    return before != (foreign.alert, foreign.writer_alert, foreign.emergency_alert)


def _foreign_of(state: RolloutState) -> ForeignDocument:
    if state.foreign is None:
        state.foreign = ForeignDocument()
    return state.foreign


def _ended(alert: Alert | None, now: Instant, text: str) -> Alert | None:
    """None, as the field is from now on; an alert that was active is told to be over."""
    if alert is not None:
        end_named_alert(alert, now, text)
    return None


def _write_again(state: RolloutState, now: Instant, found: FlagReport | Reassert) -> None:
    version = f"{found.epoch}.{found.version}"
    text = f"another document of the flag, version {version}, lay on top of guardian's: it was written again"
    if found.version < 0:
        text = "the flag had no document in Kafka, and who started would have served its code's default"
        text += ": it was written again"
    change_flag(state, now, Reason.REASSERTED, same_content=True)
    decide(state, now, stand(state), Cause(Outcome.PASS, Reason.REASSERTED, text))


def _rise_to(state: RolloutState, found: FlagReport, now: Instant) -> None:
    """Take over a newer pair, so that our next document is newer still; readers do not keep one too far ahead."""
    if not too_far_ahead(found.epoch, found.version, now.log_ms):
        state.epoch, state.version = found.epoch, found.version
    if state.foreign is not None:
        state.foreign.epoch = state.foreign.version = -1


def _adopt(state: RolloutState, found: FlagReport, now: Instant) -> None:
    _rise_to(state, found, now)
    if state.killed:
        _write_again(state, now, found)
        return
    text = (
        f"killed: a document that gives the candidate to nobody, version {found.epoch}.{found.version}, "
        "was written to guardian.flags by somebody else, as guardian's emergency path does; it was adopted"
    )
    switch(state, now, killed=True, cause=Cause(Outcome.FAIL, Reason.EMERGENCY, text, EMERGENCY))
    note_emergency(state, now, text)


def _overwrite(state: RolloutState, found: FlagReport, now: Instant) -> None:
    foreign, is_nobody = _foreign_of(state), serves_nobody(state.flag_state())
    foreign.seen_ms = now.log_ms
    version = f"{found.epoch}.{found.version}"
    text = f"a document of somebody else, version {version}, serves another share or other variants than guardian says"
    known = 0 if too_far_ahead(found.epoch, 0, now.log_ms) else found.epoch
    epoch = raised_epoch(max(state.epoch, known), now.log_ms)
    is_bounded = too_far_ahead(epoch, 0, now.log_ms)
    if is_bounded or not (is_nobody or foreign.may_raise(now.log_ms)):
        # The watcher reports it again; until it is written over, our own kill or zero rises above it by itself.
        if not too_far_ahead(found.epoch, found.version, now.log_ms):
            foreign.epoch, foreign.version = found.epoch, found.version
        if foreign.writer_alert is None:
            text += "; guardian has written over such documents again and again and stops: find the other writer"
            foreign.writer_alert = named_alert(state, now, WRITER_ALERT, text, Severity.CRITICAL)
        return
    state.epoch, state.version = epoch, 0
    foreign.note_raise(now.log_ms)
    change_flag(state, now, Reason.FOREIGN_DOCUMENT)
    text += f"; it was written over under epoch {epoch}"
    decide(state, now, stand(state), Cause(Outcome.FAIL, Reason.FOREIGN_DOCUMENT, text))
    if foreign.alert is None:
        foreign.alert = named_alert(state, now, FOREIGN_ALERT, text, Severity.CRITICAL)
