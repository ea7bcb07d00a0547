"""A section of the spec, read word by word: each value is checked, and every word that is not known is reported."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from guardian.core.text import duration_text
from guardian.core.words import FLAG_NAME_PATTERN
from guardian.spec.amounts import AmountError, duration_ms, shown
from guardian.spec.report import UNREADABLE, Report, child_of
from guardian.spec.vocabulary import LATER, LATER_VALUES, SECTIONS, nearest

MAX_ITEMS: Final = 100
"""Steps, triggers, gates of a step, components: none has more."""
MAX_OWNER_CHARS: Final = 256
NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_FLAG_NAME: Final = re.compile(FLAG_NAME_PATTERN)
_NAME: Final = re.compile(NAME_PATTERN)
_MISSING: Final = object()
T = TypeVar("T")


class Section:
    """One section of the document.

    Args:
        value: what stands there.
        path: where.
        kind: which words it may contain (a key of vocabulary.SECTIONS).
        report: takes the problems; a value that is wrong reads as its default.
    """

    def __init__(self, value: object, path: str, kind: str, report: Report) -> None:
        self.path = path
        self.report = report
        self._words = SECTIONS[kind]
        self._value: dict[str, Any] = {}
        if isinstance(value, dict):
            self._value = value
            self._refuse_unknown()
        elif value is not UNREADABLE:
            what = "nothing" if value is None else shown(value)
            report.add(path, f"{what} where a section belongs", f"a section has words with values: {self._known()}")

    def _known(self) -> str:
        return ", ".join(f"`{word}`" for word in self._words)

    def _refuse_unknown(self) -> None:
        for word in self._value:
            if word in self._words:
                continue
            path = child_of(self.path, word)
            if word.lower().replace("-", "_") in LATER:
                self.report.add(path, not_yet(word), "leave it out for now", key=True)
                continue
            near = nearest(word, list(self._words))
            if not near and self._words is SECTIONS["spec"] and word in SECTIONS["step"]:
                self.report.add(path, f"{shown(word)} is said of a step", f"write `{word}` there", key=True)
                continue
            later = "" if near else nearest(word, sorted(LATER))
            fix = f"did you mean `{near}`?" if near else f"known here are {self._known()}"
            if later:
                fix = f"should it be `{later}`: this version does not act on that yet"
            self.report.add(path, f"unknown word {shown(word)}", fix, key=True)

    def at(self, word: str) -> str:
        """Return the path of a word."""
        return child_of(self.path, word)

    def has(self, word: str) -> bool:
        """Return whether the word stands here, right or wrong."""
        return word in self._value

    def raw(self, word: str) -> Any:
        """Return what stands after a word; None when it is absent, reported or empty (which is reported too)."""
        value = self._value.get(word, _MISSING)
        if value is _MISSING or value is UNREADABLE:
            return None
        if value is None:
            self.report.add(self.at(word), f"`{word}` has no value", "give it one, or take the word out", key=True)
        return value

    def require(self, word: str) -> None:
        """Report that a word is missing."""
        if word not in self._value:
            example = self._words[word].example
            self.report.add(self.path, f"`{word}` is missing", f"add `{word}: {example}`")

    def text(self, word: str, default: str = "") -> str:
        """Return a text of one line."""
        value = self.raw(word)
        if value is None:
            return default
        if not isinstance(value, str):
            return self._wrong(word, f"not a text: {shown(value)}", _quoted(value), default)
        if not value.strip() or len(value) > MAX_OWNER_CHARS or not value.isprintable():
            return self._wrong(
                word, f"not a text of 1 to {MAX_OWNER_CHARS} characters", "write it on one line", default
            )
        return value

    def name(self, word: str, default: str = "", *, pattern: re.Pattern[str] = _NAME) -> str:
        """Return a name: letters, digits, `.`, `_` and `-`."""
        value = self.raw(word)
        if value is None:
            return default
        fault = name_fault(value, pattern)
        return self._wrong(word, *fault, default) if fault else str(value)

    def flag_name(self, word: str) -> str:
        """Return the name of a flag."""
        return self.name(word, pattern=_FLAG_NAME)

    def choice(self, word: str, choices: tuple[str, ...], default: str) -> str:
        """Return one of a few words."""
        value = self.raw(word)
        if value is None or (isinstance(value, str) and value in choices):
            return default if value is None else str(value)
        report_choice(self.report, self.at(word), value, choices)
        return default

    def duration(self, word: str, default: int, *, at_most_ms: int | None = None) -> int:
        """Return a duration in milliseconds."""
        value = self.amount(word, duration_ms)
        if value is None:
            return default
        if at_most_ms is not None and value > at_most_ms:
            return self._wrong(
                word, f"too long: {shown(self._value[word])}", f"at most `{duration_text(at_most_ms)}`", default
            )
        return value

    def amount(self, word: str, read: Callable[[object], int]) -> int | None:
        """Return an amount as `read` reads it; None when it is absent or wrong."""
        value = self.raw(word)
        if value is None:
            return None
        try:
            return read(value)
        except AmountError as error:
            self.report.add(self.at(word), error.message, error.fix)
            return None

    def number(self, word: str, *, low: int, high: int) -> int | None:
        """Return a whole number; None when it is absent or wrong."""
        value = self.raw(word)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            fix = f"write `{low}` or more"
            if isinstance(value, str) and value.replace("_", "").isdecimal():
                fix = f"write it plainly and without quotes: `{value.replace('_', '')[:20]}`"
            self.report.add(self.at(word), f"not a whole number from {low} to {high:,}: {shown(value)}", fix)
            return None
        return value

    def truth(self, word: str) -> bool:
        """Return true or false; false when it is absent or wrong."""
        value = self.raw(word)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.report.add(self.at(word), f"neither true nor false: {shown(value)}", "write `true` or `false`")
        return False

    def items(self, word: str) -> list[tuple[str, Any]]:
        """Return a list's values, each with its path; what was reported is left out."""
        value = self.raw(word)
        if value is None:
            return []
        path = self.at(word)
        if not isinstance(value, list):
            self.report.add(
                path, f"{shown(value)} where a list belongs", f"write `{word}: [...]`, or one `- ` per line"
            )
            return []
        if len(value) > MAX_ITEMS:
            self.report.add(path, f"{len(value):,} values in a list", f"at most {MAX_ITEMS}")
        return [(f"{path}[{i}]", item) for i, item in enumerate(value[:MAX_ITEMS]) if item is not UNREADABLE]

    def _wrong(self, word: str, message: str, fix: str, default: T) -> T:
        self.report.add(self.at(word), message, fix)
        return default


