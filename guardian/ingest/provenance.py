"""The provenance of a command: whether its actor is proved, and whether its epoch is plausible."""

from __future__ import annotations

from typing import Final

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from guardian.core.epochs import too_far_ahead
from guardian.core.inputs import Actor, Command
from guardian.core.state import GUARDIAN
from guardian.kafka.signing import REPLAY_MS, SigningKeys

CLAIMED: Final = "claimed"


def admitted(command: Command, record: ConsumerRecord, keys: SigningKeys) -> Command:
    """Return the command as it goes into the log.

    An actor is authenticated only where a signature proves it and its time is that of the record; what the command says
    of itself is a claim. An epoch beyond a day is left out: what the command wants is obeyed without it.

    Args:
        command: as its sender wrote it.
        record: that carries it.
        keys: what verifies.
    """
    is_timely = abs(command.ts * 1_000 - record.timestamp) <= REPLAY_MS
    is_proved = command.actor.authenticated and is_timely and keys.verify(record.value or b"", record.headers)
    epoch = 0 if too_far_ahead(command.epoch, 0, record.timestamp) else command.epoch
    return replace(command, actor=_actor(command.actor, is_proved=is_proved), epoch=epoch)


def _actor(actor: Actor, *, is_proved: bool) -> Actor:
    """The actor; guardian's own name and way are nobody else's."""
    name = f"{CLAIMED}:{actor.name}" if actor.name.strip().lower() == GUARDIAN.name else actor.name
    via = CLAIMED if actor.via.strip().lower() == GUARDIAN.via else actor.via
    return Actor(name, via, is_proved)
