"""`guardian check`: every problem of a spec at once, and what is legal but unwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardian.cli.faults import problem_document, problem_text
from guardian.cli.options import Json
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.specs import Found, examine
from guardian.errors import Exit, SettingsError

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Spec files; '-' for stdin.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on advice too.")]


Traffic = Annotated[
    str, typer.Option("--traffic", metavar="RATE", help="Requests to the flag, as 40/s, 12/m or 1000/h.")
]


def check(files: Files, traffic: Traffic = "", strict: Strict = False, as_json: Json = False) -> Exit:
    """Check specs whole: every problem with file, line and path, then advice; which rules cannot judge at a traffic."""
    per_second = _per_second(traffic)
    found = [examine(path, per_second) for path in files]
    wrong = sum(len(one.problems) for one in found)
    advised = sum(len(one.advice) for one in found)
    code = Exit.USAGE if wrong else Exit.NO if strict and advised else Exit.OK
    if as_json:
        print_json({"ok": code is Exit.OK, "exit_code": int(code), "files": [_document(one) for one in found]})
        return code
    for one in found:
        _show(one)
    if code is not Exit.OK:
        noun = "problem" if wrong == 1 else "problems"
        notes().print(f"[bold red]error:[/] {wrong} {noun}, {advised} advised in {len(found)} file(s)")
        notes().print("[bold]  fix:[/] correct the lines above and check again")
    return code


def _per_second(traffic: str) -> float | None:
    from guardian.spec.traffic import parse_traffic  # noqa: PLC0415 (heavy, and only needed when somebody asks)

    if not traffic:
        return None
    per_second = parse_traffic(traffic)
    if per_second is None:
        raise SettingsError(f"not a traffic: {traffic!r}", "write it as 40/s, 12/m or 1000/h")
    return per_second


def _show(one: Found) -> None:
    """Problems and advice to stderr, the good word to stdout."""
    for problem in one.problems:
        notes().print(problem_text(problem, one.source), soft_wrap=True)
    for problem in one.advice:
        notes().print(f"[yellow]advice[/] {problem_text(problem, one.source)}", soft_wrap=True)
    if one.spec is not None:
        steps = len(one.spec.steps)
        count = len(one.spec.triggers) + sum(len(step.triggers) for step in one.spec.steps)
        answers().print(f"{one.source}: {one.spec.flag}, {steps} steps, {count} triggers, revision {one.spec.revision}")
        answers().print(one.meaning, soft_wrap=True, markup=False)
        if one.traffic:
            answers().print("\n" + "\n".join(one.traffic), soft_wrap=True, markup=False)


def _document(one: Found) -> dict[str, object]:
    """One file as JSON."""
    return {
        "file": one.source,
        "ok": not one.problems,
        "flag": one.spec.flag if one.spec else "",
        "revision": one.spec.revision if one.spec else "",
        "meaning": one.meaning,
        "traffic": one.traffic,
        "problems": [problem_document(problem, one.source) for problem in one.problems],
        "advice": [problem_document(problem, one.source) for problem in one.advice],
    }
