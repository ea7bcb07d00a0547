"""A command goes into the log; its answer is the decision that carries the command's id."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from rich.markup import escape

from guardian.cli.door import Answers, Door
from guardian.cli.options import NO_REASON, OrderOptions
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, one_line, print_json
from guardian.cli.second_road import BRAKES, emergency_text, override_text, second_road
from guardian.cli.specs import file_hint
from guardian.core.inputs import Command
from guardian.core.outputs import Decision
from guardian.core.seen import CLIMBING
from guardian.core.text import serving_text
from guardian.core.words import ALL_FLAGS, Reason
from guardian.errors import DecodeError, Exit, SettingsError, TransportError
from guardian.wire.commands import MAX_REASON_CHARS, encode_command


def order(kind: str, flag: str, options: OrderOptions, **extra: Any) -> Exit:
    """Send one command, wait for the answer, print it.

    Args:
        kind: the command's word, such as `pause`.
        flag: the flag, or `*` for all.
        options: who, why, where, and for how long to wait.
        extra: further fields of `Command`: `spec`, `to`, `name`, `value`.

    Returns:
        OK when it was accepted or was so already, NO when refused, NO_ANSWER when nobody answered in time.
    """
    door = options.door()
    given = checked(
        Command(
            id=uuid.uuid4().hex,
            command=kind,
            flag=flag,
            actor=options.who(),
            reason=options.reason[:MAX_REASON_CHARS] or ("" if kind == "metric" else NO_REASON),
            ts=time.time(),
            **extra,
        )
    )
    wait_s = 0.0 if options.no_wait else options.wait_s
    try:
        result, hints = finish(_ask(door, given, wait_s))
    except TransportError as error:
        if kind in BRAKES:
            error.fix = "; ".join([error.fix, emergency_text(given), override_text(flag, None)])
        raise
    show_answers(result, as_json=options.as_json, hints=hints)
    return result.code()


async def order_seen(door: Door, given: Command) -> Command:
    """Return a command with what stands now, when it climbs: of two at once one is refused then.

    What protects, and what is for all flags, is sent before anything else is looked up.

    Args:
        door: to guardian.
        given: the command.
    """
    if given.command not in CLIMBING or given.flag == ALL_FLAGS:
        return given
    seen = await door.seen(given.flag)
    return replace(given, seen_turn=seen.turn, seen_revision=seen.revision if given.command == "apply" else None)


async def _ask(door: Door, given: Command, wait_s: float) -> tuple[Answers, list[str]]:
    """The answers, and what else there is to do when nobody answered."""
    result = await door.ask(await order_seen(door, given), wait_s)
    return result, await second_road(door, given) if result.silent else []


def checked(given: Command) -> Command:
    """Refuse here what ingest would only put among the dead letters."""
    try:
        encode_command(given)
    except DecodeError as error:
        raise SettingsError(error.message, error.fix) from error
    return given


def show_answers(result: Answers, *, as_json: bool, hints: Sequence[str] = ()) -> None:
    """Print what came back: one line per flag, or one JSON object; then what else there is to do."""
    if as_json:
        print_json({**answers_document(result), **({"hints": list(hints)} if hints else {})})
        return
    given = result.command
    if not result.waited:
        answers().print(f"{given.command} sent ({given.id}); nobody waited for the answer")
        return
    for decision in result.decisions:
        answers().print(decision_line(decision), soft_wrap=True)
    if any(decision.reason is Reason.REFUSED_UNKNOWN_FLAG for decision in result.decisions):
        fix = file_hint(given.flag) or "guardian list shows the flags that are there"
        notes().print(f"[bold]  fix:[/] {escape(fix)}", soft_wrap=True)
    if not result.decisions and not result.silent:
        answers().print(f"{given.command} sent ({given.id}); no rollout is there to answer")
    if result.silent:
        names = ", ".join(result.silent)
        notes().print(f"[bold red]error:[/] {escape(given.command)} was sent, but no answer came for {escape(names)}")
        notes().print(
            "[bold]  fix:[/] it may still happen: look with guardian status, and whether guardian run is alive; "
            f"the command's id is {given.id}",
            soft_wrap=True,
        )
        for hint in hints:
            notes().print(f"[bold]   or:[/] {escape(hint)}", soft_wrap=True)


def decision_line(decision: Decision) -> str:
    """Return one answer as a line of rich markup: accepted or refused, why, and where the flag stands now."""
    if decision.reason is Reason.UNCHANGED:
        word = "[dim]unchanged[/]"
    elif decision.accepted:
        word = "[green]accepted[/]"
    else:
        word = "[bold red]refused[/]"
    text = f": {escape(decision.text)}" if decision.text else ""
    return one_line(f"[bold]{escape(decision.flag)}[/] {word} {decision.reason}{text}{escape(_stand(decision))}")


def _stand(decision: Decision) -> str:
    """Where the flag stands now, in brackets; nothing for a flag that nobody has applied, and for a partition."""
    if decision.reason is Reason.REFUSED_UNKNOWN_FLAG or decision.flag == ALL_FLAGS:
        return ""
    step = f" at {decision.step}" if decision.step else ""
    serving = serving_text(decision.weight_bp, decision.dual_run_bp)
    if decision.command == "kill" and decision.accepted:
        return f" [control for everybody; {decision.phase}{step}, {serving} once it is freed]"
    return f" [{decision.phase}{step}, {serving}]"


def answers_document(result: Answers) -> dict[str, Any]:
    """Return the answers as the JSON object that `--json` prints."""
    code = result.code()
    return {
        "ok": code is Exit.OK,
        "exit_code": int(code),
        "command": result.command.command,
        "command_id": result.command.id,
        "flag": result.command.flag,
        "waited": result.waited,
        "decisions": result.decisions,
        "silent": result.silent,
    }
