"""Case B3: a record of commands is bounded by what it takes in the log, whatever the commands hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardian.core.inputs import Source
from guardian.ingest.commands import CommandFolder
from guardian.ingest.ranges import RANGE_BYTES, RECORD_BYTES
from guardian.ingest.sizes import ENVELOPE
from guardian.kafka.signing import SigningKeys
from guardian.wire.commands import MAX_COMMAND_BYTES, MAX_ENCODED_BYTES
from guardian.wire.inputs import decode_payload
from tests.ingest.test_coalesce import record

SOURCE = Source("guardian.commands", "id", 0)


def apply(spec: dict[str, Any]) -> bytes:
    command = {"id": "1", "command": "apply", "flag": "f", "actor": {"name": "ada"}, "spec": spec}
    return json.dumps(command, separators=(",", ":"), ensure_ascii=False).encode()


def test_B3_two_applies_that_grow_in_the_log_are_dead_letters_and_a_kill_beside_them_is_obeyed() -> None:
    large = apply({"a": [0.1] * 65_475})
    assert 261_900 < len(large) < MAX_COMMAND_BYTES
    kill = b'{"id": "2", "command": "kill", "flag": "f", "actor": {"name": "ada"}}'
    folder = CommandFolder(1, SigningKeys())
    assert folder.fold([record(offset, value) for offset, value in enumerate([large, kill, large])]) == 3
    closed = folder.close(SOURCE, 0, 3)
    assert [letter.reason for letter in closed.dead] == ["too_large", "too_large"]
    assert "in the log" in closed.dead[0].detail
    assert [command.command for command in decode_payload(closed.parts[0]).commands] == ["kill"]


@pytest.mark.parametrize(
    "spec", [{"a": [0.1] * 9_990}, {"pad": "ж" * 130_000}, {"a": [0.1] * 9_000, "pad": "x" * 220_000}]
)
def test_B3_a_range_of_the_largest_commands_fits_into_its_record(spec: dict[str, Any]) -> None:
    todo = [record(offset, apply(spec)) for offset in range(40)]
    commands = 0
    while todo:
        folder = CommandFolder(1, SigningKeys())
        taken = folder.fold(todo)
        todo = todo[taken:]
        assert folder.full or not todo
        closed = folder.close(SOURCE, 0, taken)
        assert len(closed.parts[0]) <= RECORD_BYTES
        commands += len(decode_payload(closed.parts[0]).commands)
    assert commands == 40


def test_B3_one_more_command_fits_where_a_range_is_not_full() -> None:
    assert RANGE_BYTES + MAX_ENCODED_BYTES + ENVELOPE < RECORD_BYTES
