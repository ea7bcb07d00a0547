"""`guardian checkpoint`: the way on after a person looked at a recreated topic, a lost checkpoint, or a straddle."""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from typing import Annotated, Final

import typer

from guardian.cli.asking import checked, show_answers
from guardian.cli.kafka_door import KafkaDoor
from guardian.cli.options import NO_REASON, Json, KafkaOptions, SayOptions, claimed, command
from guardian.cli.reading import finish
from guardian.cli.resetting import Reset, forget_decide, plan_release, plan_source, reset_source
from guardian.cli.screen import answers, notes, print_json
from guardian.core.inputs import Command
from guardian.core.words import ALL_FLAGS
from guardian.errors import Exit
from guardian.kafka.settings import Settings
from guardian.wire.commands import fit_reason

_ANSWER_S: Final = 10.0


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
SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The source partition as the alert names it: TOPIC/ID/PARTITION.")
]
SpanArgument = Annotated[
    str, typer.Argument(metavar="START..END", help="The range that straddled, as the alert names it.")
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


def release(
    source: SourceArgument,
    span: SpanArgument,
    kafka: KafkaOptions,
    say: SayOptions,
    yes: YesOption = False,
    as_json: Json = False,
) -> Exit:
    """Let promotions go on that a straddling range has frozen; this one only, a later one freezes anew."""
    settings = kafka.load()
    if not yes:
        return _show_release(finish(plan_release(settings, source)), source, as_json=as_json)
    given = Command(
        id=uuid.uuid4().hex,
        command="release",
        flag=ALL_FLAGS,
        actor=claimed(say.actor),
        reason=fit_reason(say.reason) or NO_REASON,
        ts=time.time(),
        freeze=f"{source} {span}",
    )
    result = finish(KafkaDoor(settings).ask(checked(given), _ANSWER_S))
    if not as_json and not result.decisions and not result.silent:
        answers().print(f"nothing is frozen by {source}", markup=False)
    else:
        show_answers(result, as_json=as_json)
    return result.code()


def _show_release(found: Reset, source: str, *, as_json: bool) -> Exit:
    if as_json:
        print_json({"ok": not found.lines, "done": False, "what": source, "steps": found.lines})
    else:
        for line in found.lines or [f"nothing to release: {found.why_not}"]:
            answers().print(line, markup=False, soft_wrap=True)
        if found.lines:
            notes().print(f"nothing was done yet; {found.consequence}. With --yes it is done", markup=False)
    return Exit.NO if found.lines else Exit.OK


async def _reset(settings: Settings, what: What, begin: Begin, *, yes: bool) -> Reset:
    """Say what there is to do, and do it if that is wanted."""
    if what is What.DECIDE:
        return await forget_decide(settings, do=yes)
    found, offsets = await plan_source(settings, what, from_end=begin is Begin.END)
    if yes and offsets:
        await reset_source(settings, what, offsets)
    return found


checkpoint = typer.Typer(help="Go on after a person has looked.", no_args_is_help=True)


checkpoint.command("reset")(command(reset))
checkpoint.command("release")(command(release))
