"""`guardian archive`: the end of a rollout; its flag keeps what it serves."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.cli.reading import finish
from guardian.cli.screen import notes
from guardian.core.outputs import RolloutStatus
from guardian.core.text import served_text
from guardian.errors import Exit, SettingsError

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def archive(flag: Flag, options: OrderOptions, yes: Yes = False) -> Exit:
    """Close a rollout: nothing watches it any more; the flag keeps its last document, so what it serves stays."""
    if not yes and not _agreed(flag, finish(options.door().present()).statuses.get(flag)):
        return Exit.NO
    return order("archive", flag, options)


def _agreed(flag: str, status: RolloutStatus | None) -> bool:
    """Say what it costs, and ask.

    Raises:
        SettingsError: nobody is there to be asked.
    """
    if status is None:
        return True  # the worker refuses it, and says which flags there are
    state = status.state
    served = served_text(state.weight_bp, state.candidate, killed=state.killed)
    cost = (
        f"{flag} serves {served} now, and goes on serving it; no trigger takes it back any more, its alerts end, "
        "and this rollout cannot be resumed. A new rollout of the flag begins with guardian apply"
    )
    if not sys.stdin.isatty():
        raise SettingsError(f"archive wants a yes: {cost}", f"guardian archive {flag} --yes")
    notes().print(cost, soft_wrap=True, markup=False)
    return typer.confirm("archive it?", err=True)
