"""Splits a JSON array or object into its parts without reading them: a part that is no JSON costs itself only.

Nothing here recurses: nesting of any depth is counted, and the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_OPENING: Final = frozenset(b"[{")
_CLOSING: Final = frozenset(b"]}")
_COMMA, _QUOTE = b',"'


def split_array(text: bytes, most: int) -> list[bytes] | None:
    """Return the elements of a JSON array, none of them read.

    Args:
        text: `[`, elements with commas between them, `]`.
        most: the number of elements after which the rest is not looked at.

    Returns:
        at most `most` + 1 elements; None when the brackets do not match.
    """
    parts: list[bytes] = []
    for part in _parts(text, b"[]"):
        if part is None:
            return None
        parts.append(part.strip())
        if len(parts) > most:
            return parts
    return [] if parts == [b""] else parts


def split_object(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the members of a JSON object as (name in quotes, value), none of them read.

    Returns:
        None when the brackets do not match, or a member has no name.
    """
    members: list[tuple[bytes, bytes]] = []
    for part in _parts(text, b"{}"):
        name = None if part is None else _TOKENS.search(part)
        if part is None or name is None or name[0][0] != _QUOTE:
            return None
        _, colon, value = part[name.end() :].partition(b":")
        if not colon:
            return None
        members.append((name[0], value.strip()))
    return members


def _parts(text: bytes, brackets: bytes) -> Iterator[bytes | None]:
    """What stands between the commas of the outermost brackets; a last None when the brackets do not match."""
    text = text.strip()
    if text[:1] != brackets[:1] or text[-1:] != brackets[1:]:
        yield None
        return
    depth, start = 0, 1
    for token in _TOKENS.finditer(text):
        kind = text[token.start()]
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth -= 1
            if depth == 0:
                yield text[start : token.start()] if token.end() == len(text) else None
                return
        elif kind == _COMMA and depth == 1:
            yield text[start : token.start()]
            start = token.end()
    yield None
