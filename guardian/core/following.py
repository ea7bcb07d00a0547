"""Has the share really moved? Heartbeats and telemetry show who follows a flag change, and who stays behind."""

from __future__ import annotations

from typing import Final

from guardian.core.alerts import end_named_alert, named_alert
from guardian.core.fleet import MAX_NAMED, name_of
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.state import RolloutState
from guardian.core.text import duration_text, serving_text, weight_text
from guardian.core.words import Outcome, Phase, Reason

PATIENCE_MS: Final = 15_000
"""Beyond `settle`: who still serves the old document then is named."""
QUIET_MS: Final = 10_000
"""After so much log time without an event of an older document, no such event is on its way."""
TRIGGER: Final = "old_version"
"""The name of the alert."""


def watch_share(state: RolloutState, now: Instant) -> bool:
    """Look who follows the present flag document: record that everybody does, name who does not.

    Returns:
        True when something was said or changed.
    """
    fleet = state.fleet
    if fleet.settled or now.stale or state.phase is Phase.ARCHIVED or not state.attempt:
        return False
    quiet = [name for name, (_, log_ms) in fleet.older.items() if now.log_ms - log_ms >= QUIET_MS]
    for service in quiet:
        del fleet.older[service]
    changed = bool(quiet)
    live = fleet.live(now.watermark_ms, now.heard)
    behind = [key for key in live if fleet.served[key].version < state.content_version]
    if behind or fleet.older:
        late = _late(state, now, behind)
        if not late or fleet.alert is not None:
            return changed
        state.touched = True
        fleet.alert = named_alert(state, now, TRIGGER, _text(state, late))
        return True
    if fleet.alert is not None:
        end_named_alert(fleet.alert, now, f"{len(live)} instances follow, none serves an older version")
        fleet.alert = None
        changed = state.touched = True
    if not live:
        return changed
    fleet.settled = True
    if fleet.awaited:
        fleet.awaited = False
        _say_propagated(state, now, live)
    return True


def behind(state: RolloutState, now: Instant) -> list[str]:
    """Return the instances and services that still serve an older flag document, at most MAX_NAMED, sorted."""
    fleet = state.fleet
    if fleet.settled or not state.attempt:
        return []
    keys = [key for key in fleet.live(now.watermark_ms, now.heard) if fleet.served[key].version < state.content_version]
    named = {name_of(key) for key in keys}
    quiet = {key for key in fleet.older if not any(name.startswith(f"{key}/") for name in named)}
    return sorted(named | quiet)[:MAX_NAMED]


def _late(state: RolloutState, now: Instant, behind: list[str]) -> list[str]:
    """Who has had time enough to follow."""
    patience_ms = state.spec.settle_ms + PATIENCE_MS
    late = []
    for key in behind:
        since_ms = max(state.content_ms, state.fleet.served[key].since_ms)
        if now.watermark_ms - since_ms >= patience_ms:
            late.append(name_of(key))
    services = {name.partition("/")[0] for name in late}
    for service, (event_ms, _) in sorted(state.fleet.older.items()):
        if event_ms >= state.content_ms + patience_ms and service not in services:
            late.append(service or "a service without a name")
    return late


def _text(state: RolloutState, late: list[str]) -> str:
    more = f" and {len(late) - MAX_NAMED} more" if len(late) > MAX_NAMED else ""
    served = f"{'killed' if state.killed else weight_text(state.weight_bp)}, version {state.content_version}"
    return (
        f"an older version than that of {state.flag} ({served}) is still served by {', '.join(late[:MAX_NAMED])}{more}"
    )


def _say_propagated(state: RolloutState, now: Instant, live: list[str]) -> None:
    served = [state.fleet.served[key] for key in live]
    took_ms = max(0, max(each.since_ms for each in served) - state.content_ms)
    services = sorted({name_of(key).partition("/")[0] for key in live})
    names = ", ".join(services[:MAX_NAMED]) + (f" and {len(services) - MAX_NAMED} more" if services[MAX_NAMED:] else "")
    share = "the kill switch" if state.killed else serving_text(state.weight_bp, state.dual_run_bp)
    follow = f"1 instance of {names} follows" if len(live) == 1 else f"{len(live)} instances of {names} follow"
    text = f"{share} is in effect: {follow} after {duration_text(took_ms)}"
    decide(state, now, stand(state), Cause(Outcome.PASS, Reason.PROPAGATED, text))
