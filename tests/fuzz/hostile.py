"""Hostile values: scalars at every edge, structures that are nearly right, bytes that are nearly JSON or msgpack."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

INTS: Final = (0, 1, -1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**11, 10**15)
FLOATS: Final = (
    0.0, -0.0, 1e-320, 1e15, -1e15, 1e150, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 0.1, 1e11, 99.99999,
)  # fmt: skip
TEXTS: Final = (
    "", " ", "on", "off", "*", "_beat", "other", "guardian", "\x00", "\x1b[31mred", "a/b/c", "\u202e",
    "\U0001f600" * 40,
    "x" * 200, "\x1f", "[bold]", "{}", "null", "NaN", "12", "é" * 129, "%s%n", "../../etc", "0" * 5_000, "\ud7ff",
)  # fmt: skip


def scalar(rng: random.Random) -> Any:
    """Return a scalar at some edge."""
    made: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(INTS),
        lambda: rng.choice(FLOATS),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice((None, True, False)),
        lambda: rng.randint(-(2**63), 2**63 - 1),
        lambda: rng.uniform(-1e6, 1e6),
        lambda: "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xA0, 0xD7FF)))) for _ in range(9)),
    )
    return rng.choice(made)()


def anything(rng: random.Random, depth: int = 3) -> Any:
    """Return a scalar, or a small structure of hostile things."""
    kind = rng.randrange(6) if depth else 0
    if kind == 4:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(5))]
    if kind == 5:
        return {str(scalar(rng))[:300]: anything(rng, depth - 1) for _ in range(rng.randrange(5))}
    return scalar(rng)


def mutated(rng: random.Random, value: Any, rate: float = 0.08) -> Any:
    """Return a structure of which some parts are replaced, left out, doubled or added."""
    if rng.random() < rate:
        return anything(rng)
    if isinstance(value, dict):
        kept = {key: mutated(rng, item, rate) for key, item in value.items() if rng.random() >= rate / 4}
        if rng.random() < rate:
            kept[str(scalar(rng))[:300]] = anything(rng)
        return kept
    if isinstance(value, list | tuple):
        items = [mutated(rng, item, rate) for item in value if rng.random() >= rate / 4]
        if items and rng.random() < rate:
            items += items
        return items
    return value


def bent(rng: random.Random, data: bytes) -> bytes:
    """Return bytes that were cut, flipped, doubled, or are whole (mostly)."""
    match rng.randrange(12):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1 if data:
            at = rng.randrange(len(data))
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 2:
            return data + data
        case 3:
            return rng.randbytes(rng.randrange(60))
        case _:
            return data


def as_json(rng: random.Random, value: Any) -> bytes:
    """Return a value as JSON, or nearly: NaN, huge numbers and escaped halves of surrogate pairs included."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.03:
        text = text.replace('"', '"\\ud83d', 1)
    if rng.random() < 0.02:
        text = text.replace("0", "1" + "0" * 400, 1)
    if rng.random() < 0.005:
        text = "[" * 5_000 + text + "]" * 5_000
    return bent(rng, text.encode(errors="replace"))


def as_msgpack(rng: random.Random, value: Any) -> bytes:
    """Return a value as msgpack; integers that msgpack does not have become text."""
    try:
        return bent(rng, msgspec.msgpack.encode(value))
    except OverflowError:
        return bent(rng, msgspec.msgpack.encode(str(value)))
