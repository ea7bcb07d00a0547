"""`guardian metric`: figures from outside, such as satisfaction or tickets, for rules to judge."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions, command
from guardian.errors import Exit

Name = Annotated[str, typer.Argument(metavar="NAME", help="The figure's name, as rules say it after `metric`.")]
Value = Annotated[float, typer.Argument(metavar="VALUE", help="What it is now; -- before a negative one.")]


def set_(flag: Flag, name: Name, value: Value, options: OrderOptions) -> Exit:
    """Set a figure from outside; it stands until it is replaced."""
    return order("metric", flag, options, name=name, value=value)


metric = typer.Typer(help="Set figures from outside, such as satisfaction or tickets.", no_args_is_help=True)
metric.command("set")(command(set_))
