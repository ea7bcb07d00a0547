"""Markdown as the made pages need it."""

from __future__ import annotations

from collections.abc import Iterable

NOTE = "<!-- Made from the code: python -m docs.made -->"


def page(title: str, *parts: str) -> str:
    """Return a page: its title, the note that nobody should edit it, and its parts with empty lines between."""
    return "\n\n".join([f"# {title}", NOTE, *(part.strip("\n") for part in parts)]) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; pipes and line breaks in cells are escaped."""
    columns = list(head)
    lines = [_row(columns), _row("---" for _ in columns)]
    return "\n".join([*lines, *(_row(_cell(cell) for cell in row) for row in rows)])


def code(text: str) -> str:
    """Return a text as code within a line, empty for an empty one."""
    return f"`{text}`" if text else ""


def block(language: str, text: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
