"""A log and a changelog in memory behind the port, for what brokers do not do on demand: truncation, failed writes."""

from __future__ import annotations

import asyncio
from typing import Any

from guardian.decide.partition import Owned
from guardian.decide.port import Bounds, Delivered
from guardian.errors import TransportError
from guardian.wire.inputs import encode_payload
from tests.decide.counting import CountingEngine


class MemoryPort:
    """One partition: `log` by offset, `records` of the changelog, `writes` in the order of their acks."""

    def __init__(self) -> None:
        self.log: dict[int, bytes] = {}
        self.records: dict[bytes, bytes] = {}
        self.writes: list[str] = []
        self.fail: set[str] = set()

    def append(self, payload: Any) -> None:
        self.log[max(self.log, default=-1) + 1] = encode_payload(payload)

    def saved(self, partition: int) -> dict[bytes, bytes]:
        return self.records

    async def save(self, partition: int, key: bytes, value: bytes | None) -> None:
        kind = key.decode().split("/")[1]
        await asyncio.sleep(0)
        if kind in self.fail:
            raise TransportError("refused", retriable=True)
        self.writes.append(f"{'delete ' if value is None else ''}{key.decode()}")
        if value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = value

    async def bounds(self, partition: int) -> Bounds:
        return Bounds(min(self.log, default=0), max(self.log, default=-1) + 1)


class MemoryPublisher:
    """Collects outputs; `held` outputs are not acked until they are let go."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []
        self.held: list[asyncio.Future[None]] = []
        self.hold = False

    def publish(self, partition: int, outputs: list[Any]) -> bool:
        self.outputs += outputs
        if self.hold and outputs:
            self.held.append(asyncio.get_running_loop().create_future())
        return False

    def unacked(self, partition: int) -> tuple[asyncio.Future[None], ...]:
        return tuple(each for each in self.held if not each.done())

    def ack_all(self) -> None:
        for each in self.held:
            each.set_result(None)
        self.held.clear()


def owned(port: MemoryPort, publisher: MemoryPublisher, inputs_id: str = "one") -> Owned:
    """Open the partition as the loop does."""
    from guardian.decide.checkpoint import recover

    saved = recover(0, port.saved(0))
    return Owned(0, saved, CountingEngine.restore, port, publisher, ("inputs", inputs_id))  # type: ignore[arg-type]


async def read_on(mine: Owned, port: MemoryPort) -> None:
    """Open at the right place and take everything that is there."""
    place = await mine.open()
    for offset in sorted(each for each in port.log if each >= place):
        mine.see(Delivered(0, offset, offset, port.log[offset]))
