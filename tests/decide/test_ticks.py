"""Ticks: one a second to each partition, together while there is little to say, spread over the second otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardian.decide.publish import Acked
from guardian.decide.ticks import write_ticks
from guardian.wire.outputs import Message
from tests.decide.feeding import run
from tests.eventually import eventually


class Log:
    """Acks every tick at once, and notes which were written in one turn of the event loop."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self._is_new = True

    def write(self, message: Message, partition: int) -> Acked:
        loop = asyncio.get_running_loop()
        if self._is_new:
            self.turns.append([])
            self._is_new = False
            loop.call_soon(self._next_turn)
        self.turns[-1].append(partition)
        acked: Acked = loop.create_future()
        acked.set_result(None)
        return acked

    def _next_turn(self) -> None:
        self._is_new = True


@pytest.mark.parametrize(("spread", "turns"), [(False, [[0, 2, 5]] * 2), (True, [[0], [2], [5]] * 2)])
def test_ticks_are_written_together_unless_there_is_much_to_say(spread: bool, turns: list[list[int]]) -> None:
    async def test() -> None:
        log: Any = Log()
        writing = asyncio.create_task(write_ticks(log, "me", lambda: (5, 0, 2), lambda *_: None, lambda: spread))
        await eventually(lambda: len(log.turns) >= len(turns))
        writing.cancel()
        assert log.turns[: len(turns)] == turns

    run(test)


def test_without_partitions_there_is_nothing_to_write() -> None:
    async def test() -> None:
        log: Any = Log()
        asked: list[int] = []
        writing = asyncio.create_task(
            write_ticks(log, "me", lambda: asked.append(1) or (), lambda *_: None, lambda: True)
        )
        await eventually(lambda: len(asked) == 2)
        writing.cancel()
        assert log.turns == []

    run(test)
