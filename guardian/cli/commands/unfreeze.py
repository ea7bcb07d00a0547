"""`guardian unfreeze`: judge a flag again on which guardian's own code failed."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import Flag, OrderOptions
from guardian.errors import Exit


def unfreeze(flag: Flag, options: OrderOptions) -> Exit:
    """Judge a flag again on which guardian's own code failed; its evidence starts at this moment."""
    return order("unfreeze", flag, options)
