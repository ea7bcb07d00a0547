"""`guardian emergency`: the brake that needs Kafka only, and what applications obey now."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from msgspec.structs import replace as replaced
from rich.markup import escape
from rich.table import Table

from guardian.cli.completion import flag_names
from guardian.cli.emergency import Declared, Done, Given, carry_out, plan
from guardian.cli.obeyed import SILENT_S, Flags, Obeyed, read_flags
from guardian.cli.options import NO_REASON, Json, KafkaOptions, SayOptions, Target, claimed, command, flag_name
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json, print_page, print_warnings
from guardian.core.outputs import FlagState
from guardian.core.text import counted, duration_text, weight_text
from guardian.core.words import ALL_FLAGS
from guardian.errors import Exit, SettingsError
from guardian.kafka.settings import Settings
from guardian.wire.commands import fit_reason
from guardian.wire.emergency import VIA, Kind

YesOption = Annotated[bool, typer.Option("--yes", help="With --all: do it; without this it is only shown.")]
OneFlag = Annotated[
    str | None,
    typer.Argument(
        metavar="FLAG", help="The flag's name; all without it.", parser=flag_name, autocompletion=flag_names
    ),
]


@dataclass(frozen=True)
class VariantOptions:
    """What a flag's variants are, for a flag of which no document can be read."""

    control: Annotated[
        str, typer.Option("--control", metavar="NAME", help="The variant for everybody, if no document can be read.")
    ] = ""
    variants: Annotated[
        str, typer.Option("--variants", metavar="JSON", help='Every variant\'s value, as {"on": true, "off": false}.')
    ] = ""

    def declared(self) -> Declared | None:
        """Return the variants; None when none are given.

        Raises:
            SettingsError: one without the other, or no JSON object with the control variant in it.
        """
        if not self.control and not self.variants:
            return None
        fix = '--control off --variants \'{"on": true, "off": false}\''
        try:
            values = json.loads(self.variants)
        except ValueError as error:
            raise SettingsError(f"--variants: {error}", fix) from error
        if not isinstance(values, dict) or self.control not in values:
            raise SettingsError(f"--control {self.control!r} is not one of --variants", fix)
        if not all(isinstance(value, bool | int | float | str) for value in values.values()):
            raise SettingsError("--variants: each value is true, false, a number or a text", fix)
        return Declared(self.control, values)


def kill(
    target: Target,
    kafka: KafkaOptions,
    say: SayOptions,
    variants: VariantOptions,
    yes: YesOption = False,
    as_json: Json = False,
) -> Exit:
    """Give control to everybody with guardian itself away: write the flag's document, which SDKs obey."""
    return _order(Kind.KILL, target, kafka.load(), (say, variants, yes), as_json=as_json)


def rollback(
    target: Target,
    kafka: KafkaOptions,
    say: SayOptions,
    variants: VariantOptions,
    yes: YesOption = False,
    as_json: Json = False,
) -> Exit:
    """Roll back to 0% with guardian itself away: write the flag's document, which SDKs obey."""
    return _order(Kind.ROLLBACK, target, kafka.load(), (say, variants, yes), as_json=as_json)


def status(kafka: KafkaOptions, flag: OneFlag = None, as_json: Json = False) -> Exit:
    """Show what SDKs obey now, from guardian.flags alone, and whether decide is alive."""
    flags = finish(read_flags(kafka.load()))
    now_ms = int(time.time() * 1_000)
    shown = {name: one for name, one in flags.obeyed.items() if flag in (None, name)}
    if as_json:
        print_json(_document(flags, shown, now_ms))
    else:
        _show(flags, shown, now_ms)
    if flag is not None and not shown:
        notes().print(
            f"no document of {flag} can be read: applications serve the last one that they have, "
            "or the default in their own code",
            markup=False,
            soft_wrap=True,
        )
        return Exit.NO
    return Exit.OK


def _order(
    kind: Kind, target: Target, settings: Settings, said: tuple[SayOptions, VariantOptions, bool], *, as_json: bool
) -> Exit:
    say, variants, yes = said
    key, declared = target.key(), variants.declared()
    if key == ALL_FLAGS and declared is not None:
        raise SettingsError("--control and --variants are of one flag", "name the flag instead of --all")
    actor = replaced(claimed(say.actor), via=VIA)
    given = Given(kind, key, actor, fit_reason(say.reason) or NO_REASON, declared)
    flags, known = finish(plan(settings, given))
    if key == ALL_FLAGS and not yes:
        return _show_plan(known, as_json=as_json)
    done = finish(carry_out(settings, given, flags, known))
    if as_json:
        print_json(_done_document(given, done))
    else:
        _show_done(given, done)
    return Exit.OK


