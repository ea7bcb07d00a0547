"""Has the share really moved? Heartbeats and telemetry prove that every instance follows a flag change, or name those
that do not, and those of which nobody knows."""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec.structs import replace

from guardian.core.alerts import end_named_alert, named_alert
from guardian.core.fleet import MAX_NAMED, Propagation, name_of
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.outputs import UnknownInstance
from guardian.core.state import RolloutState
from guardian.core.text import count_text, counted, duration_text, serving_text, weight_text
from guardian.core.words import Outcome, Phase, Reason

PATIENCE_MS: Final = 15_000
"""Beyond `settle`: an instance that still serves the old document then is named."""
QUIET_MS: Final = 10_000
"""After so much log time without an event of an older document, no such event is on its way."""
RETOLD_MS: Final = 60_000
"""An active alert is told again, with the instances of the moment, at most once in this time."""
TRIGGER: Final = "old_version"
"""The name of the alert."""


def watch_share(state: RolloutState, now: Instant) -> bool:
    """Look which instances follow the present flag document: record that all do, or name those that do not.

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
    found = propagation(state, now)
    if not found.is_proved or fleet.older:
        return _name(state, now, found) or changed
    if fleet.alert is not None:
        follow = f"{counted(len(found.following), 'instance')} follow, none is known to serve another version"
        end_named_alert(fleet.alert, now, follow)
        fleet.alert, fleet.named = None, ""
        changed = state.touched = True
    if not found.following:
        return changed
    fleet.settled = True
    if fleet.awaited:
        fleet.awaited = False
        _say_propagated(state, now, found.following)
    return True


def propagation(state: RolloutState, now: Instant) -> Propagation:
    """Return how far the present flag document has come."""
    return state.fleet.propagation(now.watermark_ms, now.heard, state.published)


def behind(state: RolloutState, now: Instant) -> tuple[list[str], int]:
    """Return the instances and services that still serve another flag document, and how many there are.

    Returns:
        at most MAX_NAMED of them, sorted; how many in all.
    """
    fleet = state.fleet
    if fleet.settled or not state.attempt:
        return [], 0
    named = {name_of(key) for key in propagation(state, now).behind}
    quiet = {key for key in fleet.older if not any(name.startswith(f"{key}/") for name in named)}
    return sorted(named | quiet)[:MAX_NAMED], len(named | quiet)


def unknown(state: RolloutState, now: Instant) -> tuple[list[UnknownInstance], int]:
    """Return the instances that fell silent before they followed, and how many nobody knows about.

    Returns:
        at most MAX_NAMED of them, sorted; how many in all, with those beyond the bounds.
    """
    if state.fleet.settled or not state.attempt:
        return [], 0
    found = propagation(state, now)
    return state.fleet.unknown(found.unknown, now.heard), len(found.unknown) + found.untracked


def _name(state: RolloutState, now: Instant, found: Propagation) -> bool:
    """Alert on the instances that have had time enough to follow; tell it again when they are others."""
    fleet = state.fleet
    late = _late(state, now, found.behind)
    is_over = now.watermark_ms - state.content_ms >= _patience_ms(state)
    untracked = found.untracked if is_over else 0
    if not late and not found.unknown and not untracked:
        return False
    names = "\n".join([*late[:MAX_NAMED], *found.unknown[:MAX_NAMED]])
    named = hashlib.md5(names.encode(), usedforsecurity=False).hexdigest()
    if fleet.alert is not None and (named == fleet.named or now.log_ms - fleet.alert.at_ms < RETOLD_MS):
        return False
    text = _text(state, now, late, replace(found, untracked=untracked))
    state.touched = True
    fleet.named = named
    if fleet.alert is None:
        fleet.alert = named_alert(state, now, TRIGGER, text)
    else:
        fleet.alert = replace(fleet.alert, at_ms=now.log_ms, text=text)
        now.said.append(fleet.alert)
    return True


def _patience_ms(state: RolloutState) -> int:
    return state.spec.settle_ms + PATIENCE_MS


def _late(state: RolloutState, now: Instant, behind: list[str]) -> list[str]:
    """The instances and services that have had time enough to follow."""
    patience_ms = _patience_ms(state)
    late = []
    for key in behind:
        since_ms = max(state.content_ms, state.fleet.served[key].since_ms, state.fleet.lost_ms)
        if now.watermark_ms - since_ms >= patience_ms:
            late.append(name_of(key))
    services = {name.partition("/")[0] for name in late}
    for service, (event_ms, _) in sorted(state.fleet.older.items()):
        if event_ms >= state.content_ms + patience_ms and service not in services:
            late.append(service or "a service without a name")
    return late


def _text(state: RolloutState, now: Instant, late: list[str], found: Propagation) -> str:
    served = "killed" if state.killed else weight_text(state.weight_bp)
    parts = []
    if late:
        verb = "does" if len(late) == 1 else "do"
        parts.append(f"{count_text(len(late))} {verb} not follow: {', '.join(late[:MAX_NAMED])}{_more(len(late))}")
    if found.unknown:
        silent = [
            f"{each.instance} for {duration_text((now.watermark_ms - each.heard_ms) // 1_000 * 1_000)}, "
            f"last seen serving version {each.version}"
            for each in state.fleet.unknown(found.unknown, now.heard)
        ]
        parts.append(f"{count_text(len(found.unknown))} unknown: {'; '.join(silent)}{_more(len(found.unknown))}")
    if found.untracked:
        parts.append(f"about {count_text(found.untracked)} more than guardian can follow, which are unknown too")
    return f"version {state.content_version} of {state.flag} ({served}): {'; '.join(parts)}"


def _more(count: int) -> str:
    return f" and {count_text(count - MAX_NAMED)} more" if count > MAX_NAMED else ""


def _say_propagated(state: RolloutState, now: Instant, live: list[str]) -> None:
    served = [state.fleet.served[key] for key in live]
    took_ms = max(0, max(each.since_ms for each in served) - state.content_ms)
    services = sorted({name_of(key).partition("/")[0] for key in live})
    names = ", ".join(services[:MAX_NAMED]) + (f" and {len(services) - MAX_NAMED} more" if services[MAX_NAMED:] else "")
    share = "the kill switch" if state.killed else serving_text(state.weight_bp, state.dual_run_bp)
    follow = f"1 instance of {names} follows" if len(live) == 1 else f"{len(live)} instances of {names} follow"
    text = f"{share} is in effect: {follow} after {duration_text(took_ms)}"
    decide(state, now, stand(state), Cause(Outcome.PASS, Reason.PROPAGATED, text))
