"""What is left when `kill` or `rollback` gets no answer: the emergency path, and the application's own override."""

from __future__ import annotations

import asyncio
from typing import Final

from guardian.cli.door import Door
from guardian.core.inputs import Command
from guardian.core.outputs import FlagState
from guardian.core.override_names import override_name
from guardian.core.words import ALL_FLAGS

BRAKES: Final = ("kill", "rollback")
_LOOK_S: Final = 3.0


async def second_road(door: Door, given: Command) -> list[str]:
    """Return the ways that need less of guardian than the command did, as sentences; none for other commands.

    Args:
        door: to guardian: asked for the flag's document for a few seconds at most.
        given: the command that nobody answered.
    """
    if given.command not in BRAKES:
        return []
    return [emergency_text(given), override_text(given.flag, await _state(door, given.flag))]


def emergency_text(given: Command) -> str:
    """Return the command that needs Kafka only."""
    what = "--all --yes" if given.flag == ALL_FLAGS else given.flag
    return (
        f"with ingest and decide away, guardian emergency {given.command} {what} needs Kafka only; SDKs follow at once"
    )


def override_text(flag: str, state: FlagState | None) -> str:
    """Return how an application is taken off a flag by its own environment."""
    if flag == ALL_FLAGS:
        return "without Kafka, the override of each flag in the environment of its applications"
    name = override_name(flag, state.env_prefix if state else "")
    control = state.control if state else "off"
    unknown = "" if state else " (if the spec has an env_prefix, it stands in front)"
    return f"without Kafka, {name}={control} in the environment of the application{unknown}, then restart it"


async def _state(door: Door, flag: str) -> FlagState | None:
    if flag == ALL_FLAGS:
        return None
    try:
        async with asyncio.timeout(_LOOK_S):
            found = (await door.present()).statuses.get(flag)
    except Exception:  # the way out is said without it
        return None
    return found.state if found else None
