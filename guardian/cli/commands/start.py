"""`guardian start`: the first step begins, or a new attempt after a rollback."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def start(flag: Flag, options: OrderOptions) -> Exit:
    """Start a rollout at its first step, or a new attempt after a rollback that was resolved."""
    return order("start", flag, options)
