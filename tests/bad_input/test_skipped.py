"""The last way: a person takes one input out of the log, and decide goes on behind it, at every start."""

from __future__ import annotations

import asyncio
import time

import pytest

from guardian.core.inputs import Batch, Bucket, Cell, Source
from guardian.decide.metrics import SKIPPED
from guardian.errors import Exit
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.wire.inputs import encode_payload
from tests.bad_input.house import guardian, inhabited
from tests.brokers import settings_for
from tests.eventually import eventually

# The embedded broker cannot say whether a group has members.
pytestmark = pytest.mark.kafka

FLAG = "good"
HOME = partition_of(FLAG, 4)
STRANGER = Source("elsewhere", "id", 0)


def crash(version: int) -> bytes:
    """An input on which decide would roll the flag back."""
    second = int(time.time())
    return encode_payload(
        Batch(STRANGER, 0, 1, [Cell(FLAG, version, "on", "split", buckets=[Bucket(second, n=1, crash=1)])])
    )


async def write_crash(settings: Settings) -> int:
    """Let guardian begin a rollout and end; then write the input. Returns its offset."""
    async with inhabited(settings) as house:
        version = await house.begin(FLAG)
    async with inhabited(settings, decide=False) as house:
        sent = await house.client.send_and_wait(settings.topic("inputs"), crash(version), partition=HOME)
        return int(sent.offset)


def test_B1_an_input_that_a_person_has_taken_out_changes_nothing_at_any_start(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "skipped")
    offset = asyncio.run(write_crash(settings))
    place = f"{HOME}/{offset}"

    shown = guardian(settings, "inputs", "show", place)
    assert (shown.exit_code, "batch" in shown.stdout, "'crash': 1" in shown.stdout) == (Exit.OK, True, True)
    assert guardian(settings, "inputs", "skip", place).exit_code == Exit.NO, "it is only shown"
    assert "no input" in guardian(settings, "inputs", "skipped").stdout
    done = guardian(settings, "inputs", "skip", place, "--yes", "--actor", "ada", "--reason", "decide ends on it")
    assert done.exit_code == Exit.OK, done.output
    assert f"{place} by ada" in guardian(settings, "inputs", "skipped").stdout
    assert "taken out" in guardian(settings, "inputs", "show", place).stdout

    async def goes_on() -> None:
        async with inhabited(settings) as house:
            await eventually(lambda: SKIPPED.labels(str(HOME))._value.get() > before)
            await house.order(FLAG, "pause")
            await eventually(lambda: (status := house.status(FLAG)) and status.state.phase == "paused")
            assert house.weight(FLAG) == 500

    for _ in range(2):
        before = SKIPPED.labels(str(HOME))._value.get()
        asyncio.run(goes_on())
        if guardian(settings, "checkpoint", "reset", "decide", "--yes").exit_code != Exit.OK:
            raise AssertionError("the checkpoint could not be reset")


def test_a_place_that_is_none_is_a_usage_error_and_one_beyond_the_log_names_what_is_there(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "skipped-none")
    asyncio.run(write_crash(settings))
    assert guardian(settings, "inputs", "show", "three").exit_code == Exit.USAGE
    beyond = guardian(settings, "inputs", "show", f"{HOME}/100000")
    assert (beyond.exit_code, "holds the offsets" in beyond.stderr) == (Exit.NO, True)
