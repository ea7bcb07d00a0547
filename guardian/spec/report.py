"""Everything that is wrong with a spec is collected here, with its place, and told at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from guardian.errors import Problem, SpecError

MAX_PROBLEMS: Final = 200
"""More than these are counted, not listed."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Unreadable:
    """Stands for a value that was already reported as wrong, so that nothing is said about it twice."""


UNREADABLE: Final = Unreadable()


@dataclass(frozen=True)
class Place:
    """Where something stands in the file.

    Args:
        line, column: 1-based.
        text_column: 1-based column of a text's first character when the text stands there letter by letter,
            on one line; 0 otherwise.
    """

    line: int
    column: int
    text_column: int = 0


@dataclass
class Places:
    """Where each path of the document stands: its key, and its value."""

    keys: dict[str, Place] = field(default_factory=dict)
    values: dict[str, Place] = field(default_factory=dict)

    def of(self, path: str, *, key: bool, offset: int) -> tuple[int, int]:
        """Return line and column of a path, of its nearest parent if it stands nowhere, (0, 0) if unknown.

        Args:
            path: as `steps[1].weight`.
            key: the word itself rather than what stands after it.
            offset: characters into the text, when it is a text.
        """
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        place = first.get(path) or second.get(path)
        while place is None and path:
            path = parent_of(path)
            place = self.values.get(path)
            offset = 0
        if place is None:
            return 0, 0
        if offset and not key and place.text_column:
            return place.line, place.text_column + offset
        return place.line, place.column


def child_of(path: str, key: str) -> str:
    """Return the path of a word in a section: `rollback.to`."""
    name = key if _PLAIN_KEY.fullmatch(key) else f"[{key!r}]"
    return f"{path}.{name}" if path and not name.startswith("[") else f"{path}{name}"


def parent_of(path: str) -> str:
    """Return the path one level up, empty for the document."""
    cut = max(path.rfind("."), path.rfind("["))
    return path[:cut] if cut > 0 else ""


class Report:
    """Collects problems.

    Args:
        places: where paths stand in the file; None when there is no file.
    """

    def __init__(self, places: Places | None = None) -> None:
        self.places = places or Places()
        self._problems: list[Problem] = []
        self._left_out = 0

    def add(self, path: str, message: str, fix: str = "", *, key: bool = False, offset: int = 0) -> None:
        """Note a problem.

        Args:
            path: where in the document.
            message: what is wrong.
            fix: what would be right.
            key: it is about the word, not about what stands after it.
            offset: characters into the text that stands there.
        """
        line, column = self.places.of(path, key=key, offset=offset)
        self.add_at(path, message, fix, line=line, column=column)

    def add_at(self, path: str, message: str, fix: str = "", *, line: int, column: int) -> None:
        """Note a problem whose line and column are known already."""
        if len(self._problems) >= MAX_PROBLEMS:
            self._left_out += 1
            return
        self._problems.append(Problem(path, message, fix, line, column))

    @property
    def problems(self) -> list[Problem]:
        """Everything found, in the order of the file."""
        found = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
        if self._left_out:
            found.append(Problem("", f"{self._left_out:,} more problems are not listed", "correct these first"))
        return found

    def raise_if_any(self, source: str) -> None:
        """End here when something is wrong.

        Args:
            source: the file's name, for the message.

        Raises:
            SpecError: with every problem.
        """
        if self._problems:
            raise SpecError(self.problems, source)
