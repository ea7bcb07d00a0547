"""What people report: bugs that they found, and figures from outside such as satisfaction or tickets."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

MAX_OUTSIDE: Final = 64
"""Figures that operators set for one flag."""
MAX_WHO_CHARS: Final = 64
MAX_BUG_CHARS: Final = 512


class Outside(Struct):
    """A figure from outside; it stands until it is replaced.

    Args:
        value: what was set.
        at_ms: log time when.
        by: who.
    """

    value: float
    at_ms: int
    by: str


class Reported(Struct):
    """What people have said of a rollout.

    Args:
        bugs: reported since the step began.
        last_bug: the newest of them, in words.
        outside: by name.
    """

    bugs: int = 0
    last_bug: str = ""
    outside: dict[str, Outside] = field(default_factory=dict)
