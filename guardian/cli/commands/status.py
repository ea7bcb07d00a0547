"""`guardian status`: why a rollout stands where it stands, and what is missing to move on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from guardian.cli.completion import flag_names
from guardian.cli.options import DoorOptions, Json, flag_name
from guardian.cli.reading import Present, UnknownFlag, finish
from guardian.cli.screen import answers, is_wide, notes, print_json, print_page, print_warnings
from guardian.cli.views import list_table, status_line, status_page
from guardian.core.outputs import RolloutStatus
from guardian.core.words import Phase

Flags = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FLAG...",
        help="One flag for everything about it; several or none for a table.",
        parser=flag_name,
        autocompletion=flag_names,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Keep it up to date until Ctrl-C.")]


def status(where: DoorOptions, flags: Flags = None, watch: Watch = False, as_json: Json = False) -> None:
    """Show why a rollout stands where it stands and what is missing to move on."""
    named = flags or []
    if not watch:
        _show(finish(where.door().present()), named, as_json)
        return
    try:
        finish(_watch(where.door().watch(), named, as_json))
    except KeyboardInterrupt:
        return  # the way out of a screen that is never over


def _show(present: Present, flags: list[str], as_json: bool) -> None:
    shown = _chosen(present, flags)
    if as_json:
        print_json(shown[0] if len(flags) == 1 else {"rollouts": shown, "beat_age_s": present.beat_age_s})
        return
    print_warnings(present.warnings())
    if len(flags) == 1:
        print_page(status_page(shown[0]))
    elif shown:
        print_page(list_table(shown, wide=is_wide()))
    else:
        notes().print("no rollouts yet: guardian init FLAG writes a spec, guardian apply sends it")


def _chosen(present: Present, flags: list[str]) -> list[RolloutStatus]:
    """The flags that were named, or all that are not archived.

    Raises:
        UnknownFlag: nobody applied one of them.
    """
    found = present.statuses
    for flag in flags:
        if flag not in found:
            raise UnknownFlag(flag, list(found))
    return [found[flag] for flag in flags] or [one for one in found.values() if one.state.phase is not Phase.ARCHIVED]


async def _watch(states: AsyncGenerator[Present, None], flags: list[str], as_json: bool) -> None:
    """A screen that is always up to date; without one, or with --json, a line whenever something has changed."""
    console = answers()
    async with aclosing(states):
        if as_json or not console.is_terminal:
            await _tell_changes(states, flags, as_json)
            return
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            async for present in states:
                live.update(_screen(present, flags), refresh=True)


def _screen(present: Present, flags: list[str]) -> RenderableType:
    """The page of one flag or the table of several, under what must be known about it."""
    shown = _chosen(present, flags)
    notes_ = [Text(f"note: {text}", style="yellow") for text in present.warnings()]
    page = status_page(shown[0]) if len(flags) == 1 else list_table(shown, wide=is_wide())
    # On top, as a small terminal cuts off the bottom.
    return Group(Text("Ctrl-C ends it", style="dim"), *notes_, page if shown else Text("no rollouts yet"))


async def _tell_changes(states: AsyncIterator[Present], flags: list[str], as_json: bool) -> None:
    """One line per rollout whenever it stands elsewhere, or for another reason; notes when they change."""
    told: dict[str, object] = {}
    noted: list[str] = []
    async for present in states:
        if not as_json and (warnings := present.warnings()) != noted:
            print_warnings([text for text in warnings if text not in noted])
            noted = warnings
        for one in _chosen(present, flags):
            state = one.state
            stand = (state.epoch, state.version, state.phase, state.killed, one.outcome, one.reason, one.revision)
            if told.get(state.flag) == stand:
                continue
            told[state.flag] = stand
            if as_json:
                print_json(one)
            else:
                answers().print(status_line(one), soft_wrap=True)
