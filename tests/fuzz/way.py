"""The whole way in one process: hostile events and commands are folded by ingest, its records by decide's engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from guardian.core.engine import Engine
from guardian.core.inputs import Record, Source, Tick, Watermarks
from guardian.core.inputs import SourceMark as Mark
from guardian.core.outputs import FlagFrozen, InputLeftOut
from guardian.ingest.coalesce import Bounds, Coalescer
from guardian.ingest.commands import CommandFolder
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RECORD_BYTES, Folder
from guardian.kafka.signing import SigningKeys
from guardian.spec.load import parse_spec
from guardian.wire.dead_letters import dead_letter_record, read_letter
from guardian.wire.inputs import decode_payload, encode_payload
from guardian.wire.outputs import encode_output
from tests.fuzz.events import FLAGS, NOW_S, hostile_command, hostile_event, hostile_migration
from tests.fuzz.fold import SPEC, order
from tests.ingest.test_coalesce import record

FETCH: Final = 200
DECLARED: Final = FLAGS[:4]


class Way:
    """Three source partitions, one input partition."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.engine = Engine(0, parse_spec, build="fuzz")
        self.folded = 0
        self._t = int(NOW_S * 1_000)
        self._offsets = {"telemetry": 0, "migrations": 0, "commands": 0}
        self._rollouts = Rollouts()
        for flag in DECLARED:
            self._rollouts.put(flag, Arms(), ("engine",))
        bounds = Bounds(1, 60_000)
        self._folders: dict[str, tuple[Callable[[random.Random], bytes], Callable[[], Folder]]] = {
            "telemetry": (hostile_event, lambda: Coalescer(self._rollouts, bounds, migrations=False)),
            "migrations": (hostile_migration, lambda: Coalescer(self._rollouts, bounds, migrations=True)),
            "commands": (hostile_command, lambda: CommandFolder(1, SigningKeys())),
        }
        self._declare()

    def run(self, count: int) -> None:
        """Send so many messages the whole way."""
        for _ in range(0, count, FETCH):
            source = self.rng.choice(("telemetry", "telemetry", "telemetry", "migrations", "commands"))
            make, new_folder = self._folders[source]
            self._range(source, [make(self.rng) for _ in range(FETCH)], new_folder)
            self._t += self.rng.choice((100, 1_000, 20_000))
            mark = Mark(Source("telemetry", "id", 0), self._t - 2_000, 0, True)
            self._fold(encode_payload(Watermarks("fuzz", [mark], {"telemetry": 1}, 2_000)))
            self._fold(encode_payload(Tick("fuzz")))
        assert not self.engine.capture().failed

    def _range(self, source: str, values: list[bytes], new_folder: Callable[[], Folder]) -> None:
        start = self._offsets[source]
        todo = [record(start + index, value, self._t) for index, value in enumerate(values)]
        while todo:
            folder = new_folder()
            taken = folder.fold(todo)
            end = start + taken
            closed = folder.close(Source(source, "id", 0), start, end)
            for value in closed.parts.values():
                assert len(value) <= RECORD_BYTES
                self._fold(value)
            for letter in closed.dead:
                key, value, headers = dead_letter_record(
                    letter.key, letter.value, reason=letter.reason, detail=letter.detail, source=letter.source
                )
                read_letter("0/0", self._t, headers, value)
                assert sum(len(text) for _, text in headers) + len(key or b"") + len(value or b"") < RECORD_BYTES
            todo, start = todo[taken:], end
        self._offsets[source] = start

    def _fold(self, value: bytes) -> None:
        outputs = self.engine.fold(Record(self.engine.next_offset, self._t, decode_payload(value)))
        self.folded += 1
        for output in outputs:
            assert not isinstance(output, FlagFrozen | InputLeftOut), output
            encode_output(output)

    def _declare(self) -> None:
        for flag in DECLARED:
            for word, spec in (("apply", {**SPEC, "flag": flag}), ("start", None)):
                self._fold(encode_payload(order(self.engine.next_offset, word, flag, spec)))
