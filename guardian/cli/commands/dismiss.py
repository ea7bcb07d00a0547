"""`guardian dismiss`: a person has looked at an instance that fell silent before it followed a flag change."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit

Instance = Annotated[
    str, typer.Argument(metavar="SERVICE/INSTANCE", help="As status names it; '*' for every unknown one.")
]


def dismiss(flag: Flag, instance: Instance, options: OrderOptions) -> Exit:
    """Say that an unknown instance is gone and serves nobody, so that guardian no longer waits for it."""
    return order("dismiss", flag, options, to=instance)
