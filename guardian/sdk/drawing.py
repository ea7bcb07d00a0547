"""A picture of a result: taken at once, within bounds, and unchanged by whatever its owner does to the result later.

A request gets its result back while the other implementation still runs; by the time both are compared the caller may
have changed the one it got. So what is compared are pictures.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import islice
from typing import Any, Final
from uuid import UUID

MAX_NODES: Final = 5_000
MAX_DEPTH: Final = 32
_ATOMS: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, Decimal, Fraction, date, datetime, time, timedelta, UUID}
)


class NotComparable(Exception):
    """A result that cannot be looked at without using it up, such as a generator."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object, or a mapping: values by name.

    Args:
        items: pictures by key.
        count: how many there are; more than `items` when the bound was reached.
    """

    items: dict[Any, Any]
    count: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list, a tuple or an array.

    Args:
        items: pictures in order.
        count: how many there are; more than `items` when the bound was reached.
    """

    items: list[Any]
    count: int


@dataclass(frozen=True, slots=True)
class Bag:
    """A set: its order means nothing.

    Args:
        items: pictures; empty when the bound was reached.
        count: how many there are.
    """

    items: list[Any]
    count: int


@dataclass(frozen=True, slots=True)
class Beyond:
    """What lies beyond the bound, and is not compared."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception instead of a result; of it the type counts.

    Args:
        kind: the exception's type.
    """

    kind: type[BaseException]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture.

    Args:
        picture: an atom, or one of the classes above.
        whole: whether everything was inside the bounds.
    """

    picture: Any
    whole: bool = True


def draw(value: Any, max_nodes: int = MAX_NODES, max_depth: int = MAX_DEPTH) -> Drawn:
    """Take a picture of a result.

    Args:
        value: the result. Dataclasses, pydantic, attrs and msgspec objects and named tuples are drawn by their fields,
            other objects by their public attributes unless they define equality, arrays by their `tolist`.
        max_nodes: so many values are looked at; what is beyond is not compared.
        max_depth: so deep.

    Raises:
        NotComparable: it holds a generator, a coroutine or a function.
    """
    artist = _Artist(max_nodes, max_depth)
    return Drawn(artist.draw(value, 0), artist.whole)


class _Artist:
    """One picture being drawn."""

    def __init__(self, max_nodes: int, max_depth: int) -> None:
        self._left = max_nodes
        self._max_depth = max_depth
        self.whole = True

    def draw(self, value: Any, depth: int) -> Any:
        if type(value) in _ATOMS:
            return value
        if depth > self._max_depth or self._left <= 0:
            self.whole = False
            return Beyond()
        kind: Any = type(value)
        names = _field_names(kind)
        if names is not None:
            return self._fields(((name, getattr(value, name, None)) for name in names), len(names), depth)
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        drawn: Any
        match value:
            case Mapping():
                drawn = self._fields(value.items(), len(value), depth)
            case list() | tuple() | deque():
                drawn = self._items(value, len(value), depth)
            case Set():
                drawn = self._bag(value, depth)
            case Enum():
                drawn = self.draw(value.value, depth + 1)
            case bytearray() | memoryview():
                drawn = bytes(value)
            case str() | bytes() | int() | float() | type():
                drawn = value
            case BaseException():
                drawn = Raised(type(value))
            case _:
                drawn = self._object(value, depth)
        return drawn

    def _object(self, value: Any, depth: int) -> Any:
        kind: Any = type(value)
        if callable(getattr(value, "tolist", None)):
            return self._array(value, depth)
        if hasattr(value, "__next__") or inspect.isawaitable(value) or inspect.isroutine(value):
            raise NotComparable(f"a {kind.__name__} cannot be compared")
        if kind.__eq__ is not object.__eq__:
            return value
        slots = (name for base in kind.__mro__ for name in _as_names(base.__dict__.get("__slots__", ())))
        names = [name for name in (*getattr(value, "__dict__", ()), *slots) if not name.startswith("_")]
        if not names:
            return Fields({"class": kind.__qualname__}, 1)
        return self._fields(((name, getattr(value, name, None)) for name in names), len(names), depth)

    def _fields(self, pairs: Iterable[tuple[Any, Any]], count: int, depth: int) -> Fields:
        taken = dict(islice(pairs, self._take(count)))
        return Fields({key: self.draw(item, depth + 1) for key, item in taken.items()}, count)

    def _items(self, values: Iterable[Any], count: int, depth: int) -> Items:
        taken = list(islice(values, self._take(count)))
        # Most lists are long and plain: they are drawn as they stand.
        if not all(type(item) in _ATOMS for item in taken):
            taken = [self.draw(item, depth + 1) for item in taken]
        return Items(taken, count)

    def _bag(self, values: Set[Any], depth: int) -> Bag:
        count = len(values)
        if self._take(count) < count:
            return Bag([], count)
        return Bag([self.draw(item, depth + 1) for item in values], count)

    def _array(self, value: Any, depth: int) -> Any:
        size = getattr(value, "size", None)
        count = size if isinstance(size, int) else len(value)
        if count <= self._left:
            return self.draw(value.tolist(), depth + 1)
        # Only the part that will be looked at is turned into Python's numbers.
        flat = value.ravel() if callable(getattr(value, "ravel", None)) else value
        part = flat[: self._take(count)].tolist()
        shape = list(getattr(value, "shape", (count,)))
        return Fields({"shape": Items(shape, len(shape)), "values": Items(part, count)}, 2)

    def _take(self, count: int) -> int:
        taken = min(count, self._left)
        self._left -= taken
        if taken < count:
            self.whole = False
        return taken


@functools.lru_cache(maxsize=1_024)
def _field_names(kind: Any) -> tuple[str, ...] | None:
    """The names by which a class says that it consists of fields; None when it does not say."""
    declared = getattr(kind, "__dataclass_fields__", None)
    if isinstance(declared, Mapping):
        return tuple(name for name, field in declared.items() if getattr(field, "compare", True))
    for attribute in ("__pydantic_fields__", "model_fields", "__struct_fields__"):
        declared = getattr(kind, attribute, None)
        if isinstance(declared, Mapping | tuple):
            return tuple(declared)
    declared = getattr(kind, "__attrs_attrs__", None)
    if isinstance(declared, tuple):
        return tuple(field.name for field in declared if field.eq)
    if issubclass(kind, tuple) and isinstance(declared := getattr(kind, "_fields", None), tuple):
        return declared
    return None


def _as_names(slots: Any) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
