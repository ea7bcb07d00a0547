"""Hostile keys: whatever a producer makes up, a record stays small enough and every message is accounted for."""

from __future__ import annotations

import pytest

from tests.ingest.test_coalesce import close, coalescer, records, request

HOSTILE = [
    [request(service=f"{n:0128d}", variant=f"{n:0128d}") for n in range(6_144)],
    [request(ts=float(n), latency_ms=n) for n in range(24_576)],
    [
        request(ts=float(n), flag=None, flags={f"{f:064d}": f"{n:064d}" for f in range(64)}, latency_ms=1)
        for n in range(200)
    ],
    [request(error_type=f"{n:0128d}", outcome="crash") for n in range(6_144)],
    [request(metrics={f"{n * 32 + m:0128d}": 1e10 for m in range(32)}, ts=float(n)) for n in range(300)],
    [
        b'{"kind": "gauge", "ts": 1, "service": "s", "instance": "%d", "flag": "f", "metrics": {"a": 1}}' % n
        for n in range(9_000)
    ],
    [b"\x00" * 60_000] * 40,
]


@pytest.mark.parametrize(
    "values", HOSTILE, ids=["services", "seconds", "flags", "errors", "metrics", "instances", "junk"]
)
def test_no_flood_of_keys_makes_a_record_too_large(values: list[bytes]) -> None:
    todo, folder, messages = records(values), coalescer(), 0
    while todo:
        todo = todo[folder.fold(todo) :]
        if folder.full:
            messages += close(folder)[0].tally.messages
            folder = coalescer()
    messages += close(folder)[0].tally.messages
    assert messages == len(values)
