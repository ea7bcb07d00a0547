"""`guardian resolve`: a person has looked at a rollback."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def resolve(flag: Flag, options: OrderOptions) -> Exit:
    """Say that the cause of a rollback was dealt with, so that a new attempt may start."""
    return order("resolve", flag, options)
