"""YAML 1.2 text becomes a plain document, with the place of every path; traps are reported, never guessed about.

Single values follow the core schema of YAML 1.2: `on`, `off` and `1_000` are words, `true` is a truth value.
Anchors, aliases, merge keys, tags and directives are refused: a spec needs none of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

from guardian.spec.amounts import shown
from guardian.spec.document import key_fault, scalar_fault
from guardian.spec.report import UNREADABLE, Place, Report, child_of
from guardian.spec.yaml_nodes import Node, UnreadableError, read_nodes

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS: Final = 40
_TRUTH_OF_OLD: Final = frozenset({"yes", "no", "y", "n"})
_EMPTY_FIX: Final = "`guardian init` writes one to begin with"


def read_yaml(text: str, report: Report) -> Any:
    """Read a text.

    Args:
        text: the file's content, whatever it is.
        report: takes the problems, and learns the places.

    Returns:
        sections, lists and single values; what was reported stands as UNREADABLE.
    """
    text = text.removeprefix("\ufeff")
    try:
        root = read_nodes(text, report)
    except UnreadableError:
        return UNREADABLE
    if root is None or (root.text == "" and root.is_plain):
        report.add_at("", "the file is empty", _EMPTY_FIX, line=1, column=1)
        return UNREADABLE
    return _Converter(text, report).value_of(root, "")


class _Converter:
    """Walks the nodes, whose depth is bounded, and says what each of them means."""

    def __init__(self, text: str, report: Report) -> None:
        self._lines = text.splitlines()
        self._report = report

    def value_of(self, node: Node, path: str) -> Any:
        self._report.places.values[path] = Place(node.line, node.column, self._text_column(node))
        if node.is_alias:
            return self._refuse(path, f"an alias (`*{_anchor_of(node)}`)", "write the value out: specs have no aliases")
        if node.event.anchor:
            self._refuse(path, f"an anchor (`&{_anchor_of(node)}`)", "take it out: specs have no anchors")
        if node.event.tag:
            self._refuse(path, f"a tag ({shown(node.event.tag)})", "take it out: specs have no tags")
        if node.is_section:
            return self._section(node, path)
        if node.is_list:
            return [self.value_of(child, f"{path}[{i}]") for i, child in enumerate(node.children)]
        return self._single(node, path)

    def _refuse(self, path: str, message: str, fix: str) -> Any:
        self._report.add(path, message, fix)
        return UNREADABLE

    def _section(self, node: Node, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in zip(node.children[::2], node.children[1::2], strict=True):
            key = self._key(key_node, path)
            if key is None:
                continue
            here = child_of(path, key)
            if key in found:
                message = f"`{key}` stands here twice, first in line {lines[key]}"
                self._report.add_at(here, message, "keep one", line=key_node.line, column=key_node.column)
                continue
            lines[key] = key_node.line
            self._report.places.keys[here] = Place(key_node.line, key_node.column)
            found[key] = self.value_of(value_node, here)
        return found

    def _key(self, node: Node, path: str) -> str | None:
        """The word before a colon; None when it is none, which was reported."""
        fault = None
        if node.is_section or node.is_list or node.is_alias:
            fault = "not a word before a colon", "words are single texts; put text with brackets in quotes"
        elif node.is_plain and node.text == "<<":
            fault = "a merge key (`<<`)", "write the values out: specs have no merge keys"
        elif node.event.tag or node.event.anchor:
            fault = "a tag or an anchor before a word", "take it out"
        else:
            fault = key_fault(_meaning(node.text) if node.is_plain else node.text)
        if fault is None:
            return node.text
        self._report.add_at(path, *fault, line=node.line, column=node.column)
        return None

    def _single(self, node: Node, path: str) -> Any:
        text = node.text
        if not node.is_plain:
            value: Any = text
        elif text.lower() in _TRUTH_OF_OLD:
            return self._refuse(
                path, f"`{text}` is no truth value in YAML 1.2", f'write `true` or `false`, or "{text}" for the text'
            )
        else:
            value = _meaning(text)
        fault = scalar_fault(value)
        return self._refuse(path, *fault) if fault else value

    def _text_column(self, node: Node) -> int:
        """Where a text begins that stands in the file letter by letter on one line; 0 for any other."""
        if node.is_section or node.is_list or node.is_alias or node.line > len(self._lines):
            return 0
        start = node.column - 1 + (0 if node.is_plain else 1)
        return start + 1 if self._lines[node.line - 1].startswith(node.text, start) else 0


def _anchor_of(node: Node) -> str:
    """An anchor's name, short enough for a message."""
    return str(node.event.anchor)[:40]


def _meaning(text: str) -> Any:
    """What a text without quotes means in YAML 1.2."""
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    if _INTEGER.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
