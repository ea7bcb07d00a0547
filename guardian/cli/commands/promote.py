"""`guardian promote`: on to the next step, gates or not."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit

Force = Annotated[bool, typer.Option("--force", help="Also while the evidence is stale or lost.")]


def promote(flag: Flag, options: OrderOptions, force: Force = False) -> Exit:
    """Move on to the next step now, without waiting for the bake or the gates; on stale evidence with --force only."""
    return order("promote", flag, options, force=force)
