"""Alerts on the evidence itself: undeclared variants, an odd share, and a rollout that waits for evidence in vain."""

from __future__ import annotations

from typing import Final

from guardian.core.alerts import end_named_alert, named_alert
from guardian.core.evidence_doubts import (
    UNKNOWN_QUIET_MS,
    Doubt,
    find_odd_share,
    find_unknown_variants,
    is_followed,
)
from guardian.core.instant import Instant
from guardian.core.outputs import Alert
from guardian.core.state import RolloutState
from guardian.core.words import Phase, Reason

MIN_PATIENCE_MS: Final = 60_000
"""A rollout that waits for evidence alerts one bake after the bake, but not before this time."""
SHARE_QUIET_MS: Final = 60_000
"""Beyond the time that everybody has to follow a flag change, before an alert on an odd share is over."""
UNKNOWN: Final = "unknown_variant"
SHARE: Final = "share_mismatch"
WAITING: Final = {
    Reason.NO_EXPOSURE: "no_exposure",
    Reason.GUARD_BLIND: "guard_blind",
    Reason.ONE_ARM_SILENT: "one_arm_silent",
}
"""The names of the alerts on a wait without an end, by its reason."""


def watch_arms(state: RolloutState, now: Instant) -> None:
    """Raise or end the alerts on undeclared variants and on an odd share, in every phase."""
    seen = state.exposure
    if state.phase is Phase.ARCHIVED or not (seen.unknown or seen.known or seen.alerts):
        return
    if (unknown := find_unknown_variants(state, now.log_ms)) is not None:
        _raise(state, now, UNKNOWN, unknown.text)
    elif UNKNOWN in seen.alerts and now.log_ms - seen.unknown_ms >= UNKNOWN_QUIET_MS:
        _end(state, now, UNKNOWN, "only declared variants arrive")
    if (odd := find_odd_share(state, now.watermark_ms)) is not None:
        _raise(state, now, SHARE, odd.text)
    elif SHARE in seen.alerts and is_followed(state, now.watermark_ms - SHARE_QUIET_MS):
        _end(state, now, SHARE, "requests are shared out as the weight says")


def watch_waiting(state: RolloutState, now: Instant, doubt: Doubt | None) -> None:
    """Raise or end the alert on a rollout that has waited for evidence for a whole bake after its bake.

    Args:
        doubt: what it waits for first; None when it does not wait for evidence.
    """
    wanted = WAITING.get(doubt.reason, "") if doubt else ""
    for name in [name for name in WAITING.values() if name in state.exposure.alerts and name != wanted]:
        _end(state, now, name, "the rollout does not wait for it any more")
    if doubt is not None and wanted and is_overdue(state, now):
        _raise(state, now, wanted, doubt.text)


def is_overdue(state: RolloutState, now: Instant) -> bool:
    """Return whether the bake has been over for as long as it lasts, and for a minute at least."""
    bake_ms = state.step.bake_ms if state.step else 0
    return now.fresh_ms - state.bake_from_ms >= bake_ms + max(bake_ms, MIN_PATIENCE_MS)


def end_alerts(state: RolloutState, now: Instant, text: str) -> None:
    """End every alert on the evidence: a new attempt begins, or the rollout is archived."""
    for name in list(state.exposure.alerts):
        _end(state, now, name, text)


def _raise(state: RolloutState, now: Instant, name: str, text: str) -> None:
    alerts: dict[str, Alert] = state.exposure.alerts
    if name not in alerts:
        alerts[name] = named_alert(state, now, name, text)
        state.status_ms = 0  # the status is due, and the snapshot with it


def _end(state: RolloutState, now: Instant, name: str, text: str) -> None:
    end_named_alert(state.exposure.alerts.pop(name), now, text)
    state.status_ms = 0
