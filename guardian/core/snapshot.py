"""State to bytes and back: a snapshot is a pure function of the log, whoever wrote it."""

from __future__ import annotations

import zlib
from typing import Final, TypeVar

import msgspec
from msgspec import Struct, field

from guardian.core.clock import Clock
from guardian.core.fleet import Heard
from guardian.core.outputs import FlagFrozen
from guardian.core.state import RolloutState
from guardian.errors import InternalError

SNAPSHOT_FORMAT: Final = 1
MAX_SNAPSHOT_BYTES: Final = 262_144
"""What a rollout needs at most; decide reports one that needs more."""
MAX_RECORD_BYTES: Final = 1_000_000
"""What a record of the checkpoint takes; a rollout that needs more than this is frozen."""
_PREFIX: Final = bytes([SNAPSHOT_FORMAT])


class PartitionState(Struct):
    """Everything of an input partition that belongs to no rollout.

    Args:
        clock: its times.
        applied: `topic/topic id/partition` -> end of what has been applied of that source partition.
        topic_ids: `topic/partition` -> the topic id that was seen first; another one means a recreated topic.
        frozen: why promotions are frozen, by cause; empty when they are not.
        frozen_at: where the alert on each cause was raised, so that it can be ended.
        straddles: by cause: how the range is named that a person may release.
        ticked_ms, beat_ms: log time of the last tick and beat.
        rubbish_count, repeated_count: records that changed nothing.
        leap_alert_ms: log time of the last implausible timestamp, 0 for never.
        heard: when each instance was last heard of.
        fresh_ms: log time that has passed on fresh evidence, up to the last tick.
        lost_at, leapt_at: where the alerts on a gap in the log and on such timestamps were raised; None for none.
        full_ms: event time from which the windows are full again after the gap.
        left_out_count: inputs that could not be folded.
        left_out_at: where the alert on them was raised; None for none.
        unreadable_at: where the alert on records that cannot be read was raised, by `topic/partition`.
        unreadable_ms: log time of the last such record, by `topic/partition`.
        stopped_at: where the alert on a source partition that ingest does not read was raised, by `topic/partition`.
        blind_ms: log time since which the evidence has been stale, 0 while it is fresh.
        blind_at: where the alert on it was raised; None for none.
        sighted_ms: log time since which the evidence is fresh again while that alert is active; 0 while it is stale.
    """

    clock: Clock = field(default_factory=Clock)
    applied: dict[str, int] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)
    ticked_ms: int = 0
    beat_ms: int = 0
    rubbish_count: int = 0
    repeated_count: int = 0
    leap_alert_ms: int = 0
    heard: Heard = field(default_factory=dict)
    fresh_ms: int = 0
    frozen_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    lost_at: tuple[int, int] | None = None
    full_ms: int = 0
    leapt_at: tuple[int, int] | None = None
    straddles: dict[str, str] = field(default_factory=dict)
    left_out_count: int = 0
    left_out_at: tuple[int, int] | None = None
    unreadable_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    unreadable_ms: dict[str, int] = field(default_factory=dict)
    stopped_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    blind_ms: int = 0
    blind_at: tuple[int, int] | None = None
    sighted_ms: int = 0


class RolloutSnapshot(Struct, frozen=True):
    """One rollout's state at an instant.

    Args:
        flag: its flag.
        offset: the last input offset that it includes.
        data: what restore takes.
    """

    flag: str
    offset: int
    data: bytes


class Capture(Struct, frozen=True):
    """A partition's state at one instant.

    Args:
        next_offset: the first input offset that is not included.
        mark: the partition's state.
        rollouts: those that changed since the last capture.
        failed: rollouts that cannot be written down; if there are any, nothing else was captured.
    """

    next_offset: int
    mark: bytes
    rollouts: list[RolloutSnapshot]
    failed: list[FlagFrozen] = field(default_factory=list)


State = TypeVar("State", RolloutState, PartitionState)


def pack(state: RolloutState | PartitionState) -> bytes:
    """Return a state as bytes: format, then deflated msgpack."""
    data = msgspec.msgpack.encode(state)
    packed = zlib.compress(data, 1)
    # Few rollouts come near the bound: only these are worth the time of the best compression.
    return _PREFIX + (packed if len(packed) < MAX_SNAPSHOT_BYTES * 7 // 8 else zlib.compress(data, 9))


def unpack(data: bytes, kind: type[State]) -> State:
    """Return the state in these bytes.

    Raises:
        InternalError: another format, or damaged: decide must not guess.
    """
    if data[:1] != _PREFIX:
        raise InternalError(
            f"checkpoint has format {data[0] if data else 'none'}, this version reads {SNAPSHOT_FORMAT}",
            "run the version that wrote it, or let the log be read from its start: guardian checkpoint reset decide",
        )
    try:
        return msgspec.msgpack.decode(zlib.decompress(data[1:]), type=kind)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise InternalError(
            f"checkpoint is damaged: {error}", "let the log be read from its start: guardian checkpoint reset decide"
        ) from error
