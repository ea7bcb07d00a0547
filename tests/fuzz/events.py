"""Hostile messages for the source topics: events and commands that are odd in every way that a sender could think of.

Each function takes a `random.Random` and returns the bytes of one message; the same seed gives the same messages.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

from guardian.core.events import Assignment, EventOutcome, Kind, MigrationType
from guardian.wire.commands import COMMANDS
from guardian.wire.events import FIELDS

NOW_S: Final = 1_763_700_000.0
FLAGS: Final = ("f", "new-pricing", "x" * 128, *(f"flag-{number}" for number in range(40)))
_HALF: Final = "half \ud83d"
_LITERALS: Final = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 30, "-" + "9" * 5_000, "1e-400", "-0.0", "-0", "17.0",
    "01", "0x10", "nul", '"\\ud83d"', '"\\ud83d\\ude00"', '"\\u0000"', '"a\nb"', '"', "{", "[", '{"a":', "", ",",
    "{}" * 3, "[" * 3_000, "[" * 2_000 + "]" * 2_000, '{"a":' * 2_000 + "1" + "}" * 2_000,
)  # fmt: skip
"""Written where a value stands, as they are; most are no JSON."""


_SCALARS: Final = (
    None, True, False, 0, -1, 17, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64, 10**25, 0.5, -0.5, 1e15, 1e16,
    1.7e308, -1.7e308, "", "17", "on", "ok", _HALF,
)  # fmt: skip
_NAMES: Final = (*sorted(FIELDS), "a", "memory_bytes", "", _HALF)


def _text(rng: Random) -> str:
    alphabet = rng.choice(["ab", "ж", "😀", "a\x00\n\u2028", '"\\{}[],:'])
    return "".join(rng.choices(alphabet, k=rng.choice([0, 1, 8, 32, 33, 127, 128, 129, 300])))


def _scalar(rng: Random) -> Any:
    return rng.choice(_SCALARS) if rng.random() < 0.9 else _text(rng)


def _anything(rng: Random, depth: int = 0) -> Any:
    kind = rng.randrange(10)
    if kind == 0 and depth < 4:
        return [_anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 1 and depth < 4:
        return {_key(rng): _anything(rng, depth + 1) for _ in range(rng.randrange(4))}
    return _scalar(rng)


def _key(rng: Random) -> str:
    return rng.choice(_NAMES) if rng.random() < 0.9 else _text(rng)


def _flags(rng: Random, *, versions: bool) -> Any:
    if rng.random() < 0.1:
        return _anything(rng)
    names = rng.sample(FLAGS, rng.choice([1, 2, 40])) + [_key(rng) for _ in range(rng.choice([0, 0, 1, 60, 1_100]))]
    value = (
        (lambda: 7 if rng.random() < 0.7 else _scalar(rng))
        if versions
        else (lambda: "on" if rng.random() < 0.7 else _variant(rng))
    )
    return {name: value() for name in names}


def _variant(rng: Random) -> Any:
    return rng.choice(["on", "on", "off", "😀" * 32, "v" * 129, _scalar(rng), _text(rng)])


def _metrics(rng: Random) -> Any:
    if rng.random() < 0.1:
        return _anything(rng)
    names = [rng.choice(["m", "😀" * 31, _text(rng)]) for _ in range(rng.choice([1, 2, 32, 40]))]
    return {f"{name}{number}": rng.choice([1, _scalar(rng)]) for number, name in enumerate(names)}


def _base(rng: Random) -> dict[str, Any]:
    """What most events have; the rest is odd enough."""
    return {
        "ts": NOW_S + rng.choice([0, 0.5, rng.randrange(40), -3_600 * rng.random(), rng.uniform(-1e9, 1e3)]),
        "service": rng.choice(["s", "😀" * 32, f"s-{rng.randrange(300)}", _text(rng)]),
        "instance": rng.choice(["i", "😀" * 32, f"i-{rng.randrange(99)}"]),
        "flag_version": rng.choice([None, 7, _scalar(rng)]),
        "assignment": rng.choice([*Assignment, None, _scalar(rng)]),
        "error_type": rng.choice([None, "Timeout", "😀" * 40, f"E{rng.randrange(99)}", _anything(rng)]),
    }


def _telemetry(rng: Random) -> dict[str, Any]:
    event = _base(rng)
    kind = rng.choice([None, *Kind, *Kind, "rumour"])
    event["kind"] = kind
    if kind in (None, "request", "rumour"):
        event["outcome"] = rng.choice([*EventOutcome, "ok", _scalar(rng)])
        event["latency_ms"] = rng.choice([None, 12.5, rng.lognormvariate(3, 2), _scalar(rng)])
    if kind != "heartbeat" or rng.random() < 0.1:
        event["flag"] = rng.choice([*FLAGS, _scalar(rng)])
        event["variant"] = _variant(rng)
    if kind == "heartbeat" or rng.random() < 0.3:
        event["flags"] = _flags(rng, versions=kind == "heartbeat")
    if kind in ("gauge", "heartbeat") or rng.random() < 0.3:
        event["metrics"] = _metrics(rng)
    return event


def _migration(rng: Random) -> dict[str, Any]:
    event = _base(rng)
    event["event_type"] = rng.choice([*MigrationType, *MigrationType, _scalar(rng)])
    event["component"] = rng.choice(["engine", "c", _scalar(rng)])
    for name in ("duration", "control_ms", "candidate_ms", "deviation"):
        event[name] = rng.choice([None, 0.25, _scalar(rng)])
    for name in ("match", "cancelled", "whole"):
        event[name] = rng.choice([True, False, None, _scalar(rng)])
    event["flag"] = rng.choice([None, *FLAGS[:3], _scalar(rng)])
    event["variant"] = rng.choice([None, None, _variant(rng)])
    event["metadata"] = rng.choice([None, {"feature_flag_enabled": rng.choice([True, False, "no"])}, _anything(rng)])
    return event


def _spoilt(rng: Random, event: dict[str, Any]) -> bytes:
    """The event as bytes, in most cases with something about it that nobody should send."""
    for _ in range(rng.choice([0, 0, 1, 2])):
        event[_key(rng)] = _anything(rng)
    if rng.random() < 0.01:
        event["attributes"] = {"pad": "x" * rng.choice([60_000, 70_000, 1_100_000])}
    literals = {}
    for number in range(rng.choice([0, 0, 0, 1, 2])):
        mark = f"@literal-{number}@"
        event[_key(rng)] = mark
        literals[mark] = rng.choice(_LITERALS)
    text = json.dumps(event, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, None, 1]))
    for mark, literal in literals.items():
        text = text.replace(f'"{mark}"', literal)
    if rng.random() < 0.05:  # the same name twice, the last one odd
        text = f"{text[:-1]}, {json.dumps(_key(rng))}: {json.dumps(_anything(rng))}}}"
    return _torn(rng, text.encode(errors=rng.choice(["replace", "surrogatepass"])))


def _torn(rng: Random, value: bytes) -> bytes:
    kind = rng.randrange(40)
    if kind == 0:
        return value[: rng.randrange(len(value) + 1)]
    if kind == 1:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.randbytes(rng.randrange(1, 5)) + value[at:]
    if kind == 2:
        return rng.randbytes(rng.randrange(200))
    if kind == 3:
        return rng.choice([b"", b"null", b"[]", b"[" * 50_000, value + value, b"\n" + value, b"[" + value + b"]"])
    return value


def hostile_event(rng: Random) -> bytes:
    """Return a message for guardian.telemetry."""
    return _spoilt(rng, _telemetry(rng))


def hostile_migration(rng: Random) -> bytes:
    """Return a message for guardian.migrations."""
    return _spoilt(rng, _migration(rng))


def _spec(rng: Random) -> Any:
    return rng.choice(
        [
            {},
            {"flag": "f", "steps": [{"name": "a", "weight": "5%", "bake": "1h"}]},
            {"a": [0.1] * rng.choice([10, 9_000, 11_000, 60_000])},
            {"a": [[[[[[]]]]]] * 100},
            {"pad": "x" * rng.choice([1_000, 250_000, 300_000])},
            {"pad": ["ж" * 40] * 2_000},
            _anything(rng),
        ]
    )


def hostile_command(rng: Random) -> bytes:
    """Return a message for guardian.commands."""
    word = rng.choice([*COMMANDS, "apply", "apply"]) if rng.random() < 0.9 else rng.choice(["explode", _scalar(rng)])
    command: dict[str, Any] = {"id": "1", "command": word, "flag": rng.choice(FLAGS[:3]), "actor": {"name": "ada"}}
    odd = {
        "id": rng.choice([_text(rng), _scalar(rng)]),
        "flag": rng.choice(["*", _scalar(rng)]),
        "actor": rng.choice([{"name": _text(rng), "via": _text(rng)}, _anything(rng)]),
        "reason": rng.choice(["because", _text(rng), "ж" * 3_000, _HALF]),
        "ts": rng.choice([NOW_S, _scalar(rng)]),
    }
    command |= {name: odd[name] for name in odd if rng.random() < 0.2}
    if word == "apply" or rng.random() < 0.1:
        command["spec"] = _spec(rng)
    if word == "metric" or rng.random() < 0.1:
        command |= {"name": rng.choice(["satisfaction", _text(rng)]), "value": rng.choice([4.2, _scalar(rng)])}
    if rng.random() < 0.5:
        return json.dumps(command).encode()
    return _spoilt(rng, command)
