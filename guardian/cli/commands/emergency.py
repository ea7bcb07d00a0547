"""`guardian emergency`: the brake that needs Kafka only, and what applications obey now."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace as replaced

from guardian.cli.completion import flag_names
from guardian.cli.options import NO_REASON, Json, KafkaOptions, SayOptions, Target, claimed, command, flag_name
from guardian.cli.reading import finish
from guardian.cli.screen import notes, print_json
from guardian.core.words import ALL_FLAGS
from guardian.errors import Exit, SettingsError
from guardian.kafka.settings import Settings
from guardian.wire.commands import fit_reason
from guardian.wire.emergency import VIA, Kind

if TYPE_CHECKING:
    from guardian.cli.emergency import Declared

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
        from guardian.cli.emergency import Declared  # noqa: PLC0415

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
    # Here and below: with these comes the SDK, which no other command waits for.
    from guardian.cli.emergency_views import flags_document, show_flags  # noqa: PLC0415
    from guardian.cli.obeyed import read_flags  # noqa: PLC0415

    flags = finish(read_flags(kafka.load()))
    now_ms = int(time.time() * 1_000)
    shown = {name: one for name, one in flags.obeyed.items() if flag in (None, name)}
    if as_json:
        print_json(flags_document(flags, shown, now_ms))
    else:
        show_flags(flags, shown, now_ms)
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
    from guardian.cli.emergency import Given, carry_out, plan  # noqa: PLC0415
    from guardian.cli.emergency_views import done_document, show_done, show_plan  # noqa: PLC0415

    say, variants, yes = said
    key, declared = target.key(), variants.declared()
    if key == ALL_FLAGS and declared is not None:
        raise SettingsError("--control and --variants are of one flag", "name the flag instead of --all")
    actor = replaced(claimed(say.actor), via=VIA)
    given = Given(kind, key, actor, fit_reason(say.reason) or NO_REASON, declared)
    flags, known = finish(plan(settings, given))
    if key == ALL_FLAGS and not yes:
        return show_plan(known, as_json=as_json)
    done = finish(carry_out(settings, given, flags, known))
    if as_json:
        print_json(done_document(given, done))
    else:
        show_done(given, done)
    return Exit.OK


emergency = typer.Typer(help="Take flags back with guardian itself away; only Kafka is needed.", no_args_is_help=True)
emergency.command("kill")(command(kill))
emergency.command("rollback")(command(rollback))
emergency.command("status")(command(status))
