"""`guardian archive`: the rollout is over; its flag document stays."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def archive(flag: Flag, options: OrderOptions) -> Exit:
    """Close a rollout for good; the flag keeps its last document, so that code defaults do not return."""
    return order("archive", flag, options)
