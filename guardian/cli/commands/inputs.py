"""`guardian inputs`: look at records of the dense log, and take one out on which decide ends at every start."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer
from rich.markup import escape

from guardian.cli.inputs_access import ShownInput, read_inputs, read_skipped, skip_input
from guardian.cli.options import NO_REASON, Json, KafkaOptions, SayOptions, claimed, command
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, one_line, print_json
from guardian.core.text import count_text
from guardian.errors import Exit, SettingsError
from guardian.wire.cloudevents import rfc3339

_PLACE: Final = re.compile(r"([0-9]{1,6})/(-?[0-9]{1,18})")
_LINE_CHARS: Final = 2_000

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PARTITION/OFFSET", help="The input, as logs and alerts name it; 0/-1 is the last one.")
]
CountOption = Annotated[int, typer.Option("-n", min=1, max=1_000, help="How many records from there on.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]


def show(place: PlaceArgument, kafka: KafkaOptions, count: CountOption = 1, as_json: Json = False) -> Exit:
    """Show records of guardian.inputs with their fields named, and whether a person has taken them out."""
    settings = kafka.load()
    partition, offset = _place_of(place)
    found = finish(read_inputs(settings, partition, offset, count))
    if as_json:
        print_json([{name: getattr(each, name) for name in each.__dataclass_fields__} for each in found])
        return Exit.OK
    for each in found:
        answers().print(_line(each), soft_wrap=True)
    return Exit.OK


def skip(
    place: PlaceArgument, kafka: KafkaOptions, say: SayOptions, yes: YesOption = False, as_json: Json = False
) -> Exit:
    """Take one input out: the last way, for a record on which decide ends at every start. Decide must not run."""
    settings = kafka.load()
    partition, offset = _place_of(place)
    found = finish(read_inputs(settings, partition, offset, 1))[0]
    if not yes:
        if as_json:
            print_json({"ok": False, "done": False, "partition": partition, "offset": found.offset})
            return Exit.NO
        answers().print(_line(found), soft_wrap=True)
        notes().print(
            "nothing was done yet; what this record says is never counted, and no rollout is promoted by it. "
            "With --yes it is done, while decide is stopped",
            soft_wrap=True,
        )
        return Exit.NO
    actor, reason = claimed(say.actor).name, say.reason or NO_REASON
    finish(skip_input(settings, partition, found.offset, actor=actor, reason=reason))
    if as_json:
        print_json({"ok": True, "done": True, "partition": partition, "offset": found.offset})
    else:
        answers().print(f"input {partition}/{found.offset} is taken out; start decide: it goes on behind it")
    return Exit.OK


def skipped(kafka: KafkaOptions, as_json: Json = False) -> Exit:
    """List the inputs that a person has taken out: who, when and why."""
    found = finish(read_skipped(kafka.load()))
    if as_json:
        print_json([{"partition": p, "offset": o, **note} for (p, o), note in sorted(found.items())])
        return Exit.OK
    for (partition, offset), note in sorted(found.items()):
        ts = note.get("ts")
        when = rfc3339(int(ts * 1_000)) if isinstance(ts, int | float) and 0 <= ts < 1e11 else "at an unknown time"
        text = f"{partition}/{offset} by {note.get('actor', '?')} {when}: {note.get('reason', '')}"
        answers().print(escape(one_line(text)), soft_wrap=True)
    if not found:
        answers().print("no input was ever taken out")
    return Exit.OK


def _place_of(text: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise SettingsError(f"{text!r} is no place in the log", "write PARTITION/OFFSET, such as 3/10452")
    return int(found[1]), int(found[2])


def _line(each: ShownInput) -> str:
    out = " [bold yellow]taken out[/]" if each.skipped else ""
    head = f"[bold]{each.partition}/{each.offset}[/] {rfc3339(max(each.log_ms, 0))} {each.kind}{out}"
    text = str(each.payload)
    rest = f" ... ({count_text(len(text))} characters; --json has all)" if len(text) > _LINE_CHARS else ""
    return f"{head} {count_text(each.size)} bytes {escape(one_line(text[:_LINE_CHARS]))}{rest}"


inputs = typer.Typer(help="Look at the records of the log; take one out as the last way.", no_args_is_help=True)
inputs.command("show")(command(show))
inputs.command("skip")(command(skip))
inputs.command("skipped")(command(skipped))
