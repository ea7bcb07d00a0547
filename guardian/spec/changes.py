"""What differs between two spec documents, path by path: what an apply would do, before it does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

_ABSENT: Final = "absent"


@dataclass(frozen=True)
class Change:
    """One place that differs; a side that has nothing there says `absent`."""

    path: str
    before: str
    after: str

    def line(self) -> str:
        """Return it as one line of text: `+` new, `-` gone, `~` other."""
        if self.before == _ABSENT:
            return f"  + {self.path}: {self.after}"
        if self.after == _ABSENT:
            return f"  - {self.path}: {self.before}"
        return f"  ~ {self.path}: {self.before} -> {self.after}"


def changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """Return every place where two JSON documents differ, in the order of the new one.

    Lists are compared by position, except lists of objects with a `name`, which are compared by name.
    """
    if before == after:
        return []
    left, right = _parts(before), _parts(after)
    if left is None or right is None:
        return [Change(path, _text(before), _text(after))]
    found: list[Change] = []
    for key in [*right, *(key for key in left if key not in right)]:
        place = f"{path}[{key}]" if isinstance(after, list) else f"{path}.{key}" if path else str(key)
        if key not in left:
            found.append(Change(place, _ABSENT, _text(right[key])))
        elif key not in right:
            found.append(Change(place, _text(left[key]), _ABSENT))
        else:
            found.extend(changes(left[key], right[key], place))
    # The same parts, and yet the lists differ: their order does.
    return found or [Change(path, ", ".join(left), ", ".join(right))]


def _parts(value: Any) -> dict[str, Any] | None:
    """The parts of a value by name or position; None for a value without parts."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return None
    return {_key(item, number): item for number, item in enumerate(value)}


def _key(item: Any, number: int) -> str:
    """A list item's name, if it has one, else its position."""
    name = item.get("name") if isinstance(item, dict) else None
    return str(name) if name else str(number)


def _text(value: Any) -> str:
    """A value in one line."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
