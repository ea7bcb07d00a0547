"""How a command fails: what is wrong, then the way out, and an exit code; a traceback only with `--debug`."""

from __future__ import annotations

import sys
import traceback
from contextvars import ContextVar

from aiokafka.errors import KafkaError
from rich.markup import escape

from guardian.cli.screen import notes, print_json
from guardian.errors import Exit, GuardianError, Problem, SpecError, TransportError

DEBUG: ContextVar[bool] = ContextVar("guardian_debug", default=False)
"""Whether `--debug` was given."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells know it."""

_INTERNAL_FIX = "run it again with --debug in front and report what it prints"


def show(error: BaseException, *, as_json: bool) -> int:
    """Show an error and return the exit code that belongs to it.

    Args:
        error: what was raised.
        as_json: also print one JSON object on stdout, for the program that reads it.
    """
    if DEBUG.get():
        traceback.print_exception(error, file=sys.stderr)
    known = as_guardian_error(error)
    if as_json:
        print_json(document(known))
    if isinstance(known, SpecError):
        for problem in known.problems:
            notes().print(problem_text(problem, known.source), soft_wrap=True)
    notes().print(f"[bold red]error:[/] {escape(known.message)}", soft_wrap=True)
    if known.fix:
        notes().print(f"[bold]  fix:[/] {escape(known.fix)}", soft_wrap=True)
    return int(known.exit_code)


def as_guardian_error(error: BaseException) -> GuardianError:
    """Return the error in guardian's own words, whatever library raised it."""
    if isinstance(error, GuardianError):
        return error
    if isinstance(error, KafkaError):
        return TransportError(
            f"Kafka did not do it: {error}",
            "check --bootstrap and that the broker runs",
            retriable=bool(error.retriable),
        )
    if isinstance(error, OSError) and error.filename:
        strange = GuardianError(f"{error.filename}: {error.strerror}", "check the path and its permissions")
        strange.exit_code = Exit.USAGE
        return strange
    inner = GuardianError(f"a fault of guardian's own: {type(error).__name__}: {error}", _INTERNAL_FIX)
    inner.exit_code = Exit.INTERNAL
    return inner


def document(error: GuardianError) -> dict[str, object]:
    """Return the error as the JSON object that `--json` prints."""
    body: dict[str, object] = {
        "ok": False,
        "error": error.message,
        "fix": error.fix,
        "exit_code": int(error.exit_code),
    }
    if isinstance(error, SpecError):
        body["problems"] = [problem_document(problem, error.source) for problem in error.problems]
    return body


def problem_document(problem: Problem, source: str) -> dict[str, object]:
    """Return one problem as JSON."""
    return {
        "file": source,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "fix": problem.fix,
    }


def problem_text(problem: Problem, source: str) -> str:
    """Return one problem as `file:line:column: path: what is wrong (what would be right)`, in rich markup."""
    place = source or "spec"
    if problem.line:
        place += f":{problem.line}:{problem.column}" if problem.column else f":{problem.line}"
    path = f" [bold]{escape(problem.path)}[/]:" if problem.path else ""
    fix = f" [dim]({escape(problem.fix)})[/]" if problem.fix else ""
    return f"{escape(place)}:{path} {escape(problem.message)}{fix}"
