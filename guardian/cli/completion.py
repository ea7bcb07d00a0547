"""The shell completes flags' names: whoever presses Tab gets those of the running guardian, or none, but soon."""

from __future__ import annotations

import asyncio
from typing import Final

import typer

from guardian.cli.door import Door
from guardian.cli.logs import keep_quiet
from guardian.cli.reading import Present

WITHIN_S: Final = 1.5
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
        present = asyncio.run(_ask(DoorOptions(**given).door()))
    except Exception:  # whatever it is: a traceback has no place between two words of a command line
        return []
    return [flag for flag in present.statuses if flag.startswith(incomplete)]


async def _ask(door: Door) -> Present:
    async with asyncio.timeout(WITHIN_S):
        return await door.present()
