"""`guardian resume`: the bake goes on where it stood."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions, Target
from guardian.errors import Exit


def resume(target: Target, options: OrderOptions) -> Exit:
    """Continue a paused rollout where it stood, no step skipped; --all for every flag."""
    return order("resume", target.key(), options)
