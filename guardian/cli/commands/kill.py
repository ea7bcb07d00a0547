"""`guardian kill`: control for everybody, whatever the phase, until `unkill`."""

from __future__ import annotations

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions, Target
from guardian.errors import Exit


def kill(target: Target, options: OrderOptions) -> Exit:
    """Throw the kill switch: control for everybody at once, whatever the phase; --all for every flag."""
    return order("kill", target.key(), options)
