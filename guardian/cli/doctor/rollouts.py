"""Whether the rollouts' statuses can be read, and whether guardian sees what it judges."""

from __future__ import annotations

from typing import Final

from guardian.cli.doctor.finding import Asking, Finding, Level, ok
from guardian.cli.door import Door
from guardian.cli.reading import Present
from guardian.core.outputs import RolloutStatus
from guardian.core.text import duration_text
from guardian.core.words import Phase
from guardian.kafka.settings import Settings

LAG_MS: Final = 30_000
_OVER: Final = (Phase.DRAFT, Phase.ARCHIVED)


async def examine_rollouts(settings: Settings, door: Door) -> list[Finding]:
    """Look at every status."""
    asking = Asking(settings)
    present = await asking.ask("rollouts", f"read {settings.topic('rollouts')}", door.present())
    return asking.findings if present is None else rollout_findings(present)


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
    # A status is written when something changes: only the newest say how it is now.
    newest_ms = max((one.updated_ms for one in alive), default=0)
    current = [one for one in alive if newest_ms - one.updated_ms < LAG_MS]
    return [*found, _watermarks(current)] if current else found


def _watermarks(current: list[RolloutStatus]) -> Finding:
    blind = [one.state.flag for one in current if one.lag_ms < 0]
    if blind:
        text = f"guardian is blind for {', '.join(blind[:10])}: nothing is promoted"
        fix = "a source partition is missing or far behind: see groups and lag"
        return Finding("watermarks", Level.PROBLEM, text, fix)
    worst = max(current, key=lambda one: one.lag_ms)
    text = f"evidence is {duration_text(worst.lag_ms)} behind at most ({worst.state.flag})"
    if worst.lag_ms > LAG_MS:
        return Finding("watermarks", Level.WARNING, text, "see groups and lag: ingest does not keep up")
    return ok("watermarks", text)
