"""Figures as a person writes them: one way for durations, rates, latencies and counts, everywhere they are shown.

Every function is total: any number has a text, also a negative, an infinite or an absurdly large one, and NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from guardian.core.rollout import Unit

NO_VALUE: Final = "no data"
_SHOWN_DIGITS: Final = 3
_MAX_DECIMALS: Final = 9
_PLAIN_BELOW: Final = 1e15
"""A number of this size or more is written with an exponent: it would take up to 309 digits otherwise."""
_UNITS_BYTES: Final = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_UNITS_MS: Final = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000))


def duration_text(ms: float) -> str:
    """Return a duration with its largest units first: `5m`, `1h30m`, `1w`, `1.5s`, `250ms`, `0s`.

    Args:
        ms: milliseconds, their fraction left out; from one minute on, what is below a second is left out.
    """
    if not _is_plain(ms):
        return f"{_large(ms)}ms"
    ms = int(ms)
    if ms < 0:
        return f"-{duration_text(-ms)}"
    if 0 < ms < 1_000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{_decimal(ms / 1_000, _SHOWN_DIGITS)}s"
    parts = []
    rest = ms
    for unit, unit_ms in _UNITS_MS:
        amount, rest = divmod(rest, unit_ms)
        if amount:
            parts.append(f"{amount}{unit}")
    if rest >= 1_000:
        parts.append(f"{rest // 1_000}s")
    return "".join(parts)


def rate_text(rate: float) -> str:
    """Return a rate as per cent: `7.3%`, `0.0123%`, `99.995%`.

    Args:
        rate: 0..1. Three digits count, taken from the nearer end of 0..100 %, so that 99.995 % never reads as 100 %.
    """
    if not _is_plain(rate):
        return f"{_large(rate)} of 1"
    percent = rate * 100
    return f"{_decimal(percent, _decimals_of(min(abs(percent), abs(100 - percent))))}%"


def weight_text(weight_bp: int) -> str:
    """Return a weight as per cent, exact: `5%`, `0.1%`.

    Args:
        weight_bp: basis points.
    """
    if not _is_plain(weight_bp):
        return f"{_large(weight_bp)} basis points"
    return f"{_decimal(weight_bp / 100, 2)}%"


def lost_text(instance: str, dropped: int, evaluation_errors: int) -> str:
    """Return what an instance has lost: `shop/shop-7f9 dropped 1,200 events, failed to evaluate flags 3 times`.

    Args:
        instance: as people read it.
        dropped: events.
        evaluation_errors: evaluations that failed.
    """
    parts = [f"dropped {counted(dropped, 'event')}"] if dropped else []
    parts += [f"failed to evaluate flags {counted(evaluation_errors, 'time')}"] if evaluation_errors else []
    return f"{instance} {', '.join(parts)}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 event`, `1,200 events`."""
    return f"{count_text(count)} {noun}{'' if count == 1 else 's'}"


def served_text(weight_bp: int, candidate: str, *, killed: bool) -> str:
    """Return the candidate's share as it is served: `5% on`; under the kill switch `0% on (5% once it is freed)`.

    Args:
        weight_bp: the rollout's own weight, in basis points.
        candidate: the variant's name.
        killed: whether the kill switch stands above it.
    """
    if not killed:
        return f"{weight_text(weight_bp)} {candidate}"
    return f"{weight_text(0)} {candidate} ({weight_text(weight_bp)} once it is freed)"


def dual_run_text(dual_run_bp: int | None) -> str:
    """Return for how many both implementations run, to stand behind a weight: `, both run for 20%`; empty for nobody.

    Args:
        dual_run_bp: basis points; None when the spec says nothing of it.
    """
    return f", both run for {weight_text(dual_run_bp)}" if dual_run_bp else ""


def serving_text(weight_bp: int, dual_run_bp: int | None) -> str:
    """Return a weight, and for how many both implementations run: `5%`, `0%, both run for 20%`.

    Args:
        weight_bp, dual_run_bp: basis points.
    """
    return weight_text(weight_bp) + dual_run_text(dual_run_bp)


def moved_text(before: tuple[int, int | None], after: tuple[int, int | None], arrow: str = "->") -> str:
    """Return a move of weight and dual runs, or where both stand: `5% -> 0%`, `0%, both run for 20% -> 0%`, `5%`.

    Args:
        before, after: weight and dual runs in basis points, as `serving_text` takes them.
        arrow: what stands between.
    """
    left, told = serving_text(*before), serving_text(*after)
    return told if left == told else f"{left} {arrow} {told}"


def latency_text(ms: float) -> str:
    """Return a latency with three digits: `0.42ms`, `180ms`, `2.31s`.

    Args:
        ms: milliseconds.
    """
    if not _is_plain(ms):
        return f"{_large(ms)}ms"
    amount, unit = (ms / 1_000, "s") if abs(ms) >= 1_000 else (ms, "ms")
    return f"{_decimal(amount, _decimals_of(amount))}{unit}"


def count_text(count: float) -> str:
    """Return a count with separators: `4,120`."""
    if not _is_plain(count):
        return _large(count)
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.2f}"


def bytes_text(amount: float) -> str:
    """Return an amount of memory with three digits: `810MB`, `1.91GB`; a kilobyte is 1,000 bytes."""
    if not _is_plain(amount):
        return f"{_large(amount)}B"
    for unit, size in _UNITS_BYTES:
        if abs(amount) >= size:
            return f"{_decimal(amount / size, _decimals_of(amount / size))}{unit}"
    return f"{_decimal(amount, 0)}B"


def number_text(number: float) -> str:
    """Return a number whose unit only its owner knows, with three digits: `4.21`, `0.0031`, `12,400`."""
    if not _is_plain(number) or float(number).is_integer():
        return count_text(number)
    return _decimal(number, _decimals_of(number))


def ratio_text(ratio: float) -> str:
    """Return a multiple: `2x`, `1.05x`."""
    return f"{_decimal(ratio, 4)}x"


def value_text(unit: Unit, value: float | None) -> str:
    """Return a metric's value in its unit.

    Args:
        unit: the metric's.
        value: in that unit (0..1 for a rate, milliseconds, bytes); None without data.
    """
    if value is None:
        return NO_VALUE
    return _IN_UNIT[unit](value)


def _is_plain(number: float) -> bool:
    """Whether a number is written digit by digit; false for NaN, which is in no order with anything."""
    return -_PLAIN_BELOW < number < _PLAIN_BELOW


def _large(number: float) -> str:
    """The text of a number that `_is_plain` refuses: `1.7e+308`, `infinity`, `NaN`."""
    try:
        amount = float(number)
    except OverflowError:  # an int beyond the largest float
        amount = math.inf if number > 0 else -math.inf
    if math.isnan(amount):
        return "NaN"
    if math.isinf(amount):
        return "infinity" if amount > 0 else "-infinity"
    return f"{amount:.3g}"


def _decimals_of(amount: float) -> int:
    """How many decimals show three digits of an amount."""
    if amount == 0 or not _is_plain(amount):
        return 0
    return min(max(_SHOWN_DIGITS - 1 - math.floor(math.log10(abs(amount))), 0), _MAX_DECIMALS)


def _decimal(amount: float, decimals: int) -> str:
    """A plain decimal number without trailing zeros."""
    if not _is_plain(amount):
        return _large(amount)
    text = f"{amount:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_IN_UNIT: Final[dict[Unit, Callable[[float], str]]] = {
    Unit.RATE: rate_text,
    Unit.LATENCY_MS: latency_text,
    Unit.COUNT: count_text,
    Unit.BYTES: bytes_text,
    Unit.NUMBER: number_text,
}
