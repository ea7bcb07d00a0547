"""`guardian unkill`: what the phase says holds again."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions, Target
from guardian.errors import Exit


def unkill(target: Target, options: OrderOptions) -> Exit:
    """Release the kill switch, so that what the phase says holds again; --all for every flag."""
    return order("unkill", target.key(), options)
