"""Weights and durations as a person writes them become basis points and milliseconds, exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from guardian.core.words import WEIGHT_FULL_BP

MAX_WINDOW_MS: Final = 7 * 86_400_000
"""The longest window or hold of a rule."""
MAX_DURATION_MS: Final = 52 * 7 * 86_400_000
"""The longest bake, time-out or wait."""

UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_UNIT: Final = r"s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days|w|week|weeks"
_PART: Final = re.compile(rf"\s*({_NUMBER})\s*({_UNIT})(?![a-z_])", re.IGNORECASE)
_PERCENT: Final = re.compile(rf"({_NUMBER})\s*%")
_BARE: Final = re.compile(_NUMBER)


class AmountError(ValueError):
    """An amount cannot be read.

    Args:
        message: what is wrong.
        fix: what would be right.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def shown(value: object) -> str:
    """Return a value for a message, short enough whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = " ".join(str(value).split())
    return f"`{text[:57]}...`" if len(text) > 60 else f"`{text}`"


def duration_ms(value: object) -> int:
    """Read a duration: `5m`, `5 minutes`, `1h30m`, `90s`, `2 days`, `1w`.

    Args:
        value: what stands in the document.

    Returns:
        milliseconds, whole seconds, at most a year.

    Raises:
        AmountError: it is not one.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise AmountError(
            f"a bare number is not a duration: {shown(value)}", f"say of what: `{value}s`, `{value}m`, `{value}h`"
        )
    if not isinstance(value, str):
        raise AmountError(f"not a duration: {shown(value)}", "write it as `5m`, `90s`, `1h30m` or `2 days`")
    text = value.strip()
    if _BARE.fullmatch(text):
        raise AmountError(
            f"a bare number is not a duration: {shown(text)}", f"say of what: `{text}s`, `{text}m`, `{text}h`"
        )
    total = Decimal(0)
    at = 0
    while at < len(text) and (part := _PART.match(text, at)):
        total += Decimal(part[1]) * UNIT_MS[part[2][0].lower()]
        at = part.end()
    if not text or at < len(text):
        hint = "write it as `5m`, `90s`, `1h30m` or `2 days`"
        if text.lower().endswith("ms"):
            hint = "durations are whole seconds: `1s` at least"
        raise AmountError(f"not a duration: {shown(text)}", hint)
    if total % 1_000:
        raise AmountError(f"not whole seconds: {shown(text)}", "durations are whole seconds")
    if total > MAX_DURATION_MS:
        raise AmountError(f"longer than 52 weeks: {shown(text)}", "take a shorter one")
    return int(total)


def weight_bp(value: object) -> int:
    """Read a weight: `5%`, `0.1%`.

    Args:
        value: what stands in the document.

    Returns:
        basis points, 0..10000.

    Raises:
        AmountError: it is not one.
    """
    return _per_cent_bp(value, "weight")


def share_bp(value: object) -> int:
    """Read a share of the subjects, which is written as a weight is.

    Args:
        value: what stands in the document.

    Returns:
        basis points, 0..10000.

    Raises:
        AmountError: it is not one.
    """
    return _per_cent_bp(value, "share")


def _per_cent_bp(value: object, what: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise AmountError(f"a bare number is not a {what}: {shown(value)}", f"write `{value}%`")
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        text = value.strip() if isinstance(value, str) else ""
        if _BARE.fullmatch(text):
            raise AmountError(f"a bare number is not a {what}: {shown(text)}", f"write `{text}%`")
        raise AmountError(f"not a {what}: {shown(value)}", "write it in per cent, as `5%` or `0.1%`")
    points = Decimal(found[1]) * 100
    if points > WEIGHT_FULL_BP:
        raise AmountError(f"more than everybody: {shown(value)}", f"a {what} is at most `100%`")
    if points % 1:
        raise AmountError(f"finer than a hundredth of a per cent: {shown(value)}", f"{what}s go in steps of `0.01%`")
    return int(points)
