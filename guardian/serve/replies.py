"""Answers as JSON, written by msgspec: the same fields and words as on the topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

JSON: Final = "application/json"
_encoder: Final = msgspec.json.Encoder()


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON; structs become objects, enums their words."""
    return _encoder.encode(value)


def json_reply(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with a JSON body.

    Args:
        value: structs, enums and plain values.
        status: of HTTP.
        headers: further headers.
    """
    return Response(json_bytes(value), status, headers, JSON)
