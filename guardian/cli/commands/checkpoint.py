"""`guardian checkpoint reset`: the way out after a person looked at a recreated topic or an unreadable checkpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from guardian.cli.options import Json, KafkaOptions, command
from guardian.cli.reading import finish
from guardian.cli.resetting import Reset, forget_decide, plan_source, reset_source
from guardian.cli.screen import answers, notes, print_json
from guardian.errors import Exit
from guardian.kafka.settings import Settings


class What(StrEnum):
    """What can be reset."""

    TELEMETRY = "telemetry"
    MIGRATIONS = "migrations"
    COMMANDS = "commands"
    DECIDE = "decide"


class Begin(StrEnum):
    """Where a source topic is read on."""

    BEGINNING = "beginning"
    END = "end"


WhatArgument = Annotated[What, typer.Argument(metavar="WHAT", help="telemetry, migrations, commands, or decide.")]
FromOption = Annotated[
    Begin,
    typer.Option("--from", help="Of a source: count what the new topic holds already, or only what comes."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]


def reset(
    what: WhatArgument,
    kafka: KafkaOptions,
    begin: FromOption = Begin.BEGINNING,
    yes: YesOption = False,
    as_json: Json = False,
) -> Exit:
    """Accept that a source topic was recreated, or forget decide's checkpoint; the role must not run meanwhile."""
    settings = kafka.load()
    found = finish(_reset(settings, what, begin, yes=yes))
    if as_json:
        print_json(
            {"ok": yes or not found.lines, "done": yes and bool(found.lines), "what": what, "steps": found.lines}
        )
    else:
        for line in found.lines or [f"nothing to reset: {found.why_not}"]:
            answers().print(line, markup=False, soft_wrap=True)
        if found.lines and not yes:
            notes().print(f"nothing was done yet; {found.consequence}. With --yes it is done", markup=False)
    return Exit.OK if yes or not found.lines else Exit.NO


async def _reset(settings: Settings, what: What, begin: Begin, *, yes: bool) -> Reset:
    """Say what there is to do, and do it if that is wanted."""
    if what is What.DECIDE:
        return await forget_decide(settings, do=yes)
    found, offsets = await plan_source(settings, what, from_end=begin is Begin.END)
    if yes and offsets:
        await reset_source(settings, what, offsets)
    return found


checkpoint = typer.Typer(help="Go on after a person has looked.", no_args_is_help=True)


@checkpoint.callback()
def _only_reset() -> None:
    """Go on after a person has looked: at a recreated source topic, or at a checkpoint that cannot be read."""


checkpoint.command("reset")(command(reset))
