"""What a command prints: answers to stdout, everything else to stderr, and never a broken JSON line.

Reasons, names of services and much else were written by others: no character of theirs may steer a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

_WIDE = 130
_PIPE_WIDTH = 200
"""Columns when nobody watches: a table in a pipe must not be cut at 80."""


def one_line(text: str) -> str:
    """Return a text with everything that is not shown made visible: escapes, line ends, turns of the direction."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def several_lines(text: str) -> str:
    """Return the same, with its line ends left alone."""
    return "\n".join(map(one_line, text.split("\n")))


class TamedConsole(Console):
    """Rich's console, whose colours are its own alone: what a text brings along is shown, not obeyed."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give the segments of something, tamed; what rich itself says to the terminal is in segments of its own."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else several_lines(text), style, control)


def answers() -> Console:
    """Return the console for what was asked for (stdout)."""
    return _console(stderr=False)


def notes() -> Console:
    """Return the console for progress, hints and errors (stderr)."""
    return _console(stderr=True)


def is_wide() -> bool:
    """Return whether a table may have all its columns on stdout."""
    return answers().width >= _WIDE


def print_page(page: RenderableType) -> None:
    """Print a table or a page to stdout, in a pipe without the spaces that only fill up the lines."""
    console = answers()
    if console.is_terminal:
        console.print(page)
        return
    with console.capture() as captured:
        console.print(page)
    for line in captured.get().splitlines():
        print(line.rstrip())


def print_warnings(texts: list[str]) -> None:
    """Print what a person must know beside the answer, to stderr."""
    for text in texts:
        notes().print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document as one line, at once, so that a program on the other end of a pipe sees it.

    Args:
        value: anything that msgspec can encode: dicts, lists, Structs, enums.
    """
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    """A console made when it is needed, so that a redirected stdout is the one written to."""
    console = TamedConsole(stderr=stderr, highlight=False)
    return console if console.is_terminal else TamedConsole(stderr=stderr, highlight=False, width=_PIPE_WIDTH)
