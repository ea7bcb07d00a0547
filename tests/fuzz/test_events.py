"""Hostile messages through the folders of ingest: never an exception, every record fits, nothing vanishes uncounted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from guardian.core.inputs import Batch, Source
from guardian.errors import DecodeError
from guardian.ingest.coalesce import Bounds, Coalescer
from guardian.ingest.commands import CommandFolder
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RECORD_BYTES, Closed, Folder
from guardian.kafka.signing import SigningKeys
from guardian.wire.commands import decode_command
from guardian.wire.event_hints import Hints
from guardian.wire.events import read_migration, read_telemetry
from guardian.wire.inputs import decode_payload
from tests.fuzz.events import FLAGS, NOW_S, hostile_command, hostile_event, hostile_migration
from tests.ingest.test_coalesce import record

MESSAGES = 1_000
ARRIVAL_MS = int(NOW_S * 1_000) + 60_000
SOURCE = Source("guardian.telemetry", "id", 0)


def rollouts() -> Rollouts:
    known = Rollouts()
    for flag in FLAGS[:20]:
        known.put(flag, Arms(), ("engine",))
    return known


def closed_ranges(values: list[bytes], new_folder: Callable[[], Folder], rng: Random) -> Iterator[Closed]:
    """Fold messages in fetches of any size, as a lane does."""
    todo = [record(offset, value, ARRIVAL_MS) for offset, value in enumerate(values)]
    folder, start = new_folder(), 0
    while todo:
        fetch = todo[: rng.choice([1, 7, 100, 2_000])]
        taken = folder.fold(fetch)
        assert 1 <= taken <= len(fetch)
        todo = todo[taken:]
        end = len(values) - len(todo)
        if folder.full or not todo or rng.random() < 0.1:
            yield folder.close(SOURCE, start, end)
            folder, start = new_folder(), end


def batches(closed: Closed) -> list[Batch]:
    found = []
    for value in closed.parts.values():
        assert len(value) <= RECORD_BYTES
        payload = decode_payload(value)
        assert isinstance(payload, Batch)
        found.append(payload)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_hostile_events_never_raise_fit_into_records_and_are_all_counted(seed: int) -> None:
    rng = Random(seed)
    values = [hostile_event(rng) for _ in range(MESSAGES)]
    expected, messages, dead, counted, unknown = 0, 0, 0, 0, 0
    for value in values:
        try:
            event, _ = read_telemetry(value, ARRIVAL_MS, 60_000)
        except DecodeError:
            dead += 1
            continue
        if event.kind not in ("gauge", "heartbeat"):
            expected += len({event.flag, *(event.flags or {})} - {None})
    for closed in closed_ranges(values, lambda: Coalescer(rollouts(), Bounds(2, 60_000), migrations=False), rng):
        messages += closed.tally.messages
        dead -= len(closed.dead)
        unknown += closed.tally.unknown_flags
        assert "flags" not in closed.tally.left_out
        for batch in batches(closed):
            for bucket in (bucket for cell in batch.cells for bucket in cell.buckets):
                counted += bucket.n + bucket.exposures + sum(bucket.feedback.values())
                assert bucket.n == bucket.ok + bucket.error + bucket.timeout + bucket.crash + bucket.hang
    assert (messages, dead) == (MESSAGES, 0)
    assert counted <= expected <= counted + unknown


@pytest.mark.parametrize("seed", range(2))
def test_hostile_migrations_never_raise_and_fit_into_records(seed: int) -> None:
    rng = Random(seed)
    values = [hostile_migration(rng) for _ in range(MESSAGES)]
    messages = taken = 0
    for closed in closed_ranges(values, lambda: Coalescer(rollouts(), Bounds(2, 60_000), migrations=True), rng):
        messages += closed.tally.messages
        taken += closed.tally.messages - len(closed.dead)
        batches(closed)
    assert messages == MESSAGES
    assert taken > MESSAGES / 10


def test_hostile_commands_never_raise_and_fit_into_records() -> None:
    rng = Random(7)
    values = [hostile_command(rng) for _ in range(MESSAGES // 3)]
    messages = commands = dead = 0
    for closed in closed_ranges(values, lambda: CommandFolder(1, SigningKeys()), rng):
        messages += closed.tally.messages
        dead += len(closed.dead)
        commands += sum(len(batch.commands) for batch in batches(closed))
    assert (messages, commands + dead) == (len(values), len(values))
    assert commands > len(values) / 10


@pytest.mark.parametrize("make", [hostile_event, hostile_migration, hostile_command])
def test_no_reader_raises_anything_but_a_decode_error_that_can_be_said(
    make: Callable[[Random], bytes],
) -> None:
    rng, hints = Random(11), Hints()
    for _ in range(MESSAGES // 3):
        value = make(rng)
        hints.look(value, NOW_S)
        for read in (read_telemetry, read_migration, decode_command):
            try:
                read(value)
            except DecodeError as error:
                (error.message + error.fix).encode()
    said = "\n".join(hints.sentences())
    assert said.encode().decode() == said, "no half of a surrogate pair is in it"
