"""The second road of the brake: flag documents are written straight to guardian.flags, with guardian itself away."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from guardian.cli.obeyed import Flags, read_flags
from guardian.cli.reading import reached, reaching
from guardian.core.epochs import raised_epoch
from guardian.core.inputs import Actor, Command
from guardian.core.outputs import FlagState
from guardian.core.words import ALL_FLAGS
from guardian.errors import DecodeError, GuardianError
from guardian.kafka.clients import producer, read_newest
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.sdk.document import FlagDocument
from guardian.wire.commands import encode_command
from guardian.wire.emergency import Kind, bare_state, emergency_message, emergency_state, state_of
from guardian.wire.outputs import Message, decode_status

_STATUSES_S: Final = 3.0
"""So long the statuses are waited for, which say what control is; without them the documents say so themselves."""
_COMMAND_S: Final = 5.0


@dataclass(frozen=True)
class Declared:
    """The variants of a flag as a person knows them, for a flag that has no document.

    Args:
        control: the variant that everybody is to get.
        values: every variant's value by name; control is one of them.
    """

    control: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What is to be done.

    Args:
        kind: kill or rollback.
        flag: the flag, or `*` for all.
        actor: who; claimed.
        reason: why.
        declared: the variants as given on the command line; None without.
    """

    kind: Kind
    flag: str
    actor: Actor
    reason: str
    declared: Declared | None = None


@dataclass
class Done:
    """What became of it.

    Args:
        states: what was written, by flag; every one is acked.
        command_id: of the command that was sent beside.
        problem: why it could not be sent; empty when Kafka has it.
    """

    states: dict[str, FlagState] = field(default_factory=dict)
    command_id: str = ""
    problem: str = ""


class NoVariants(GuardianError):
    """A flag of which nobody knows what control is, so that no document can be written."""

    def __init__(self, flag: str) -> None:
        super().__init__(
            f"no document of {flag!r} can be read from guardian.flags: applications serve the last one that they have, "
            "or the default in their own code",
            f"say what its variants are, and a document is written: guardian emergency kill {flag} --control off "
            '--variants \'{"on": true, "off": false}\'',
        )


async def plan(settings: Settings, given: Given) -> tuple[Flags, list[FlagState]]:
    """Read what is known, and return it with the state of every flag that is to be written, as it is now.

    Raises:
        TransportError: guardian.flags cannot be read.
        NoVariants: nothing is known of the one flag that was named.
    """
    one = "" if given.flag == ALL_FLAGS else given.flag
    flags, statuses = await asyncio.gather(read_flags(settings, one), _statuses(settings))
    names = [one] if one else sorted({*flags.obeyed, *statuses})
    known = []
    for name in names:
        obeyed = flags.obeyed.get(name)
        state = _known(name, obeyed.document if obeyed else None, statuses.get(name), given.declared)
        if state is None:
            raise NoVariants(name)
        known.append(state)
    return flags, known


async def carry_out(settings: Settings, given: Given, flags: Flags, known: list[FlagState]) -> Done:
    """Write the documents, wait for every ack, then send the same command into the log.

    Args:
        settings: where Kafka is.
        given: what is to be done.
        flags: what `plan` read.
        known: the flags, as `plan` found them.

    Raises:
        TransportError: Kafka did not take a document; others may be written.
    """
    now_ms = int(time.time() * 1_000)
    epoch = raised_epoch(flags.greatest_epoch, max(now_ms, flags.newest_ms))
    # Log time as far as it is known: never ahead of what decide will say under this epoch.
    version = flags.newest_ms or now_ms
    done = Done({state.flag: emergency_state(state, given.kind, epoch, version, now_ms) for state in known})
    async with reached(producer(settings, linger_ms=5), settings) as client:
        async with reaching(settings):
            # Step 1: what SDKs obey.
            await _write(client, settings, [emergency_message(state) for state in done.states.values()])
        # Step 2: what decide adopts. Without it the kill stands all the same: the watcher finds the document.
        done.command_id, done.problem = await _send_command(client, settings, given, epoch)
    return done


async def _write(client: AIOKafkaProducer, settings: Settings, messages: list[Message]) -> None:
    acks = []
    for message in messages:
        topic = settings.topic(message.topic)
        # By the topic's own number of partitions: the settings of this machine may be wrong.
        number = partition_of(message.key, len(await client.partitions_for(topic)))
        acks.append(await client.send(topic, message.value, key=message.key, partition=number, headers=message.headers))
    await asyncio.gather(*acks)


async def _send_command(client: AIOKafkaProducer, settings: Settings, given: Given, epoch: int) -> tuple[str, str]:
    """Send the command; return its id, and why it could not be sent."""
    command = Command(
        id=uuid.uuid4().hex,
        command=given.kind,
        flag=given.flag,
        actor=given.actor,
        reason=given.reason,
        ts=time.time(),
        epoch=epoch,
    )
    try:
        async with asyncio.timeout(_COMMAND_S):
            await _write(client, settings, [encode_command(command)])
    except (KafkaError, TimeoutError, OSError, DecodeError) as error:
        return command.id, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return command.id, ""


async def _statuses(settings: Settings) -> dict[str, FlagState]:
    """What decide last said of each flag; nothing when it cannot be read in time."""
    found: dict[str, FlagState] = {}
    with suppress(GuardianError, KafkaError, TimeoutError, OSError):
        async with asyncio.timeout(_STATUSES_S):
            for record in (await read_newest(settings, "rollouts")).values():
                with suppress(DecodeError):
                    state = decode_status(record.value).state
                    found[state.flag] = state
    return found


def _known(
    flag: str, document: FlagDocument | None, status: FlagState | None, declared: Declared | None
) -> FlagState | None:
    """The state of one flag; None when nobody says what control is."""
    if declared is not None:
        return bare_state(flag, declared.control, declared.values)
    if document is None or not document.control:
        return status
    if status is not None and _is_forged(document, status):
        return status
    return state_of(flag, orjson.loads(document.raw), document.control)


def _is_forged(document: FlagDocument, status: FlagState) -> bool:
    """Whether a document calls something else control than guardian itself does."""
    values = status.values.get(status.control), document.variants.get(document.control)
    return type(values[0]) is not type(values[1]) or values[0] != values[1]
