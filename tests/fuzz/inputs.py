"""Hostile records of guardian.inputs: payloads as ingest and decide write them, with something wrong, or not at all."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from guardian.core.inputs import (
    INPUT_FORMAT,
    Actor,
    Batch,
    Bucket,
    Cell,
    Command,
    FreezeFlag,
    Gauge,
    Heartbeat,
    Payload,
    Reassert,
    Source,
    SourceMark,
    Tick,
    Watermarks,
)
from tests.fuzz.hostile import INTS, anything, as_msgpack, mutated, scalar

FLAGS: Final = ("target", "other-target", "unknown")
COMMANDS: Final = (
    "apply", "start", "promote", "pause", "resume", "rollback", "kill", "unkill", "resolve", "archive", "bug", "metric",
    "unfreeze", "release", "nonsense",
)  # fmt: skip
_FORMAT: Final = bytes([INPUT_FORMAT])


def payload(rng: random.Random, spec: dict[str, Any], log_ms: int) -> Payload:
    """Return a payload whose shape is right and whose content may be anything that the types allow."""
    match rng.randrange(10):
        case 0:
            return Tick(str(scalar(rng))[:20])
        case 1:
            return _marks(rng, log_ms)
        case 2:
            return Reassert(rng.choice(FLAGS), _int(rng), _int(rng))
        case 3:
            return _batch(rng, log_ms, commands=[_command(rng, spec)])
        case 4:
            # A freeze of a flag is a thing that guardian says of itself; one of an unknown flag changes nothing.
            return FreezeFlag("unknown", _int(rng), str(scalar(rng))[:50], str(scalar(rng))[:50])
        case _:
            return _batch(rng, log_ms)


def record(rng: random.Random, spec: dict[str, Any], log_ms: int) -> bytes | None:
    """Return the value of a record: mostly nearly right."""
    if rng.random() < 0.02:
        return rng.choice((None, b"", b"\x00", rng.randbytes(40)))
    data = msgspec.msgpack.encode(payload(rng, spec, log_ms))
    if rng.random() < 0.5:
        return _FORMAT + data
    return (_FORMAT if rng.random() < 0.98 else rng.randbytes(1)) + as_msgpack(
        rng, mutated(rng, msgspec.msgpack.decode(data), 0.05)
    )


def _int(rng: random.Random) -> int:
    return min(max(rng.choice((*INTS, rng.randrange(10))), -(2**63)), 2**63 - 1)


def _figure(rng: random.Random) -> float:
    if rng.random() < 0.9:
        return rng.choice((rng.uniform(-1e15, 1e15), rng.uniform(0, 100), -1.0, 0.0, 1e15))
    found = scalar(rng)
    return float(found) if isinstance(found, int | float) else rng.uniform(-10, 10)


def _second(rng: random.Random, log_ms: int) -> int:
    return rng.choice((*[log_ms // 1_000 - rng.randrange(600)] * 6, 0, log_ms // 1_000 + 3_600, 10**11))


def _bucket(rng: random.Random, second: int) -> Bucket:
    counts = [rng.choice((0, 1, 5, 10**6, rng.randrange(50))) for _ in range(5)]
    bins = sorted(rng.sample(range(1_160), rng.randrange(4)))
    plain = Bucket(
        second, sum(counts), *counts, latency_n=sum(counts[:1]), latency_sum_us=rng.randrange(10**9),
        bins=bins, bin_counts=[rng.randrange(1, 9) for _ in bins],
    )  # fmt: skip
    if rng.random() < 0.4:
        plain.metrics = {str(scalar(rng))[:100]: [1.0, _figure(rng), abs(_figure(rng)), _figure(rng)], "eur": [1.0] * 4}
        plain.migrations = rng.choice(([], [1, 2, 3], [0, 0, 0]))
        plain.pairs = rng.choice(([], [5, 1, 10, 10, 0]))
        plain.signatures = {str(scalar(rng))[:100]: rng.randrange(9)}
        plain.feedback = {str(scalar(rng))[:20]: 1}
    if rng.random() < 0.05:
        setattr(plain, rng.choice(("n", "ok", "crash", "latency_n", "latency_sum_us", "second")), _int(rng))
    return plain


def _cell(rng: random.Random, log_ms: int) -> Cell:
    seconds = {_second(rng, log_ms) for _ in range(rng.randrange(4))}
    variant = rng.choice(("on", "off", "on", "off", "other", "true", str(scalar(rng))[:50]))
    assignment = rng.choice(("split", "unattributed", "opt", str(scalar(rng))[:20]))
    version = rng.choice((0, log_ms, log_ms + 10**9, abs(_int(rng)) % 2**63))
    service = rng.choice(("shop", "", str(scalar(rng))[:128]))
    return Cell(
        rng.choice(FLAGS), version, variant, assignment, service, buckets=[_bucket(rng, s) for s in sorted(seconds)]
    )


def _batch(rng: random.Random, log_ms: int, commands: list[Command] | None = None) -> Batch:
    source = Source(rng.choice(("telemetry", "migrations", str(scalar(rng))[:40])), rng.choice(("id", "id2")), 0)
    start = rng.choice((0, 10, rng.randrange(2**40), 2**62))
    names = ("memory_bytes", "cpu_pct", "queue", str(scalar(rng))[:60])
    return Batch(
        source, start, start + rng.randrange(1, 100),
        cells=[_cell(rng, log_ms) for _ in range(rng.randrange(5))],
        heartbeats=[
            Heartbeat(
                str(scalar(rng))[:128], str(scalar(rng))[:128], log_ms - rng.randrange(10**5),
                {flag: abs(_int(rng)) % 2**63 for flag in FLAGS}, abs(_int(rng)), abs(_int(rng)),
                {name: _figure(rng) for name in names},
            )
            for _ in range(rng.randrange(3))
        ],
        gauges=[
            Gauge(rng.choice(FLAGS), str(scalar(rng))[:128], "i", log_ms, {name: _figure(rng) for name in names})
            for _ in range(rng.randrange(3))
        ],
        commands=commands or [],
    )  # fmt: skip


def _command(rng: random.Random, spec: dict[str, Any]) -> Command:
    word = rng.choice(COMMANDS)
    flag = rng.choice((*FLAGS[:2], "unknown", "*"))
    document = mutated(rng, {**spec, "flag": flag}, 0.03) if word == "apply" else None
    return Command(
        str(scalar(rng))[:128], word, flag, Actor(str(scalar(rng))[:256], "cli"), str(scalar(rng))[:4_096],
        ts=abs(_figure(rng)), spec=document if isinstance(document, dict) else ({} if word == "apply" else None),
        to=rng.choice(("", "zero", "previous", "canary", str(scalar(rng))[:50])) if word == "rollback" else "",
        epoch=0, name=str(scalar(rng))[:64], value=_figure(rng), force=rng.random() < 0.2,
        seen_turn=rng.choice((None, None, abs(_int(rng)))),
        freeze=str(anything(rng))[:100] if word == "release" else "",
    )  # fmt: skip


def _marks(rng: random.Random, log_ms: int) -> Watermarks:
    watermark_ms = rng.choice((log_ms - 2_000, log_ms - rng.randrange(10**6), 0, abs(_int(rng))))
    mark = SourceMark(Source("telemetry", "id", 0), watermark_ms, _int(rng), rng.random() < 0.7)
    expected = rng.choice(
        ({"telemetry": 1}, {"telemetry": 1}, {"telemetry": 1, str(scalar(rng))[:30]: rng.randrange(9)})
    )
    return Watermarks(str(scalar(rng))[:50], [mark], expected, rng.choice((2_000, 2_000, 2_000, 0, -1, _int(rng))))
