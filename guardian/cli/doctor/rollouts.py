"""Whether the rollouts' statuses can be read, and whether guardian sees what it judges."""

from __future__ import annotations

import time
from typing import Final

from guardian.cli.doctor.finding import Asking, Finding, Level, ok
from guardian.cli.door import Door
from guardian.cli.reading import Present
from guardian.cli.views import loss_text, time_text
from guardian.core.fleet import LOST_MS
from guardian.core.outputs import Lost, RolloutStatus
from guardian.core.text import duration_text
from guardian.core.words import Phase
from guardian.kafka.clients import read_newest
from guardian.kafka.settings import Settings

LAG_MS: Final = 30_000
_MAX_LOST: Final = 5
_OVER: Final = (Phase.DRAFT, Phase.ARCHIVED)


async def examine_rollouts(settings: Settings, door: Door) -> list[Finding]:
    """Look at every status, and whether what SDKs obey is there for it."""
    asking = Asking(settings)
    present = await asking.ask("rollouts", f"read {settings.topic('rollouts')}", door.present())
    # After the statuses: a flag's document is written before them.
    flags = await asking.ask("flags", f"read {settings.topic('flags')}", read_newest(settings, "flags"))
    if present is None or flags is None:
        return asking.findings
    documents = {key.decode(errors="replace") for key, _ in flags}
    return [*rollout_findings(present), *document_findings(present, documents)]


def document_findings(present: Present, documents: set[str]) -> list[Finding]:
    """Return whether every rollout that has written a flag document still has one.

    Args:
        present: the statuses.
        documents: the flags that have one.
    """
    known = [one.state for one in present.statuses.values() if one.state.version]
    lost = [state.flag for state in known if state.flag not in documents]
    if not lost:
        return [ok("flags", f"{len(known)} of {len(known)} flags have the document that SDKs obey")]
    text = f"no document of {', '.join(lost[:10])}: applications that start now use the default of their own code"
    fix = "decide writes it again within half a minute: see that it runs, and find out who deleted it"
    return [Finding("flags", Level.PROBLEM, text, fix)]


def rollout_findings(present: Present) -> list[Finding]:
    """Return what the statuses mean."""
    alive = [one for one in present.statuses.values() if one.state.phase not in _OVER]
    found = [
        ok("rollouts", f"{len(present.statuses)} known, {len(alive)} of them serve or have served their candidate")
    ]
    if present.unreadable:
        text = f"written by another version, not to be read: {', '.join(present.unreadable[:10])}"
        fix = "run the command line in the version of guardian run, or apply these rollouts again"
        found.append(Finding("rollouts", Level.WARNING, text, fix))
    found += _losses(alive)
    # A status is written when something changes: only the newest say how it is now.
    newest_ms = max((one.updated_ms for one in alive), default=0)
    current = [one for one in alive if newest_ms - one.updated_ms < LAG_MS]
    return [*found, _watermarks(current)] if current else found


def _losses(alive: list[RolloutStatus]) -> list[Finding]:
    """What applications have lost within a day; an instance that runs several flags is named once."""
    now_ms = time.time() * 1_000
    lost: dict[str, Lost] = {}
    for one in (one for status in alive for one in status.lost if one.at_ms >= now_ms - LOST_MS):
        known = lost.get(one.instance)
        if known is None or one.dropped + one.evaluation_errors > known.dropped + known.evaluation_errors:
            lost[one.instance] = one
    if not lost:
        return []
    worst = sorted(lost.values(), key=lambda one: -one.dropped - one.evaluation_errors)
    more = f"; and {len(worst) - _MAX_LOST:,} more instances" if len(worst) > _MAX_LOST else ""
    text = "; ".join(map(loss_text, worst[:_MAX_LOST])) + more
    fix = "the application's log says why, by guardian.sdk: Kafka away, more events than it may hold, or a wrong type"
    return [Finding("losses", Level.WARNING, text, fix)]


def _watermarks(current: list[RolloutStatus]) -> Finding:
    blind = [one.state.flag for one in current if one.lag_ms < 0]
    if blind:
        text = f"guardian is blind for {', '.join(blind[:10])}: nothing is promoted"
        fix = "a source partition is missing or far behind: see groups and lag"
        return Finding("watermarks", Level.PROBLEM, text, fix)
    worst = max(current, key=lambda one: one.lag_ms)
    when = time_text(worst.updated_ms)
    text = f"evidence was {duration_text(worst.lag_ms)} behind at most ({worst.state.flag}, as of {when})"
    if worst.lag_ms > LAG_MS:
        return Finding("watermarks", Level.WARNING, text, "see groups and lag: ingest does not keep up")
    return ok("watermarks", text)
