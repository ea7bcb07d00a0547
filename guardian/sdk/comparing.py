"""Whether two results are the same, where they first differ, and by how much: a pure function of two pictures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple

from guardian.sdk.drawing import Bag, Beyond, Drawn, Fields, Items, Raised

ROUNDING: Final = 1e-9
"""Floats this close are the same unless a tolerance is given: another order of adding changes the last digit."""
MAX_DIFFERENCE_CHARS: Final = 300
_MAX_VALUE_CHARS: Final = 80
_ABSENT: Final = Fields({}, -1)
_PLAIN: Final = frozenset({int, float, str})
_ANY: Final = "*"
_PART: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]|\[(\"(?:[^\"\\]|\\.)*\")\]")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Path = tuple[Any, ...]


class Comparison(NamedTuple):
    """What a comparison found.

    Args:
        match: nothing that counts differs.
        deviation: the greatest relative difference of the numbers compared, 0 to 2: |a - b| / max(|a|, |b|). It
            counts what the tolerance lets pass, too. None when there were no numbers.
        difference: the first difference, such as `$.total: 10.00 != 10.01`, control's side first; empty on a match.
        whole: false when the results were too large to be looked at whole.
    """

    match: bool
    deviation: float | None = None
    difference: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Leniency:
    """Which differences do not count.

    Args:
        names: fields of these names, wherever they are.
        paths: fields at these places; `*` stands for any name or index.
        tolerance: relative; None for ROUNDING where a float is compared, and for nothing elsewhere.
        absolute: numbers that differ by so much are the same.
        show_values: whether a difference shows values, or their types only.
    """

    names: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    tolerance: float | None = None
    absolute: float = 0.0
    show_values: bool = True

    @classmethod
    def of(
        cls, ignore: Sequence[str], tolerance: float | None, absolute: float, *, show_values: bool = True
    ) -> Leniency:
        """Return what a user's words mean.

        Args:
            ignore: names such as `timestamp`, and paths such as `$.trace_id` or `$.lines[*].id`.
            tolerance: relative; None for rounding only.
            absolute: in the numbers' own unit.
            show_values: false when results hold what must not stand in a log.

        Raises:
            ValueError: a path that cannot be read, or a tolerance that is not a number from 0 on.
        """
        if isinstance(ignore, str):
            raise ValueError("ignore is a list, such as ['$.trace_id', 'timestamp']")
        for figure in (tolerance or 0.0, absolute):
            if not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"a tolerance of {figure}")
        paths = tuple(parse_path(text) for text in ignore if text.startswith("$"))
        names = frozenset(text for text in ignore if not text.startswith("$"))
        return cls(names, paths, tolerance, absolute, show_values)

    def ignores(self, path: Path) -> bool:
        """Return whether what stands at a path does not count."""
        if path and path[-1] in self.names:
            return True
        return any(
            len(ignored) == len(path)
            and all(part in (_ANY, found, str(found)) for part, found in zip(ignored, path, strict=True))
            for ignored in self.paths
        )


def parse_path(text: str) -> Path:
    """Return the parts of a path such as `$.lines[*].id`.

    Raises:
        ValueError: it cannot be read, or names the whole result.
    """
    parts: list[Any] = []
    at = 1
    while at < len(text) and (found := _PART.match(text, at)):
        name, index, quoted = found.groups()
        parts.append(name if name else json.loads(quoted) if quoted else index if index == _ANY else int(index))
        at = found.end()
    if at < len(text) or not parts or not text.startswith("$"):
        raise ValueError(f"{text!r} is not a path such as $.total, $.lines[*].id or $[0]")
    return tuple(parts)


def path_text(path: Path) -> str:
    """Return a path as people write it."""
    written = "$"
    for part in path:
        if isinstance(part, str):
            written += f".{part}" if _NAME.fullmatch(part) else f"[{json.dumps(part)}]"
        else:
            written += f"[{part}]"
    return written


def compare(control: Drawn, candidate: Drawn, leniency: Leniency | None = None) -> Comparison:
    """Compare the pictures of two results.

    Args:
        control: what the old implementation gave, or Raised.
        candidate: what the new one gave.
        leniency: which differences do not count; None for rounding only.
    """
    walk = _Walk(leniency or Leniency())
    walk.visit(control.picture, candidate.picture, ())
    return Comparison(
        match=walk.count == 0,
        deviation=walk.deviation,
        difference=walk.text(),
        whole=control.whole and candidate.whole,
    )


class _Walk:
    """One comparison on its way through both pictures."""

    def __init__(self, leniency: Leniency) -> None:
        self._leniency = leniency
        self._lenient = bool(leniency.names or leniency.paths)
        self._first = ""
        self.count = 0
        self.deviation: float | None = None

    def text(self) -> str:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return self._first[: MAX_DIFFERENCE_CHARS - len(more)] + more

    def visit(self, control: Any, candidate: Any, path: Path) -> None:
        if self._lenient and self._leniency.ignores(path):
            return
        if isinstance(control, Beyond) or isinstance(candidate, Beyond):
            return
        if _is_number(control) and _is_number(candidate):
            self._numbers(control, candidate, path)
        elif isinstance(control, Fields) and isinstance(candidate, Fields):
            self._fields(control, candidate, path)
        elif isinstance(control, Items) and isinstance(candidate, Items):
            self._items(control, candidate, path)
        elif isinstance(control, Bag) and isinstance(candidate, Bag):
            self._bags(control, candidate, path)
        elif isinstance(control, bool) is not isinstance(candidate, bool) or control != candidate:
            self._differ(control, candidate, path)

    def _fields(self, control: Fields, candidate: Fields, path: Path) -> None:
        if control is _ABSENT or candidate is _ABSENT:
            self._differ(control, candidate, path)
            return
        cut = len(control.items) < control.count or len(candidate.items) < candidate.count
        for key, value in control.items.items():
            other = candidate.items.get(key, _ABSENT)
            # A field that was cut off on one side is not a field that is missing.
            if not (self._plainly_same(value, other) or (cut and other is _ABSENT)):
                self.visit(value, other, (*path, key))
        for key, value in candidate.items.items():
            if key not in control.items and not cut:
                self.visit(_ABSENT, value, (*path, key))

    def _items(self, control: Items, candidate: Items, path: Path) -> None:
        if control.count != candidate.count:
            self._note(path, f"{control.count} items", f"{candidate.count} items")
        for index, (value, other) in enumerate(zip(control.items, candidate.items, strict=False)):
            if not self._plainly_same(value, other):
                self.visit(value, other, (*path, index))

    def _plainly_same(self, control: Any, candidate: Any) -> bool:
        """Most values are; for them no path is made. (What is ignored must not count for the deviation: not here.)"""
        kind = type(control)
        if kind is not type(candidate) or kind not in _PLAIN or self._lenient or control != candidate:
            return False
        if kind is not str and self.deviation is None:
            self.deviation = 0.0
        return True

    def _bags(self, control: Bag, candidate: Bag, path: Path) -> None:
        if control.count != candidate.count and (control.count > len(control.items) or not candidate.items):
            self._note(path, f"{control.count} in the set", f"{candidate.count} in the set")
            return
        if len(control.items) < control.count or len(candidate.items) < candidate.count:
            return
        left = {_key(item): item for item in control.items}
        right = {_key(item): item for item in candidate.items}
        missing = sorted(self._shown(left[key]) for key in left.keys() - right.keys())
        extra = sorted(self._shown(right[key]) for key in right.keys() - left.keys())
        if missing or extra:
            self._note(path, *(f"{side[0]} in the set" if side else "absent" for side in (missing, extra)))

    def _numbers(self, control: Any, candidate: Any, path: Path) -> None:
        same = control == candidate or (_is_nan(control) and _is_nan(candidate))
        gap, relative = (0.0, 0.0) if same else _distance(control, candidate)
        self.deviation = max(self.deviation or 0.0, relative)
        if same:
            return
        tolerance = self._leniency.tolerance
        if tolerance is None:
            tolerance = ROUNDING if isinstance(control, float) or isinstance(candidate, float) else 0.0
        if not (relative <= tolerance or gap <= self._leniency.absolute):
            self._differ(control, candidate, path)

    def _differ(self, control: Any, candidate: Any, path: Path) -> None:
        self._note(path, self._shown(control), self._shown(candidate))

    def _note(self, path: Path, control: str, candidate: str) -> None:
        self.count += 1
        if self.count == 1:
            self._first = f"{path_text(path)}: {control} != {candidate}"

    def _shown(self, picture: Any) -> str:
        if picture is _ABSENT:
            return "absent"
        if isinstance(picture, Raised):
            return f"raised {picture.kind.__name__}"
        if isinstance(picture, Fields):
            return "an object"
        if isinstance(picture, Items | Bag):
            return f"{picture.count} items"
        if not self._leniency.show_values:
            return type(picture).__name__
        shown = str(picture) if _is_number(picture) else repr(picture)
        return shown if len(shown) <= _MAX_VALUE_CHARS else f"{shown[:_MAX_VALUE_CHARS]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal | Fraction | complex) and not isinstance(value, bool)


def _is_nan(number: Any) -> bool:
    return bool(number != number)  # noqa: PLR0124 - in any type of number NaN alone differs from itself


def _distance(left: Any, right: Any) -> tuple[float, float]:
    """How far two different numbers are apart: absolutely, and relatively to the greater one."""
    try:
        if type(left) is not type(right) and not (isinstance(left, int) and isinstance(right, int)):
            left, right = (side if isinstance(side, complex) else float(side) for side in (left, right))
        gap, greatest = abs(left - right), max(abs(left), abs(right))
        relative = float(gap / greatest)
        gap = float(gap)
    except (OverflowError, ArithmeticError):
        return math.inf, 1.0
    if math.isnan(relative) or math.isinf(relative):
        return math.inf, 1.0
    return gap, min(relative, 2.0)


def _key(picture: Any) -> Any:
    """What makes two elements of a set the same."""
    if isinstance(picture, Fields):
        return "fields", frozenset((key, _key(item)) for key, item in picture.items.items())
    if isinstance(picture, Items):
        return "items", tuple(_key(item) for item in picture.items)
    if isinstance(picture, Bag):
        return "bag", frozenset(_key(item) for item in picture.items)
    if _is_number(picture) and _is_nan(picture):
        return "nan"
    return (type(picture), picture) if isinstance(picture, bool | str) else picture
