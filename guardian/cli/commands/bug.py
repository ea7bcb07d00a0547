"""`guardian bug`: a person has found a critical bug; a trigger on bug reports acts at once."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def bug(flag: Flag, options: OrderOptions) -> Exit:
    """Report a critical bug of the candidate, with --reason; triggers on bug reports act at once."""
    return order("bug", flag, options)
