"""A checkpoint that this version cannot read: decide says so once, with the way out, and guesses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from guardian.core.snapshot import SNAPSHOT_FORMAT
from guardian.decide.checkpoint import Key, write_key
from guardian.decide.loop import run_decide
from guardian.errors import Exit, InternalError
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from tests.bad_input.house import event, guardian, inhabited
from tests.bad_input.roles import role
from tests.brokers import settings_for
from tests.eventually import eventually

pytestmark = pytest.mark.kafka

LATER = 1_000_000
HOME = partition_of("good", 4)
STRANGE: dict[str, tuple[bytes, bytes, str]] = {
    "snapshot": (write_key(HOME, Key("good", LATER)), bytes([SNAPSHOT_FORMAT + 1]) + b"new", "format 2.*reads 1"),
    "damaged": (write_key(HOME, Key("good", LATER)), bytes([SNAPSHOT_FORMAT]) + b"torn", "damaged"),
    "mark": (write_key(HOME, Key("", LATER)), msgspec.msgpack.encode([2, 0, 0, b""]), "format 2.*reads 1"),
    "key": (b"hello", b"world", "a key that guardian does not write"),
}


async def leave_behind(settings: Settings, key: bytes, value: bytes) -> None:
    """Let guardian count, end, and another version write its checkpoint after that."""
    async with inhabited(settings) as house:
        version = await house.begin("good")
        await house.send("telemetry", [event("good", version) for _ in range(50)])
        await eventually(lambda: house.total("good") == 50)
        await house.client.send_and_wait(checkpoint_topic(settings), value, key=key, partition=HOME)


@pytest.mark.parametrize("strange", list(STRANGE))
def test_decide_ends_with_a_clear_error_and_the_way_out(kafka: ApacheKafka, tmp_path: Path, strange: str) -> None:
    settings = settings_for(kafka, f"version-{strange}")
    key, value, says = STRANGE[strange]

    async def check() -> None:
        await leave_behind(settings, key, value)
        with pytest.raises(InternalError, match=says) as raised:
            await asyncio.wait_for(run_decide(settings, stop=asyncio.Event()), 60)
        assert "guardian checkpoint reset decide" in raised.value.fix
        assert raised.value.exit_code == Exit.INTERNAL

    asyncio.run(check())


def test_a_role_ends_with_70_and_a_reset_lets_the_log_be_read_from_its_start(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    settings = settings_for(kafka, "version-role")

    async def read_anew() -> None:
        async with inhabited(settings) as house:
            await eventually(lambda: house.total("good") == 50)
            version = house.documents("good")[-1]["metadata"]["version"]
            await house.send("telemetry", [event("good", version) for _ in range(5)])
            await eventually(lambda: house.total("good") == 55)

    asyncio.run(leave_behind(settings, *STRANGE["snapshot"][:2]))
    with role("decide", settings, tmp_path, exit_code=Exit.INTERNAL) as decide:
        assert decide.process.wait(60) == Exit.INTERNAL
    assert "guardian checkpoint reset decide" in decide.log.read_text()
    assert guardian(settings, "checkpoint", "reset", "decide").exit_code == Exit.NO, "it is only shown"
    assert guardian(settings, "checkpoint", "reset", "decide", "--yes").exit_code == Exit.OK
    again = guardian(settings, "checkpoint", "reset", "decide", "--yes")
    assert again.exit_code == Exit.OK
    assert "nothing to reset" in again.stdout
    asyncio.run(read_anew())
