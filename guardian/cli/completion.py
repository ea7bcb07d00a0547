"""The shell completes flags' names: whoever presses Tab gets those of the running guardian, or none, but soon."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import typer

from guardian.cli.door import Door
from guardian.cli.logs import keep_quiet
from guardian.cli.reading import Present

WITHIN_S: Final = 1.5
"""Unless GUARDIAN_COMPLETE_WITHIN_S says otherwise, for who is far from his Kafka."""
_WITHIN_VARIABLE: Final = "GUARDIAN_COMPLETE_WITHIN_S"
_WORDS: Final = ("settings_file", "bootstrap", "prefix", "server", "token")


def flag_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the flags whose names begin so; none when guardian cannot be asked.

    Args:
        context: with the options that stand on the line already.
        incomplete: what has been typed of the name.
    """
    from guardian.cli.options import DoorOptions  # noqa: PLC0415 (which offers this completion)

    keep_quiet()
    given = {word: value for word in _WORDS if (value := context.params.get(word))}
    try:
        within_s = float(os.environ.get(_WITHIN_VARIABLE) or WITHIN_S)
        present = asyncio.run(ask_within(DoorOptions(**given).door(), within_s))
    except Exception:  # whatever it is: a traceback has no place between two words of a command line
        return []
    return [flag for flag in present.statuses if flag.startswith(incomplete)]


async def ask_within(door: Door, within_s: float) -> Present:
    """Return what stands now.

    Args:
        door: to guardian.
        within_s: seconds that it may take.

    Raises:
        TimeoutError: it takes longer.
    """
    async with asyncio.timeout(within_s):
        return await door.present()
