"""A document of bounded size and plain values comes out, whatever goes in; what is wrong is reported with its place."""

from __future__ import annotations

import math
from typing import Any, Final

from guardian.spec.amounts import shown
from guardian.spec.report import UNREADABLE, Report, child_of

MAX_SPEC_CHARS: Final = 65_536
MAX_DEPTH: Final = 12
MAX_NODES: Final = 5_000
MAX_TEXT_CHARS: Final = 4_096
MAX_KEY_CHARS: Final = 128
MAX_NUMBER: Final = 2**53
"""Beyond this a JSON reader may round."""


class Budget:
    """Counts what was read, so that no document costs more than it may."""

    def __init__(self) -> None:
        self.nodes = 0
        self.chars = 0

    def fault(self, text_chars: int, depth: int) -> str:
        """Count one more value; return why it is too much, empty when it is not."""
        self.nodes += 1
        self.chars += text_chars
        if depth > MAX_DEPTH:
            return f"sections are nested more than {MAX_DEPTH} deep"
        if self.nodes > MAX_NODES:
            return f"more than {MAX_NODES:,} values"
        if self.chars > MAX_SPEC_CHARS:
            return f"more than {MAX_SPEC_CHARS:,} characters"
        return ""


def scalar_fault(value: object) -> tuple[str, str] | None:
    """Return what is wrong with a single value and how to mend it; None when it is fine.

    Args:
        value: anything that is neither a section nor a list.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARS:
            return f"a text of {len(value):,} characters", f"texts have at most {MAX_TEXT_CHARS:,}"
        strange = next((c for c in value if not c.isprintable() and c not in "\n\t"), None)
        return (f"an unprintable character {strange!a} in a text", "take it out") if strange else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if abs(value) <= MAX_NUMBER else (f"a number beyond {MAX_NUMBER:,}", "take a smaller one")
    if isinstance(value, float):
        return None if math.isfinite(value) else (f"not a number: {shown(value)}", "write a finite number")
    return f"not a value of JSON: {type(value).__name__}", "take a text, a number, true or false"


def checked_document(document: object, report: Report) -> Any:
    """Copy a document, leaving out what is wrong.

    Args:
        document: as JSON gave it, but anything at all is taken.
        report: takes the problems.

    Returns:
        sections, lists and single values; what was reported stands as UNREADABLE.
    """
    return _copy(document, "", 0, (Budget(), report))


def _copy(value: object, path: str, depth: int, to: tuple[Budget, Report]) -> Any:
    budget, report = to
    excess = budget.fault(len(value) if isinstance(value, str) else 0, depth)
    if excess:
        if budget.nodes <= MAX_NODES + 1:
            report.add(path, excess, "a spec is smaller")
        return UNREADABLE
    if isinstance(value, dict):
        return {
            key: _copy(item, child_of(path, key), depth + 1, to)
            for key, item in list(value.items())[:MAX_NODES]
            if _is_key(key, path, report)
        }
    if isinstance(value, list | tuple):
        return [_copy(item, f"{path}[{i}]", depth + 1, to) for i, item in enumerate(value[:MAX_NODES])]
    fault = scalar_fault(value)
    if fault:
        report.add(path, *fault)
        return UNREADABLE
    return value


def _is_key(key: object, path: str, report: Report) -> bool:
    fault = key_fault(key)
    if fault:
        report.add(path, *fault)
    return fault is None


def key_fault(key: object) -> tuple[str, str] | None:
    """Return what is wrong with the word before a colon and how to mend it; None when it is fine."""
    if not isinstance(key, str):
        return f"the word before a colon is not a text: {shown(key)}", f'put it in quotes: `"{shown(key)[1:-1]}":`'
    if len(key) > MAX_KEY_CHARS:
        return f"a word of {len(key):,} characters before a colon", f"words have at most {MAX_KEY_CHARS}"
    if not key.isprintable() or not key:
        return f"the word before a colon cannot be read: {key[:20]!a}", "write it in plain letters"
    return None
