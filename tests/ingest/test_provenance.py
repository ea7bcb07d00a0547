"""What a command says of its own sender is a claim; only a fresh signature of serve makes it a proof (B10)."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import ConsumerRecord

from guardian.core.inputs import Actor, Batch, Command, Source
from guardian.ingest.commands import CommandFolder
from guardian.kafka.signing import REPLAY_MS, SigningKeys
from guardian.wire.commands import encode_command
from guardian.wire.inputs import decode_payload

KEYS = SigningKeys({"k1": b"1" * 32}, "k1")
NOW_MS = 1_763_700_000_000


def folded(
    actor: Actor, *, signed: bool = True, at_ms: int = NOW_MS, keys: SigningKeys = KEYS, **fields: Any
) -> Command:
    """What comes into the log of a command that was given at NOW_MS and arrives at `at_ms`."""
    given = Command("c1", fields.pop("command", "kill"), "pricing", actor, "why", NOW_MS / 1_000, **fields)
    value = encode_command(given).value
    headers = KEYS.sign(value) if signed else []
    record: ConsumerRecord = ConsumerRecord(
        "commands", 0, 7, at_ms, 1, b"pricing", value, None, 7, len(value), tuple(headers)
    )
    folder = CommandFolder(1, keys)
    folder.fold([record])
    batch = decode_payload(folder.close(Source("commands", "id", 0), 7, 8).parts[0])
    assert isinstance(batch, Batch)
    return batch.commands[0]


def test_B10_what_serve_has_proved_and_signed_is_proved() -> None:
    assert folded(Actor("ada", "http", True)).actor == Actor("ada", "http", True)


def test_B10_a_command_that_calls_itself_proved_is_claimed() -> None:
    claimed = Actor("ada", "http", False)
    assert folded(Actor("ada", "http", True), signed=False).actor == claimed
    assert folded(Actor("ada", "http", True), keys=SigningKeys()).actor == claimed
    assert folded(Actor("ada", "http", False)).actor == claimed, "a signature proves what was signed"


@pytest.mark.parametrize(("late_ms", "proved"), [(REPLAY_MS, True), (REPLAY_MS + 1, False), (-REPLAY_MS - 1, False)])
def test_B10_a_signed_record_that_is_sent_again_later_proves_nothing(late_ms: int, proved: bool) -> None:
    assert folded(Actor("ada", "http", True), at_ms=NOW_MS + late_ms).actor.authenticated is proved


@pytest.mark.parametrize("name", ["guardian", "Guardian", " guardian "])
def test_B10_guardian_s_own_name_is_nobody_else_s(name: str) -> None:
    assert folded(Actor(name, "guardian", True)).actor == Actor(f"claimed:{name}", "claimed", True)


def test_B10_an_epoch_beyond_a_day_of_the_record_s_own_time_is_left_out_and_the_kill_stays() -> None:
    most_s = NOW_MS // 1_000 + 86_400
    assert folded(Actor("ada"), epoch=most_s).epoch == most_s
    beyond = folded(Actor("ada"), epoch=most_s + 1)
    assert (beyond.command, beyond.epoch) == ("kill", 0)
