"""Hostile records on the topics that SDKs, serve, ingest, decide and the command line read."""

from __future__ import annotations

import io
import json
import random
from typing import Any, Final

from aiokafka import ConsumerRecord
from rich.console import Console

from guardian.cli.door import Said, Topic
from guardian.cli.sayings import line_markup, read
from guardian.cli.views import list_table, status_line, status_page
from guardian.core.inputs import Actor
from guardian.core.outputs import Evidence, Rollback
from guardian.core.words import Reason
from guardian.decide.watch import read_found
from guardian.errors import DecodeError
from guardian.ingest.known import Rollouts
from guardian.sdk.store import Store
from guardian.serve.board import Board
from guardian.serve.streams import Hub
from guardian.wire.dead_letters import read_letter
from guardian.wire.outputs import decode_status
from tests.fuzz.hostile import as_json, mutated, scalar
from tests.serve.samples import AT_MS, alert, decision, record, state, status

ROLLBACK: Final = Rollback(
    "a/1/7/2",
    "a",
    1,
    AT_MS,
    "a/1/0.1",
    0,
    AT_MS,
    "canary",
    "",
    500,
    0,
    "crashes",
    Reason.TRIGGER_FIRED,
    "crash_count 1 > 0",
    Actor("guardian"),
    Evidence("crash_count", 1.0, 0.0, ">", 1),
)
SAMPLES: Final[dict[str, list[Any]]] = {
    topic: [json.loads(record(output).value) for output in outputs]
    for topic, outputs in {
        "flags": [state(), state(weight_bp=0), state(killed=True), state(epoch=3)],
        "rollouts": [status(), status(lag_ms=-1)],
        "decisions": [decision()],
        "alerts": [alert()],
        "rollbacks": [ROLLBACK],
    }.items()
}
_TOPICS: Final = {
    "flags": Topic.FLAGS,
    "decisions": Topic.DECISIONS,
    "alerts": Topic.ALERTS,
    "rollbacks": Topic.ROLLBACKS,
}


class Readers:
    """Everything that reads guardian's own topics, fed with the same hostile records."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = self.unreadable = 0
        self._board = Board(Hub(), lambda _: None, lambda _: None)
        self._board.past_is_read()
        self._store = Store()
        self._rollouts = Rollouts()
        self._console = Console(file=io.StringIO(), width=100, color_system="truecolor", force_terminal=True)

    def run(self, count: int) -> None:
        """Feed so many records; whatever is raised beside DecodeError is a fault."""
        for _ in range(count):
            topic = self.rng.choice(list(SAMPLES))
            sample = self.rng.choice(SAMPLES[topic])
            value = as_json(self.rng, mutated(self.rng, sample, self.rng.choice((0.01, 0.05, 0.2))))
            key = self.rng.choice((b"a", b"a", b"", b"\xff\xfe", str(scalar(self.rng))[:300].encode(errors="replace")))
            self._feed(topic, key, None if self.rng.random() < 0.02 else value)
            self.count += 1

    def _feed(self, topic: str, key: bytes, value: bytes | None) -> None:
        kafka = ConsumerRecord(
            topic, 0, self.count, 1_763_700_000_000, 0, key, value, None, len(key), len(value or b""), ()
        )
        self._board.take(topic, kafka)
        if topic == "rollouts":
            self._rollouts.take(kafka)
            self._show(value)
        if topic == "flags":
            read_found(value)
            self._evaluate(key, value)
        if topic in _TOPICS:
            self._tail(_TOPICS[topic], key, value)
        headers = [(str(name), str(scalar(self.rng)).encode(errors="replace")) for name in ("guardian-source", "x")]
        read_letter("0/1", self.count, headers, value)

    def _evaluate(self, key: bytes, value: bytes | None) -> None:
        try:
            self._store.apply(key, value, AT_MS)
        except DecodeError:
            self.unreadable += 1

    def _show(self, value: bytes | None) -> None:
        try:
            found = decode_status(value or b"")
        except DecodeError:
            self.unreadable += 1
            return
        for shown in (list_table([found]), status_line(found), status_page(found)):
            self._console.print(shown)
        self._console.file.seek(0)
        self._console.file.truncate()

    def _tail(self, topic: Topic, key: bytes, value: bytes | None) -> None:
        try:
            line = read(topic, Said(key.decode(errors="replace"), value))
        except DecodeError:
            self.unreadable += 1
            return
        if line is not None and line.markup:
            self._console.print(line_markup(line))
