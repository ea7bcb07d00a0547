"""`guardian send`: events from a file of JSON Lines, for those who have no Kafka client at hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Final

import typer

from guardian.cli.options import DoorOptions, Json
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.sending import Sent, check_lines
from guardian.errors import Exit, SettingsError

_IN_MEMORY_BYTES: Final = 16_000_000
"""Of stdin; more goes to a temporary file."""


class Target(StrEnum):
    """Which topic the lines are for."""

    AUTO = "auto"
    TELEMETRY = "telemetry"
    MIGRATIONS = "migrations"


File = Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines, one event each; '-' for stdin.")]
To = Annotated[Target, typer.Option("--to", help="Which topic; auto: a line with an event_type is a migration event.")]


Skip = Annotated[bool, typer.Option("--skip-bad", help="Send the lines that are events, and leave out the others.")]


def send(file: File, where: DoorOptions, to: To = Target.AUTO, skip_bad: Skip = False, as_json: Json = False) -> Exit:
    """Send events from a file of JSON Lines to telemetry or migrations: all of them, or with a bad line none."""
    door = where.door()
    topic = "" if to is Target.AUTO else str(to)
    if topic and where.serve_url():
        raise SettingsError(
            "serve tells by the event itself which topic it is for", "leave out --to, or leave out --server"
        )
    with _opened(file) as lines:
        sent = Sent() if skip_bad else check_lines(lines, topic, where.load().future_ms)
        if not sent.bad_count:
            lines.seek(0)
            sent = finish(door.send(lines, topic))
    _show(sent, file, as_json)
    return Exit.NO if sent.bad_count else Exit.OK


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """The file's bytes, or stdin's, to be read twice: a line is sent when all of them are known to be events."""
    if file == "-":
        with SpooledTemporaryFile(_IN_MEMORY_BYTES) as kept:
            copyfileobj(sys.stdin.buffer, kept)
            kept.seek(0)
            yield kept
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
    if not sent.bad_count:
        return
    more = sent.bad_count - len(problems)
    if more > 0:
        notes().print(f"and {more:,} more bad lines")
    if sent.telemetry_count or sent.migrations_count:
        notes().print(f"[bold red]error:[/] {sent.bad_count:,} lines were not sent")
        notes().print("[bold]  fix:[/] they stand above; mend these, and send only these: the others count already")
    else:
        notes().print(f"[bold red]error:[/] nothing was sent: {sent.bad_count:,} bad lines")
        notes().print("[bold]  fix:[/] mend them and send the file again, or --skip-bad sends the others")