def not_yet(word: str) -> str:
    """Say that a word belongs to a later version."""
    return f"this version does not act on {shown(word)} yet"


def name_fault(value: object, pattern: re.Pattern[str] = _NAME) -> tuple[str, str] | None:
    """Return what is wrong with a name and how to mend it; None when it is fine."""
    if not isinstance(value, str):
        return f"not a name: {shown(value)}", _quoted(value)
    if pattern.fullmatch(value):
        return None
    longest = 128 if pattern is _FLAG_NAME else 64
    return f"not a name: {shown(value)}", f"up to {longest} letters, digits, `.`, `_`, `-`, the first a letter or digit"


def report_choice(report: Report, path: str, value: object, choices: tuple[str, ...]) -> None:
    """Report a value that is none of a few words."""
    if isinstance(value, str) and value.lower().replace("-", "_") in LATER_VALUES:
        report.add(path, not_yet(value), f"write {_either(choices)}")
        return
    near = nearest(value, list(choices)) if isinstance(value, str) else ""
    report.add(
        path,
        f"not one of {_either(choices)}: {shown(value)}",
        f"did you mean `{near}`?" if near else f"write {_either(choices)}",
    )


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join(f"`{choice}`" for choice in choices)


def _quoted(value: object) -> str:
    if isinstance(value, dict | list):
        return "write a single text"
    return f'put it in quotes: "{shown(value)[1:-1]}"'
