"""The checkpoint: what decide writes down so that a successor resumes exactly where the state says it stands.

Pure bookkeeping; it says what to write and is told what was acked. The rules, each necessary (tests/decide leaves out
one after the other and finds the loss):
1. Nothing is sent before every output up to the captured instant is acked: a successor will not repeat them.
2. Rollouts first; the mark only when all of them are acked. One failed: it is dirty again, and there is no mark.
3. A snapshot's key carries the offset that it includes, a mark's key its next offset. Nothing fences a zombie's late
   writes and compaction keeps the last of a key; so recovery takes the greatest of each, whoever wrote it when.
4. Older keys are deleted only after a newer one and the mark that follows it are acked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

import msgspec

from guardian.core.outputs import FlagFrozen
from guardian.core.snapshot import MAX_RECORD_BYTES
from guardian.errors import InternalError, TransportError

CHECKPOINT_INTERVAL_MS: Final = 5_000
CHECKPOINT_INPUTS: Final = 5_000
MAX_WRITE_BYTES: Final = MAX_RECORD_BYTES
"""What the changelog takes."""
_FORMAT: Final = 1


class Snapshot(Protocol):
    """One rollout's state: `offset` is the last input that it includes."""

    @property
    def flag(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class Captured(Protocol):
    """One instant of an engine: partition-level state, and the rollouts changed since the last capture."""

    @property
    def next_offset(self) -> int: ...
    @property
    def mark(self) -> bytes: ...
    @property
    def rollouts(self) -> Sequence[Snapshot]: ...
    @property
    def failed(self) -> Sequence[FlagFrozen]: ...


class Write(NamedTuple):
    """One record for the changelog; value None deletes the key."""

    key: bytes
    value: bytes | None


class Key(NamedTuple):
    """What a key says: flag is empty for a mark, SKIP for an input that a person has taken out."""

    flag: str
    offset: int


SKIP: Final = "/skip"
"""In the place of a flag, which never has a slash."""


class Saved(NamedTuple):
    """What recovery starts from.

    Args:
        mark: next offset and partition-level state, None before the first.
        snapshots: by flag: the offset included, and the state.
        keys: every key found, the superseded ones too.
        inputs_id: of the topic that the mark's offset belongs to; empty when nobody wrote it down.
        skipped: inputs that a person has taken out (`guardian inputs skip`): they change nothing.
    """

    mark: tuple[int, bytes] | None
    snapshots: dict[str, tuple[int, bytes]]
    keys: frozenset[Key]
    inputs_id: str = ""
    skipped: frozenset[int] = frozenset()


class _Sealed(msgspec.Struct, array_like=True):
    """A mark's value: `flags` and `offsets` are the count and the sum of the newest snapshots it stands on.

    The offsets are those of the topic `inputs_id`: deleted and made anew, it holds other records at the same offsets.
    """

    format: int
    flags: int
    offsets: int
    mark: bytes
    inputs_id: str = ""


def write_key(partition: int, key: Key) -> bytes:
    """Return a key as it stands in the changelog; offsets are padded so that a listing sorts."""
    if key.flag == SKIP:
        return f"{partition}{SKIP}/{key.offset:020d}".encode()
    kind = "rollout" if key.flag else "mark"
    tail = f"/{key.flag}" if key.flag else ""
    return f"{partition}/{kind}/{key.offset:020d}{tail}".encode()


def read_key(data: bytes) -> tuple[int, Key]:
    """Return partition and key.

    Raises:
        InternalError: not a key that guardian wrote.
    """
    parts = data.decode(errors="replace").split("/", 3)
    try:
        partition, offset = int(parts[0]), int(parts[2])
        flag = {"mark": "", "rollout": parts[-1], "skip": SKIP}[parts[1]]
    except (ValueError, IndexError, KeyError) as error:
        raise InternalError(
            f"the checkpoint holds a key that guardian does not write: {data[:80]!r}",
            "nobody else may write to the checkpoint's changelog topic; guardian checkpoint reset decide clears it",
        ) from error
    return partition, Key(flag, offset)


def marks(keys: Iterable[bytes]) -> dict[int, int]:
    """Return the greatest next offset that a mark stands for, by partition.

    Args:
        keys: of the changelog; those that guardian does not write are left for `recover` to refuse.
    """
    found: dict[int, int] = {}
    for name in keys:
        partition, _, rest = name.partition(b"/mark/")
        if rest.isdigit() and partition.isdigit():
            found[int(partition)] = max(found.get(int(partition), 0), int(rest))
    return found


def recover(partition: int, records: Mapping[bytes, bytes]) -> Saved:
    """Take the greatest of each: the mark, and every rollout's snapshot.

    Args:
        records: the partition's part of the changelog, newest value per key.

    Raises:
        TransportError: snapshots are missing that the mark stands on: the changelog was not read whole.
        InternalError: not what guardian writes.
    """
    snapshots: dict[str, tuple[int, bytes]] = {}
    keys: set[Key] = set()
    skipped: set[int] = set()
    for name, value in records.items():
        owner, key = read_key(name)
        if owner != partition:
            continue
        if key.flag == SKIP:
            skipped.add(key.offset)
            continue
        keys.add(key)
        if key.flag not in snapshots or snapshots[key.flag][0] < key.offset:
            snapshots[key.flag] = (key.offset, value)
    newest = snapshots.pop("", None)
    if newest is None:
        return Saved(None, snapshots, frozenset(keys), skipped=frozenset(skipped))
    sealed = _open(newest[1])
    found = sum(offset for offset, _ in snapshots.values())
    if len(snapshots) < sealed.flags or found < sealed.offsets:
        raise TransportError(
            f"the checkpoint of partition {partition} was not read whole: "
            f"{len(snapshots)} of {sealed.flags} rollouts, offsets {found} of {sealed.offsets}",
            "it is read again; should it stay so, the changelog topic lost records",
            retriable=True,
        )
    return Saved((newest[0], sealed.mark), snapshots, frozenset(keys), sealed.inputs_id, frozenset(skipped))


def _open(value: bytes) -> _Sealed:
    try:
        sealed = msgspec.msgpack.decode(value, type=_Sealed)
    except msgspec.MsgspecError as error:
        raise InternalError(
            f"the checkpoint's mark cannot be read: {error}",
            "let the log be read from its start: guardian checkpoint reset decide",
        ) from error
    if sealed.format != _FORMAT:
        raise InternalError(
            f"the checkpoint's mark has format {sealed.format}, this version reads {_FORMAT}",
            "run the version that wrote it, or let the log be read from its start: guardian checkpoint reset decide",
        )
    return sealed


class Stage(Enum):
    """How far a round has come."""

    IDLE = auto()
    OUTPUTS = auto()
    ROLLOUTS = auto()
    MARK = auto()
    DELETES = auto()


class Checkpoint:
    """One partition's checkpoint: at most one round at a time, advanced by acks.

    Args:
        partition: of guardian.inputs, and of the changelog.
        saved: what recovery found.
        inputs_id: of the topic of the inputs as it is now.
    """

    def __init__(self, partition: int, saved: Saved, inputs_id: str = "") -> None:
        self.partition = partition
        self._inputs_id = inputs_id
        self.stage = Stage.IDLE
        self.complete = False
        """Whether the last round that ended wrote its mark."""
        self._keys = set(saved.keys)
        self._newest = {flag: offset for flag, (offset, _) in saved.snapshots.items()}
        self._captured: Captured | None = None
        self._outstanding: dict[bytes, Key] = {}
        self._failed = False
        self._last_deletes: list[Write] = []

    def begin(self, captured: Captured) -> None:
        """Start a round; nothing is written before `outputs_acked`.

        Raises:
            InternalError: a round is under way.
        """
        if self.stage is not Stage.IDLE:
            raise InternalError(f"a checkpoint of partition {self.partition} is under way: {self.stage.name}")
        self.stage = Stage.OUTPUTS
        self._captured = captured
        self._failed = False
        self.complete = False

    def outputs_acked(self) -> list[Write]:
        """Go on: every output up to the captured instant is acked (rule 1). Returns what to write now."""
        captured = self._of(Stage.OUTPUTS)
        self.stage = Stage.ROLLOUTS
        writes = [self._put(Key(each.flag, each.offset), each.data) for each in captured.rollouts]
        return writes or self._send_mark()

    def acked(self, key: bytes) -> list[Write]:
        """Go on: one write was acked. Returns what to write next, often nothing yet."""
        done = self._outstanding.pop(key)
        if self.stage is Stage.DELETES:
            self._keys.discard(done)
        else:
            self._keys.add(done)
            if self.stage is Stage.ROLLOUTS:
                self._newest[done.flag] = done.offset
        return [] if self._outstanding else self._next_stage()

    def failed(self, key: bytes) -> str:
        """Note that a write was not acked (it may land all the same).

        Returns:
            the flag whose rollout is dirty again, empty for none.
        """
        lost = self._outstanding.pop(key)
        self._failed = True
        self._keys.add(lost)
        dirty = lost.flag if self.stage is Stage.ROLLOUTS else ""
        if not self._outstanding:
            self._next_stage()
        return dirty

    def _of(self, stage: Stage) -> Captured:
        if self.stage is not stage or self._captured is None:
            raise InternalError(f"a checkpoint step for {stage.name} came in {self.stage.name}")
        return self._captured

    def _put(self, key: Key, value: bytes | None) -> Write:
        name = write_key(self.partition, key)
        self._outstanding[name] = key
        return Write(name, value)

    def _next_stage(self) -> list[Write]:
        if self._failed:
            return self._end()
        if self.stage is Stage.ROLLOUTS:
            return self._send_mark()
        if self.stage is Stage.MARK:
            return self._send_deletes()
        if self._last_deletes:
            return self._send_last_deletes()
        return self._end()

    def _send_mark(self) -> list[Write]:
        captured = self._of(Stage.ROLLOUTS)
        self.stage = Stage.MARK
        sealed = _Sealed(_FORMAT, len(self._newest), sum(self._newest.values()), captured.mark, self._inputs_id)
        return [self._put(Key("", captured.next_offset), msgspec.msgpack.encode(sealed))]

    def _send_deletes(self) -> list[Write]:
        """Delete what the acked mark made superfluous (rule 4): older keys, and what lies beyond a truncated end."""
        captured = self._of(Stage.MARK)
        self.stage = Stage.DELETES
        self.complete = True
        now = captured.next_offset
        covered = {flag: offset for flag, offset in self._newest.items() if offset < now}
        old = [key for key in self._keys if key.flag in covered and key.offset != covered[key.flag]]
        marks = [key for key in self._keys if not key.flag and key.offset != now]
        # A mark beyond the end goes last: while it stands, a successor finds the truncation again.
        self._last_deletes = [Write(write_key(self.partition, key), None) for key in marks if key.offset > now]
        first = old + [key for key in marks if key.offset < now]
        return [self._put(key, None) for key in first] or self._next_stage()

    def _send_last_deletes(self) -> list[Write]:
        writes, self._last_deletes = self._last_deletes, []
        for write in writes:
            self._outstanding[write.key] = read_key(write.key)[1]
        return writes

    def _end(self) -> list[Write]:
        self.stage = Stage.IDLE
        self._captured = None
        self._last_deletes = []
        return []
