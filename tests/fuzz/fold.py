"""The fold under hostile records: nothing raises, nothing is left out for a fault, and the brake of others works."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from guardian.core.engine import Engine
from guardian.core.inputs import Actor, Batch, Command, Record, Source
from guardian.core.outputs import FlagFrozen, InputLeftOut, Output
from guardian.errors import DecodeError
from guardian.spec.load import parse_spec
from guardian.wire.inputs import decode_payload
from guardian.wire.outputs import encode_output
from tests.fuzz import inputs

BRAKE_EVERY: Final = 1_000
START_MS: Final = 1_763_700_000_000
BRAKE: Final = "brake"
OPERATOR: Final = Source("operator", "id", 0)

SPEC: Final[dict[str, Any]] = {
    "flag": "target",
    "variants": {"control": "off", "candidate": "on"},
    "steps": [
        {
            "name": "canary",
            "weight": "5%",
            "bake": "10s",
            "dual_run": "50%",
            "gates": ["error_rate < 1%", "crash_count <= 0"],
        },
        {"name": "half", "weight": "50%", "bake": "10s", "gates": ["p95_latency < 1.5x control"]},
        {"name": "full", "weight": "100%", "bake": "10s"},
    ],
    "triggers": [
        {"when": "crash_count > 100000 per step", "do": "pause"},
        {"when": "error_rate > 50% for 1 minute", "do": "pause"},
        {"when": "error_rate > 2x control", "do": "notify"},
        {"when": "p99_latency > 2x baseline for 1 minute", "do": "notify"},
        {"when": "memory usage growing 10%/hour", "do": "notify"},
        {"when": "memory > 1GB", "do": "notify"},
        {"when": "cpu > 80% for 1 minute", "do": "notify"},
        {"when": "dual_run assertions fail > 100/hour", "do": "notify"},
        {"when": "silent for 2 minutes", "do": "notify"},
        {"when": "request_count < 10 per 5m", "do": "notify"},
        {"when": "bug_count > 0", "do": "notify"},
        {"when": "metric eur > 10", "do": "notify"},
    ],
}


def order(offset: int, word: str, flag: str, spec: dict[str, Any] | None = None) -> Batch:
    """Return the input that holds an operator's command, which stands at this offset of its source."""
    command = Command(f"c{offset}", word, flag, Actor("ann", "cli", True), "because", spec=spec)
    return Batch(OPERATOR, offset, offset + 1, commands=[command])


class Fold:
    """One partition that reads hostile records, and one quiet flag in it whose kill must be obeyed all along."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engine = Engine(0, parse_spec, build="fuzz")
        self.t = START_MS
        self.count = 0
        self.unreadable = 0
        self._end = 0
        for flag in ("target", "other-target", BRAKE):
            self._order("apply", flag, {**SPEC, "flag": flag})
            self._order("start", flag)

    def run(self, count: int) -> Iterator[int]:
        """Fold hostile records; yields how many were folded each time that the brake was tried."""
        for _ in range(count):
            self.t += self.rng.choice((0, 10, 100, 250, 1_000, 5_000))
            self._feed(inputs.record(self.rng, SPEC, self.t))
            self.count += 1
            if self.count % BRAKE_EVERY == 0:
                self._try_brake()
                self._restart()
                yield self.count

    def _feed(self, value: bytes | None) -> list[Output]:
        try:
            payload = decode_payload(value)
        except DecodeError:
            payload, self.unreadable = None, self.unreadable + 1
        stamp = self.t if self.rng.random() > 0.01 else self.rng.choice((-1, 0, self.t * 2, 2**62))
        outputs = self.engine.fold(Record(self.engine.next_offset, stamp, payload))
        for output in outputs:
            assert not isinstance(output, FlagFrozen | InputLeftOut), (output, value)
            encode_output(output)
        return outputs

    def _order(self, word: str, flag: str, spec: dict[str, Any] | None = None) -> None:
        batch = order(self._end, word, flag, spec)
        self._end += 1
        self.engine.fold(Record(self.engine.next_offset, self.t, batch))

    def _try_brake(self) -> None:
        for word, killed in (("kill", True), ("unkill", False)):
            self._order(word, BRAKE)
            state = next(state for state in self.engine.flags() if state.flag == BRAKE)
            assert state.killed is killed, (word, self.count)

    def _restart(self) -> None:
        """A successor continues from the checkpoint, and every state fits into it."""
        captured = self.engine.capture()
        assert not captured.failed, captured.failed
        for flag in list(self.engine._rollouts):
            self.engine.mark_dirty(flag)
        whole = self.engine.capture()
        snapshots = {each.flag: (each.offset, each.data) for each in whole.rollouts}
        restored = Engine.restore(0, parse_spec, (whole.next_offset, whole.mark), snapshots, build="fuzz")
        assert restored.flags() == self.engine.flags()
        self.engine = restored
