"""Copies of a call's arguments, made within a bound."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

MAX_COPIED: Final = 10_000
_BYTES_PER_VALUE: Final = 64

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def copied(arguments: Arguments, most: int = MAX_COPIED) -> Arguments:
    """Return deep copies of a call's arguments.

    Args:
        arguments: positional ones and keywords.
        most: so many values are copied at most; 64 bytes of an array count as one.

    Raises:
        ValueError: they hold more than that.
        Exception: whatever an object raises that does not let itself be copied, such as a lock.
    """
    left = most
    seen: set[int] = set()
    waiting: list[Any] = list(arguments)
    while waiting:
        value = waiting.pop()
        if value is None or isinstance(value, str | bytes | int | float | type) or id(value) in seen:
            continue
        seen.add(id(value))
        parts = _parts(value)
        size = getattr(value, "nbytes", None) or (len(value) if isinstance(value, bytearray) else 0)
        left -= 1 + len(parts) + (int(size) // _BYTES_PER_VALUE if isinstance(size, int) else 0)
        if left < 0:
            raise ValueError(f"the arguments hold more than {most} values")
        waiting += parts
    found: Arguments = copy.deepcopy(arguments)
    return found


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return list(getattr(value, "__dict__", {}).values())
