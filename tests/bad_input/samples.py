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
    (b"[]", Why.WRONG_TYPE),
    (b"[" * 50_000, Why.WRONG_TYPE),
    (b'"a text"', Why.WRONG_TYPE),
    (b"null", Why.WRONG_TYPE),
    (request(ts="yesterday"), Why.WRONG_TYPE),
    (request(flag=7), Why.WRONG_TYPE),
    (b"{}", Why.MISSING_FIELD),
    (request(ts=None), Why.MISSING_FIELD),
    (request(flag=None), Why.MISSING_FIELD),
    (request(variant=None), Why.MISSING_FIELD),
    (request(kind="gauge", service="s", instance="i", metrics={"hits": None}), Why.MISSING_FIELD),
    (request(outcome=None), Why.MISSING_FIELD),
    (request(outcome="splendid"), Why.BAD_VALUE),
    (request(kind="rumour", outcome=None), Why.BAD_VALUE),
    (raw("ts", "NaN"), Why.WRONG_TYPE),
    (request(variant="v" * 120 + "ж" * 5), Why.BAD_VALUE),
    (request(variant="half \ud83d"), Why.BAD_VALUE),
    (request(variant="v" * 129), Why.BAD_VALUE),
    (request(ts=-1.0), Why.BAD_VALUE),
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

ODD: Final[list[tuple[bytes, str]]] = [
    (raw("metrics", '{"eur": null}'), "metrics"),
    (raw("metrics", '{"hits": NaN}'), "metrics"),
    (raw("metrics", '{"hits": 1e200}'), "metrics"),
    (request(metrics=[1]), "metrics"),
    (request(metrics={f"m{n}": 1 for n in range(33)}), "metrics"),
    (request(metrics={"m" * 129: 1}), "metrics"),
    (request(metrics={"memory_bytes": -5_000}), "metrics"),
    (raw("latency_ms", "NaN"), "latency_ms"),
    (raw("latency_ms", "-Infinity"), "latency_ms"),
    (raw("latency_ms", "1e400"), "latency_ms"),
    (request(latency_ms=1e16), "latency_ms"),
    (request(latency_ms="12"), "latency_ms"),
    (request(latency_ms=-3), "latency_ms"),
    (request(latency_ms=True), "latency_ms"),
    (request(flag_version="17"), "flag_version"),
    (request(flag_version=-1), "flag_version"),
    (request(flag_version=2**63), "flag_version"),
    (request(flag_version=1.5), "flag_version"),
    (request(error_type={"name": "X"}), "error_type"),
    (request(error_type="caf\ud83d"), "error_type"),
    (request(service=7), "service"),
    (request(kind="rumour"), "kind"),
    (request(assignment="fate"), "assignment"),
    (request(flags=["a"]), "flags"),
    (request(flags={"a b": "on"}), "flags"),
    (request(flag="a b", flags={"good": "on"}), "flag"),
    (request(subject="caf\ud83d"), "subject"),
    (raw("attributes", '{"id": ' + "9" * 30 + ', "half": "\\ud83d"}'), "attributes"),
    (raw("attributes", "[" * 10_000 + "]" * 10_000), "attributes"),
    (request(attributes={"pad": "x" * 70_000}), "attributes"),
]
"""Requests of the flag `good` that count, and the field that is left out of each (case B6)."""

MIGRATIONS: Final[list[tuple[bytes, Why]]] = [
    (b"{", Why.MALFORMED_JSON),
    (b'{"component": "c"}', Why.MISSING_FIELD),
    (b'{"event_type": "success"}', Why.MISSING_FIELD),
    (b'{"component": "c", "event_type": "dual_run"}', Why.MISSING_FIELD),
    (b'{"component": "c", "event_type": "sideways"}', Why.BAD_VALUE),
    (b'{"component": 1, "event_type": "failure"}', Why.BAD_VALUE),
    (b'{"component": "c", "event_type": "failure", "variant": false}', Why.WRONG_TYPE),
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
