"""What a stranger writes to guardian's own topics is left out and counted: no stage dies of it, or starts for ever."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from guardian.core.inputs import INPUT_FORMAT
from guardian.decide.metrics import RESTARTS as DECIDE_RESTARTS
from guardian.decide.metrics import RUBBISH
from guardian.decide.watch import GONE, read_found
from guardian.errors import DecodeError
from guardian.ingest.metrics import RESTARTS as INGEST_RESTARTS
from guardian.kafka.settings import Settings
from guardian.wire.inputs import decode_payload
from tests.bad_input.house import event, inhabited, spec_of
from tests.brokers import Broker, settings_for
from tests.eventually import eventually

FORMAT = bytes([INPUT_FORMAT])
DEEP_SPEC = b"\x81\xa1a" * 100_000
COMMAND = {"id": "a", "command": "apply", "flag": "good", "actor": {"name": "x"}, "spec": 0}
BATCH = msgspec.msgpack.encode(["batch", ["t", "i", 0], 0, 1, [], [], [], [COMMAND], 0])
INPUTS: list[bytes | None] = [
    None,
    b"",
    FORMAT,
    b"\x00" * 100,
    b"\xff" * 100,
    b'{"batch": 1}',
    bytes([INPUT_FORMAT + 1]) + msgspec.msgpack.encode(["tick", "x"]),
    FORMAT + b"\xc1",
    FORMAT + b"\x91" * 100_000,
    FORMAT + msgspec.msgpack.encode(["tick", 7]),
    FORMAT + msgspec.msgpack.encode(["rumour", "x"]),
    FORMAT + b"\x92\xa4tick\xa2\xff\xfe",  # not UTF-8
    FORMAT + BATCH.replace(b"\xa4spec\x00", b"\xa4spec" + DEEP_SPEC),
    FORMAT + msgspec.msgpack.encode(["tick", "x"]) + b"more",
    FORMAT + b"\x92\xa4tick\xdb\xff\xff\xff\xff",  # says it has 4 GiB of text
]
DOCUMENTS: list[bytes | None] = [
    None,
    b"",
    b"nope",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"metadata": {"epoch": 0, "version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    b'{"metadata": {"epoch": "a", "version": []}}',
    b'{"metadata": {"epoch": 0, "version": 1' + b"0" * 400 + b"}}",
]


@pytest.mark.parametrize("value", INPUTS, ids=range(len(INPUTS)))
def test_an_input_that_guardian_did_not_write_is_a_decode_error_and_nothing_else(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        decode_payload(value)


@pytest.mark.parametrize("value", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_document_that_guardian_did_not_write_has_no_version(value: bytes | None) -> None:
    assert read_found(value) == GONE


def restarts() -> float:
    """How often any loop in this process has started anew."""
    loops = [DECIDE_RESTARTS, INGEST_RESTARTS.labels("telemetry"), INGEST_RESTARTS.labels("commands")]
    return sum(float(each._value.get()) for each in loops)


def test_rubbish_on_the_topics_of_guardian_stops_nobody_and_a_successor_neither(embedded: Broker) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            before, rubbish = restarts(), _rubbish(settings)
            for partition in range(settings.partitions):
                for value in INPUTS:
                    await house.client.send_and_wait(settings.topic("inputs"), value, key=b"k", partition=partition)
                for value in DOCUMENTS:
                    for key in (b"odd", b"_beat", b"\xff", b""):
                        for topic in ("flags", "rollouts"):
                            await house.client.send_and_wait(settings.topic(topic), value, key=key, partition=partition)
            await house.send("telemetry", [event("good", version) for _ in range(50)])
            await eventually(lambda: house.total("good") == 50)
            assert _rubbish(settings) - rubbish == settings.partitions * len(INPUTS)
            assert restarts() == before
        # A successor reads all of it again from the beginning: the topics, and the log since the last mark.
        async with inhabited(settings) as house:
            await house.send("telemetry", [event("good", version) for _ in range(50)])
            await eventually(lambda: house.total("good") == 100)
            await house.order("another", "apply", spec_of("another"))
            await eventually(lambda: house.weight("another") == 0)
            assert restarts() == before

    asyncio.run(check(settings_for(embedded, "poison")))


def _rubbish(settings: Settings) -> float:
    """Inputs that could not be read so far."""
    return sum(float(RUBBISH.labels(str(number))._value.get()) for number in range(settings.partitions))
