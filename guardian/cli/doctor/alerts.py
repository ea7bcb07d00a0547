"""What guardian has said about itself and nobody has dealt with yet: topics made anew, a log that was cut."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from guardian.cli.doctor.finding import Asking, Finding, Level, ok
from guardian.core.alerts import NO_FLAG
from guardian.core.outputs import Alert
from guardian.core.text import duration_text
from guardian.errors import DecodeError
from guardian.kafka.clients import read_newest
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_alert

FRESH_MS: Final = 86_400_000
"""What is over by itself is told while it lasts, and for so long at most."""
_STANDS: Final = {
    "stopped": "grant what it names; ingest notices by itself",
    "recreated": "find out who did it; then stop ingest, guardian checkpoint reset {source} --yes, and start it",
    "blind": "start ingest, or see groups and lag: the alert names what does not report",
    "straddle": "only ingest may commit its offsets: find out who; then the command that this names lets it go on",
}
"""What holds promotions up until a person has acted, and what to do."""
_HAPPENED: Final = {
    "unreadable": "guardian tail dead-letters names each batch; gzip, snappy, lz4 and zstd are read: look at the"
    " producer, then at the brokers' disks; it ends after an hour without another one",
    "inputs_lost": "find out what cut guardian.inputs; evidence began anew, and it ends when the windows are full",
    "log_time_leap": "look at the brokers' clocks (NTP); it ends after an hour without another one",
}


async def examine_alerts(settings: Settings) -> list[Finding]:
    """Look at the alerts about guardian itself."""
    asking = Asking(settings)
    found = await asking.ask("alerts", f"read {settings.topic('alerts')}", _on_guardian(settings))
    return asking.findings if found is None else alert_findings(found, settings.prefix, time.time() * 1_000)


async def _on_guardian(settings: Settings) -> list[Alert]:
    """The active ones, the oldest first."""
    found = []
    for record in (await read_newest(settings, "alerts")).values():
        try:
            alert = decode_alert(record.value)
        except DecodeError:
            continue  # of another version: rollouts tell of it
        if alert.flag == NO_FLAG and alert.active:
            found.append(alert)
    return sorted(found, key=lambda alert: (alert.onset_ms, alert.id))


def alert_findings(alerts: Collection[Alert], prefix: str, now_ms: float) -> list[Finding]:
    """Return what the active alerts about guardian itself mean, one finding for each kind.

    Args:
        alerts: them, the oldest first.
        prefix: of the topics.
        now_ms: this machine's time.
    """
    kinds: dict[str, list[Alert]] = {}
    for alert in alerts:
        kinds.setdefault(alert.trigger.split(" ")[0], []).append(alert)
    found = []
    for kind, those in kinds.items():
        age_ms = int(max(now_ms - those[0].onset_ms, 0))
        more = f" (and {len(those) - 1} more)" if len(those) > 1 else ""
        text = f"{duration_text(age_ms)} ago: {those[0].text}{more}"
        if kind in _STANDS:
            fix = _STANDS[kind].format(source=_source(those[0], prefix))
            found.append(Finding("alerts", Level.PROBLEM, f"{text}; nothing is promoted", fix))
        elif now_ms - those[-1].onset_ms < FRESH_MS:
            fix = _HAPPENED.get(kind, "guardian tail alerts --since 1d tells more")
            found.append(Finding("alerts", Level.WARNING, text, fix))
    return found or [ok("alerts", "guardian has nothing to say against itself")]


def _source(alert: Alert, prefix: str) -> str:
    """The short name of the source topic that an alert is about: its trigger ends with `PREFIX.NAME/...`."""
    return alert.trigger.partition(" ")[2].removeprefix(f"{prefix}.").partition("/")[0]
