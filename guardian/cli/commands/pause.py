"""`guardian pause`: no promotion, no bake; triggers go on acting."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions, Target
from guardian.errors import Exit


def pause(target: Target, options: OrderOptions) -> Exit:
    """Stop promotion and the bake; triggers go on acting; --all for every flag."""
    return order("pause", target.key(), options)
