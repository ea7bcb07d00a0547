"""What `guardian emergency` prints: what was written, and what applications obey now."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape
from rich.table import Table

from guardian.cli.emergency import Done, Given
from guardian.cli.obeyed import SILENT_S, Flags, Obeyed
from guardian.cli.screen import answers, notes, print_json, print_page, print_warnings
from guardian.core.outputs import FlagState
from guardian.core.text import counted, duration_text, weight_text
from guardian.errors import Exit
from guardian.wire.emergency import Kind


def show_plan(known: list[FlagState], *, as_json: bool) -> Exit:
    """Print which flags would be written."""
    names = [state.flag for state in known]
    if as_json:
        print_json({"ok": False, "done": False, "flags": names})
    else:
        for name in names:
            answers().print(name, markup=False)
        notes().print(f"nothing was done yet; with --yes {counted(len(names), 'flag')} get control for everybody")
    return Exit.NO


def show_done(given: Given, done: Done) -> None:
    """Print what was written, what cannot be known, and what comes next."""
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


def done_document(given: Given, done: Done) -> dict[str, Any]:
    """Return the same as JSON."""
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


def show_flags(flags: Flags, shown: dict[str, Obeyed], now_ms: int) -> None:
    """Print what applications obey, a line each, and what is wrong."""
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


def flags_document(flags: Flags, shown: dict[str, Obeyed], now_ms: int) -> dict[str, Any]:
    """Return the same as JSON."""
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
