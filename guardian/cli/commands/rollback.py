"""`guardian rollback`: the candidate back to zero, or to an earlier step."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions, Target
from guardian.errors import Exit

To = Annotated[str, typer.Option("--to", metavar="zero|previous|STEP", help="How far back.")]


def rollback(target: Target, options: OrderOptions, to: To = "zero") -> Exit:
    """Take the candidate back to zero, or with --to to the previous or a named earlier step; --all for every flag."""
    return order("rollback", target.key(), options, to=to)
