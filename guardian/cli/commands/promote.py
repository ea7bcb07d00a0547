"""`guardian promote`: on to the next step, gates or not."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def promote(flag: Flag, options: OrderOptions) -> Exit:
    """Move on to the next step now, without waiting for the bake or the gates."""
    return order("promote", flag, options)