def _show_plan(known: list[FlagState], *, as_json: bool) -> Exit:
    names = [state.flag for state in known]
    if as_json:
        print_json({"ok": False, "done": False, "flags": names})
    else:
        for name in names:
            answers().print(name, markup=False)
        notes().print(f"nothing was done yet; with --yes {counted(len(names), 'flag')} get control for everybody")
    return Exit.NO


def _show_done(given: Given, done: Done) -> None:
    word = "killed" if given.kind is Kind.KILL else "rolled back to 0%"
    for state in done.states.values():
        value = json.dumps(state.values[state.control])
        answers().print(
            f"[bold]{escape(state.flag)}[/] {word}: everybody gets {escape(state.control)} ({escape(value)}), "
            f"epoch {state.epoch}",
            soft_wrap=True,
        )
    if not done.states:
        answers().print("guardian.flags holds no flag: there was nothing to write")
        return
    notes().print(
        "Kafka has it, and every SDK that reaches Kafka follows at once. How many have followed cannot be known from "
        "here: look at the applications themselves, at [bold]guardian emergency status[/] for what they are to obey, "
        "and at [bold]guardian status FLAG[/] for who follows, once ingest and decide are back",
        soft_wrap=True,
    )
    if done.problem:
        notes().print(
            f"[yellow]note:[/] guardian.commands did not take the command ({escape(done.problem)}). What was written "
            "stands: decide finds it on guardian.flags and adopts it as a kill switch when it is back",
            soft_wrap=True,
        )
    notes().print("when it is over: [bold]guardian unkill FLAG[/], which only a living decide obeys", soft_wrap=True)


def _done_document(given: Given, done: Done) -> dict[str, Any]:
    return {
        "ok": True,
        "done": True,
        "command": str(given.kind),
        "flag": given.flag,
        "flags": [
            {
                "flag": state.flag,
                "control": state.control,
                "value": state.values[state.control],
                "epoch": state.epoch,
                "version": state.version,
            }
            for state in done.states.values()
        ],
        "command_id": done.command_id,
        "command_sent": not done.problem,
        "problem": done.problem,
    }


def _show(flags: Flags, shown: dict[str, Obeyed], now_ms: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("FLAG", "CANDIDATE GOES TO", "DOCUMENT", "AGE", "WRITTEN BY"):
        table.add_column(column)
    for name, one in shown.items():
        pair = f"{one.document.epoch}.{one.document.version}"
        age = duration_text(max(0, now_ms - one.written_ms) // 1_000 * 1_000)
        table.add_row(escape(name), _share(one), pair, age, one.writer)
    if shown:
        print_page(table)
    elif not flags.obeyed:
        notes().print("guardian.flags holds no flag")
    print_warnings(_warnings(flags, now_ms))


def _share(one: Obeyed) -> str:
    if one.document.killed:
        return "nobody: killed"
    if one.share_bp is None:
        return "by a targeting that is not guardian's"
    return weight_text(one.share_bp) if one.share_bp else "nobody"


def _warnings(flags: Flags, now_ms: int) -> list[str]:
    found = []
    if flags.refused:
        names = ", ".join(flags.refused[:10])
        found.append(f"a document that serves the candidate has an absurd version and is obeyed by no SDK: {names}")
    if silent := flags.silent(now_ms):
        numbers = ", ".join(map(str, silent))
        found.append(
            f"no sign of decide for {SILENT_S:.0f} s in partition {numbers}: it obeys no command and no trigger fires; "
            "guardian emergency kill works without it"
        )
    return found


def _document(flags: Flags, shown: dict[str, Obeyed], now_ms: int) -> dict[str, Any]:
    ages = {number: flags.beats_ms.get(number) for number in range(flags.partitions)}
    return {
        "flags": [
            {
                "flag": name,
                "share_bp": one.share_bp,
                "killed": one.document.killed,
                "epoch": one.document.epoch,
                "version": one.document.version,
                "age_s": max(0, now_ms - one.written_ms) / 1_000,
                "written_by": one.writer,
            }
            for name, one in shown.items()
        ],
        "refused": flags.refused,
        "beat_age_s": {
            str(number): None if at_ms is None else max(0, now_ms - at_ms) / 1_000 for number, at_ms in ages.items()
        },
        "silent_partitions": flags.silent(now_ms),
    }


emergency = typer.Typer(help="Take flags back with guardian itself away; only Kafka is needed.", no_args_is_help=True)
emergency.command("kill")(command(kill))
emergency.command("rollback")(command(rollback))
emergency.command("status")(command(status))
