"""What the loop of decide asks of whatever brings it records: the one place where Faust could be replaced."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Delivered(NamedTuple):
    """A record as it came in: maybe late, maybe twice, maybe with others missing before it.

    Args:
        partition: of guardian.inputs.
        offset: its place in the partition.
        log_ms: the broker's timestamp.
        value: its bytes; None for a record without any.
        unreadable: true for an offset whose record batch cannot be read: what stood there is lost.
    """

    partition: int
    offset: int
    log_ms: int
    value: bytes | None
    unreadable: bool = False


class Settled(NamedTuple):
    """Exactly these partitions are ours from here on, and their checkpoints can be read."""

    partitions: frozenset[int]


Arrival = Delivered | Settled


class Bounds(NamedTuple):
    """The offsets that a partition of the log holds: start <= offset < end."""

    start: int
    end: int


class Port(Protocol):
    """Records in, positions and checkpoints out.

    It promises no more than this: records of one partition come in rising order between two rewinds,
    and a write that `save` returned from survives a crash.
    """

    async def start(self) -> None:
        """Join the group; returns when the port runs, maybe before any partition is ours.

        Raises:
            TransportError: the broker did not answer.
        """

    async def stop(self) -> None:
        """Leave the group and free everything; never raises."""

    async def next(self) -> Arrival:
        """Wait for the next thing that comes in.

        Raises:
            TransportError: the connection is beyond repair; a new port may do better.
            InternalError: what brings the records broke down by a fault of its own.
        """

    def saved(self, partition: int) -> dict[bytes, bytes]:
        """Return every checkpoint record of a partition that is ours, by key."""

    async def rewind(self, offsets: dict[int, int]) -> bool:
        """Continue each of these partitions at the given offset.

        Returns:
            False when a rebalance began meanwhile: another Settled is on its way. True promises nothing:
            the reader still insists on the next offset.
        """

    async def save(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Write one checkpoint record and wait for its ack; None deletes the key.

        Raises:
            TransportError: not acked; it may land all the same.
        """

    async def bounds(self, partition: int) -> Bounds:
        """Ask the broker what the partition holds now.

        Raises:
            TransportError: no answer.
        """
