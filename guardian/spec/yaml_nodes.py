"""YAML text becomes a tree of nodes that know their place; broken text becomes one clear problem. Work is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from guardian.spec.amounts import shown
from guardian.spec.document import MAX_SPEC_CHARS, Budget
from guardian.spec.report import Report

_SMALLER: Final = "a spec is smaller than this"
_NO_VALUE_BEGINS: Final = ("%", "@", "`")
_BLOCK: Final = re.compile(r"([>|])[-+0-9]*$")


class UnreadableError(Exception):
    """The text cannot be read on; why is in the report."""


@dataclass
class Node:
    """One value in the text.

    Args:
        event: what the parser said: a text, an alias, the start of a list or of a section.
        children: a list's values; a section's words and values by turns.
    """

    event: Any
    children: list[Node] = field(default_factory=list)

    @property
    def line(self) -> int:
        """1-based."""
        return int(self.event.start_mark.line) + 1

    @property
    def column(self) -> int:
        """1-based."""
        return int(self.event.start_mark.column) + 1

    @property
    def is_section(self) -> bool:
        """Words with values."""
        return isinstance(self.event, MappingStartEvent)

    @property
    def is_list(self) -> bool:
        """Values in a row."""
        return isinstance(self.event, SequenceStartEvent)

    @property
    def text(self) -> str:
        """A single value's text; empty for anything else."""
        return str(self.event.value) if isinstance(self.event, ScalarEvent) else ""

    @property
    def is_plain(self) -> bool:
        """A single value without quotes."""
        return isinstance(self.event, ScalarEvent) and self.event.style in (None, "")

    @property
    def is_alias(self) -> bool:
        """A reference to a value that stands elsewhere."""
        return isinstance(self.event, AliasEvent)


def read_nodes(text: str, report: Report) -> Node | None:
    """Read a text.

    Args:
        text: the file's content, whatever it is.
        report: takes the problems.

    Returns:
        the only document's root, None when the file is empty.

    Raises:
        UnreadableError: the text cannot be read; the report says why.
    """
    if len(text) > MAX_SPEC_CHARS:
        fix = f"a spec has at most {MAX_SPEC_CHARS:,}"
        raise _unreadable(report, f"a file of {len(text):,} characters", fix, (1, 1))
    budget = Budget()
    roots: list[Node] = []
    open_nodes: list[Node] = []
    for event in _events(text, report):
        if isinstance(event, DocumentStartEvent):
            _check_document(event, roots, report)
        elif isinstance(event, NodeEvent):
            node = Node(event)
            excess = budget.fault(len(event.value) if isinstance(event, ScalarEvent) else 0, len(open_nodes))
            if excess:
                raise _unreadable(report, excess, _SMALLER, (node.line, node.column))
            (open_nodes[-1].children if open_nodes else roots).append(node)
            if node.is_section or node.is_list:
                open_nodes.append(node)
        elif open_nodes:  # an end: of the innermost list or section
            open_nodes.pop()
    return roots[0] if roots else None


def _check_document(event: DocumentStartEvent, roots: list[Node], report: Report) -> None:
    line = int(event.start_mark.line) + 1
    if roots:
        raise _unreadable(report, "several documents in one file", "one spec per file: take the `---` out", (line, 1))
    if event.version or event.tags:
        report.add_at("", "a directive (`%`) at the top", "take it out: specs are YAML 1.2", line=line, column=1)


def _events(text: str, report: Report) -> Iterator[Any]:
    """The parser's events; what is no YAML is reported and ends them."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        at = mark.index if mark is not None else len(text)
        raise _unreadable(report, *_explained(error, text[at : at + 1], text[max(at - 4, 0) : at]), place) from None
    except YAMLError as error:
        place = _place_of(text, getattr(error, "position", 0))
        raise _unreadable(report, f"not YAML: {shown(error)}", "take unprintable characters out", place) from None
    except UnreadableError:
        raise
    except Exception as error:  # the parser's own fault on strange text: it is still the text that can be mended
        raise _unreadable(report, f"not YAML: {shown(error)}", "write it more plainly", (1, 1)) from None


def _explained(error: MarkedYAMLError, at: str, before: str) -> tuple[str, str]:
    """What broke the text at a character, and how to mend it."""
    problem = " ".join(str(error.problem or error.context or "it cannot be read").split())
    if at == "\t" or "\\t" in problem:
        return "a tab where YAML wants spaces", "indent with spaces"
    block = _BLOCK.search(before)
    if block:
        return f"a value that begins with `{block[1]}` means a block of text", "put it in quotes"
    if at in _NO_VALUE_BEGINS:
        return f"a value cannot begin with `{at}`", "put it in quotes"
    if "mapping values are not allowed" in problem:
        return "a colon where none may stand", "put the text in quotes, or correct the indentation"
    return f"not YAML: {problem[:120]}", "look at indentation, quotes and brackets around here"


def _place_of(text: str, index: object) -> tuple[int, int]:
    before = text[:index] if isinstance(index, int) else ""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _unreadable(report: Report, message: str, fix: str, place: tuple[int, int]) -> UnreadableError:
    report.add_at("", message, fix, line=place[0], column=place[1])
    return UnreadableError(message)
