"""Alerts: raised once per onset of a trigger, ended by the same id with `active: false`."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core.instant import Instant, located
from guardian.core.outputs import Alert, Evidence, Verdict
from guardian.core.rollout import Trigger
from guardian.core.state import RolloutState, Watch
from guardian.core.words import Action, Outcome, Reason, Severity

NO_FLAG = "*"
"""The flag of an alert about guardian itself."""

Raised = tuple[int, int]
"""Where an alert about guardian itself was raised: the input's offset, and log time in milliseconds."""


def raise_alert(state: RolloutState, watch: Watch, now: Instant, trigger: Trigger, verdict: Verdict) -> None:
    """Say that a trigger fired; nothing when its alert is active already."""
    if watch.alert is not None:
        return
    # A leap of the watermark is judged at many event times in one instant of log time: each onset has its own id.
    onset_ms = watch.onset_ms = max(now.log_ms, watch.onset_ms + 1)
    watch.alert = Alert(
        id=f"{state.flag}/{state.attempt}/{trigger.name}/{onset_ms}",
        flag=state.flag,
        attempt=state.attempt,
        trigger=trigger.name,
        severity=trigger.severity,
        tell=trigger.tell,
        do=trigger.do,
        active=True,
        onset_ms=onset_ms,
        at_ms=onset_ms,
        text=verdict.text,
        evidence=located(verdict.evidence, now),
    )
    now.said.append(watch.alert)


def clear_alert(watch: Watch, now: Instant, trigger: Trigger, verdict: Verdict, at_ms: int) -> None:
    """End a trigger's alert once its rule has passed for as long as the trigger says.

    A rule whose true figure lies at its limit would otherwise raise and end an alert every minute. An evaluation that
    cannot judge neither counts nor starts the time again; one that crosses the limit starts it again.

    Args:
        watch: of the trigger.
        now: the moment.
        trigger: what was declared.
        verdict: of this evaluation.
        at_ms: its event time.
    """
    if watch.alert is None:
        return
    if verdict.outcome is not Outcome.PASS:
        watch.passed_at_ms = 0
        if verdict.reason in (Reason.OVER_LIMIT, Reason.HOLDING):
            watch.passed_ms = 0
        return
    watch.passed_ms += max(0, at_ms - watch.passed_at_ms) if watch.passed_at_ms else 0
    watch.passed_at_ms = max(watch.passed_at_ms, at_ms)
    if watch.passed_ms >= trigger.clear_ms:
        end_alert(watch, now, verdict.text)


def end_alert(watch: Watch, now: Instant, text: str) -> None:
    """Say that what an active alert was about is over; nothing when none is active."""
    if watch.alert is None:
        return
    now.said.append(replace(watch.alert, active=False, at_ms=max(now.log_ms, watch.alert.onset_ms), text=text))
    watch.alert, watch.passed_ms, watch.passed_at_ms = None, 0, 0


def amend_alerts(state: RolloutState, now: Instant, text: str) -> None:
    """Add to the alerts that this record has raised what their action has left."""
    for watch in state.watches.values():
        if watch.alert is not None and watch.alert in now.said:
            place = now.said.index(watch.alert)
            now.said[place] = watch.alert = replace(watch.alert, text=f"{watch.alert.text}; {text}")


def named_alert(
    state: RolloutState, now: Instant, name: str, text: str, severity: Severity = Severity.WARNING
) -> Alert:
    """Say that a rollout needs a person for something that no trigger of its spec looks at; return the alert."""
    alert = Alert(
        id=f"{state.flag}/{state.attempt}/{name}/{now.log_ms}",
        flag=state.flag,
        attempt=state.attempt,
        trigger=name,
        severity=severity,
        tell="",
        do=Action.NOTIFY,
        active=True,
        onset_ms=now.log_ms,
        at_ms=now.log_ms,
        text=text,
        evidence=Evidence(partition=now.partition, offset=now.offset),
    )
    now.said.append(alert)
    return alert


def end_named_alert(alert: Alert, now: Instant, text: str) -> None:
    """Say that what such an alert was about is over."""
    now.said.append(replace(alert, active=False, at_ms=now.log_ms, text=text))


def alert_on_guardian(now: Instant, what: str, text: str) -> Raised:
    """Say that guardian itself needs a person: a broken protocol, a lost log, a recreated topic; return where."""
    raised = now.offset, now.log_ms
    now.said.append(_on_guardian(now, what, raised, text))
    return raised


def end_alert_on_guardian(now: Instant, what: str, raised: Raised, text: str) -> None:
    """Say that what such an alert was about is over.

    Args:
        now: the moment.
        what: what it was about.
        raised: where it was raised.
        text: why it is over.
    """
    alert = _on_guardian(now, what, raised, text)
    now.said.append(replace(alert, active=False, at_ms=max(now.log_ms, alert.onset_ms)))


def tell_of_guardian(now: Instant, what: str, text: str) -> None:
    """Say what a person has done about guardian itself: for those who follow the alerts, nobody need act."""
    alert = _on_guardian(now, what, (now.offset, now.log_ms), text)
    now.said.append(replace(alert, severity=Severity.INFO, active=False))


def _on_guardian(now: Instant, what: str, raised: Raised, text: str) -> Alert:
    offset, onset_ms = raised
    return Alert(
        id=f"guardian/{now.partition}/{what}/{offset}",
        flag=NO_FLAG,
        attempt=0,
        trigger=what,
        severity=Severity.CRITICAL,
        tell="",
        do=Action.NOTIFY,
        active=True,
        onset_ms=onset_ms,
        at_ms=onset_ms,
        text=text,
        evidence=Evidence(partition=now.partition, offset=offset),
    )
