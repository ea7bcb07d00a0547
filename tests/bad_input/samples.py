"""Messages that no application should send, and why each is refused."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from guardian.errors import DecodeReason as Why

NOW: Final = time.time()


def request(**fields: Any) -> bytes:
    """Return a request event; a field that is None is left out."""
    document = {"ts": NOW, "flag": "good", "variant": "on", "outcome": "ok", **fields}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def raw(field: str, text: str) -> bytes:
    """Return a request event with one field written as it is, also if that is not JSON."""
    return request(**{field: "@"}).replace(b'"@"', text.encode())


TELEMETRY: Final[list[tuple[bytes, Why]]] = [
    (b"", Why.MALFORMED_JSON),
    (b"nope", Why.MALFORMED_JSON),
    (b"{", Why.MALFORMED_JSON),
    (request()[:-1], Why.MALFORMED_JSON),
    (request() + request(), Why.MALFORMED_JSON),
    (b"\xff\xfe\x00{}", Why.MALFORMED_JSON),
    (b"\x00" * 1_000, Why.MALFORMED_JSON),
    (raw("attributes", "[" * 10_000 + "]" * 10_000), Why.MALFORMED_JSON),
    (b"[]", Why.WRONG_TYPE),
    (b"[" * 50_000, Why.WRONG_TYPE),
    (b'"a text"', Why.WRONG_TYPE),
    (b"null", Why.WRONG_TYPE),
    (request(ts="yesterday"), Why.WRONG_TYPE),
    (request(latency_ms="12"), Why.WRONG_TYPE),
    (request(flag=7), Why.WRONG_TYPE),
    (request(flags=["a"]), Why.WRONG_TYPE),
    (request(metrics=[1]), Why.WRONG_TYPE),
    (b"{}", Why.MISSING_FIELD),
    (request(ts=None), Why.MISSING_FIELD),
    (request(flag=None), Why.MISSING_FIELD),
    (request(variant=None), Why.MISSING_FIELD),
    (request(outcome=None), Why.MISSING_FIELD),
    (raw("latency_ms", "NaN"), Why.BAD_VALUE),
    (raw("latency_ms", "Infinity"), Why.BAD_VALUE),
    (raw("latency_ms", "-Infinity"), Why.BAD_VALUE),
    (raw("metrics", '{"hits": NaN}'), Why.BAD_VALUE),
    (raw("metrics", '{"hits": -Infinity}'), Why.BAD_VALUE),
    (raw("latency_ms", "1e400"), Why.BAD_VALUE),
    (raw("metrics", '{"hits": 1e200}'), Why.BAD_VALUE),
    (request(latency_ms=-1), Why.BAD_VALUE),
    (request(flag_version=-1), Why.BAD_VALUE),
    (request(flag_version=2**63), Why.BAD_VALUE),
    (request(kind="heartbeat", service="s", instance="i", flag=None, dropped=-5), Why.BAD_VALUE),
    (request(kind="heartbeat", service="s", instance="i", flag=None, dropped=10**25), Why.BAD_VALUE),
    (request(outcome="splendid"), Why.BAD_VALUE),
    (request(kind="rumour"), Why.BAD_VALUE),
    (request(assignment="fate"), Why.BAD_VALUE),
    (request(variant="v" * 129), Why.BAD_VALUE),
    (request(service="s" * 129), Why.BAD_VALUE),
    (request(ts=-1.0), Why.BAD_VALUE),
    (request(metrics={f"m{n}": 1 for n in range(33)}), Why.BAD_VALUE),
    (request(flag=None, flags={f"f{n}": "on" for n in range(65)}), Why.BAD_VALUE),
    (request(ts=NOW * 1_000), Why.TIME_IN_MILLISECONDS),
    (request(ts=NOW * 1_000_000), Why.TIME_IN_MILLISECONDS),
    (request(ts=NOW + 86_400), Why.TIME_IN_FUTURE),
    (request(ts=99_999_999_999.0), Why.TIME_IN_FUTURE),
    (request(flag=""), Why.BAD_FLAG_NAME),
    (request(flag="../../etc/passwd"), Why.BAD_FLAG_NAME),
    (request(flag="-rf"), Why.BAD_FLAG_NAME),
    (request(flag="_beat"), Why.BAD_FLAG_NAME),
    (request(flag="*"), Why.BAD_FLAG_NAME),
    (request(flag="günther"), Why.BAD_FLAG_NAME),
    (request(flag="a b"), Why.BAD_FLAG_NAME),
    (request(flag="good\n"), Why.BAD_FLAG_NAME),
    (request(flag="f" * 129), Why.BAD_FLAG_NAME),
    (request(note="x" * 70_000), Why.TOO_LARGE),
]
"""A message, and the reason that stands in the header of its dead letter."""

MIGRATIONS: Final[list[tuple[bytes, Why]]] = [
    (b"{", Why.MALFORMED_JSON),
    (b'{"component": "c"}', Why.MISSING_FIELD),
    (b'{"event_type": "success"}', Why.MISSING_FIELD),
    (b'{"component": "c", "event_type": "dual_run"}', Why.MISSING_FIELD),
    (b'{"component": "c", "event_type": "sideways"}', Why.BAD_VALUE),
    (b'{"component": "c", "event_type": "failure", "duration": -1}', Why.BAD_VALUE),
    (b'{"component": "c", "event_type": "failure", "duration": Infinity}', Why.BAD_VALUE),
    (b'{"component": 1, "event_type": "failure"}', Why.WRONG_TYPE),
    (b'{"component": "c", "event_type": "failure", "ts": 1763700000000}', Why.TIME_IN_MILLISECONDS),
    (b'{"flag": "a/b", "event_type": "failure"}', Why.BAD_FLAG_NAME),
]

COMMANDS: Final[list[tuple[bytes, Why]]] = [
    (b"", Why.MALFORMED_JSON),
    (b"kill it", Why.MALFORMED_JSON),
    (b'{"id": "1", "command": "explode", "flag": "good", "actor": {"name": "x"}}', Why.UNKNOWN_COMMAND),
    (b'{"id": "1", "command": "pause", "flag": "a b", "actor": {"name": "x"}}', Why.BAD_FLAG_NAME),
    (b'{"id": "1", "command": "pause", "actor": {"name": "x"}}', Why.MISSING_FIELD),
    (b'{"id": "1", "command": "pause", "flag": "good", "actor": "x"}', Why.WRONG_TYPE),
    (
        b'{"id": "1", "command": "apply", "flag": "good", "actor": {"name": "x"}, "spec": {"a": '
        + b"[" * 500
        + b"]" * 500
        + b"}}",
        Why.BAD_VALUE,
    ),
    (
        b'{"id": "1", "command": "apply", "flag": "good", "actor": {"name": "x"}, "spec": {"a": "'
        + b"x" * 300_000
        + b'"}}',
        Why.TOO_LARGE,
    ),
]
