"""`guardian send`: events from a file of JSON Lines, for those who have no Kafka client at hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from guardian.cli.options import DoorOptions, Json
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.sending import Sent
from guardian.errors import Exit


class Target(StrEnum):
    """Which topic the lines are for."""

    AUTO = "auto"
    TELEMETRY = "telemetry"
    MIGRATIONS = "migrations"


File = Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines, one event each; '-' for stdin.")]
To = Annotated[Target, typer.Option("--to", help="Which topic; auto: a line with an event_type is a migration event.")]


def send(file: File, where: DoorOptions, to: To = Target.AUTO, as_json: Json = False) -> Exit:
    """Send events from a file of JSON Lines to telemetry or migrations."""
    door = where.door()
    with _opened(file) as lines:
        sent = finish(door.send(lines, "" if to is Target.AUTO else str(to)))
    _show(sent, file, as_json)
    return Exit.NO if sent.bad_count else Exit.OK


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """The file's bytes, or stdin's."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as lines:
        yield lines


def _show(sent: Sent, file: str, as_json: bool) -> None:
    """How many went where, and the first lines that did not."""
    problems = sorted(sent.problems)
    if as_json:
        print_json(
            {
                "ok": sent.bad_count == 0,
                "telemetry": sent.telemetry_count,
                "migrations": sent.migrations_count,
                "bad": sent.bad_count,
                "problems": [{"file": file, "line": line, "message": message} for line, message in problems],
                "hints": sent.hints,
            }
        )
        return
    for line, message in problems:
        notes().print(f"{file}:{line}: {message}", soft_wrap=True, markup=False)
    answers().print(f"sent {sent.telemetry_count:,} telemetry and {sent.migrations_count:,} migration events")
    for hint in sent.hints:
        notes().print(f"hint: {hint}", soft_wrap=True, markup=False)
    if sent.bad_count:
        notes().print(f"[bold red]error:[/] {sent.bad_count:,} lines were not sent")
        notes().print("[bold]  fix:[/] the first bad lines stand above, each with what to send instead")
