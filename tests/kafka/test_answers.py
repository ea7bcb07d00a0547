"""A command's answers are complete when everybody has spoken, and when the statuses show what was answered."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from guardian.core.inputs import Actor, Command
from guardian.core.outputs import Decision
from guardian.core.words import ALL_FLAGS
from guardian.kafka import answers
from guardian.kafka.answers import Gathering
from tests.core.scenes import FLAG, Scene, spec

KILL = Command("k-1", "kill", FLAG, Actor("ann"))


def decision(turn: int, flag: str = FLAG) -> Decision:
    scene = Scene(spec())
    made: Decision = scene.command("kill")
    return replace(made, flag=flag, command_id=KILL.id, turn=turn)


async def waiting(gathering: Gathering) -> asyncio.Task[None]:
    task = asyncio.create_task(gathering.wait(30.0))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_P9_an_answer_is_held_back_until_the_status_shows_it() -> None:
    async def test() -> None:
        gathering = Gathering(KILL, 4)
        task = await waiting(gathering)
        gathering.take(decision(7))
        gathering.take_status(FLAG, 6)
        gathering.take_status("another", 9)
        await asyncio.sleep(0)
        assert not task.done()
        assert gathering.unshown == [FLAG]
        gathering.take_status(FLAG, 7)
        await task
        assert (gathering.unshown, gathering.silent) == ([], [])

    asyncio.run(test())


@pytest.mark.parametrize("turn", [7, 8])
def test_P9_a_status_that_came_before_the_answer_counts(turn: int) -> None:
    async def test() -> None:
        gathering = Gathering(KILL, 4)
        gathering.take_status(FLAG, turn)
        gathering.take_status(FLAG, 5)  # a worker that was replaced writes once more
        gathering.take(decision(7))
        await gathering.wait(30.0)
        assert gathering.unshown == []

    asyncio.run(test())


def test_P9_an_answer_without_a_turn_has_no_status_to_wait_for() -> None:
    async def test() -> None:
        gathering = Gathering(KILL, 4)
        gathering.take(decision(0))
        await gathering.wait(30.0)
        assert gathering.unshown == []

    asyncio.run(test())


def test_P9_a_status_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SHOWN_WITHIN_S", 0.01)

    async def test() -> None:
        gathering = Gathering(KILL, 4)
        gathering.take(decision(7))
        await gathering.wait(30.0)
        assert gathering.unshown == [FLAG]

    asyncio.run(test())


def test_P9_a_command_for_all_waits_for_every_flag_that_answered() -> None:
    async def test() -> None:
        gathering = Gathering(replace(KILL, flag=ALL_FLAGS), 1)
        for flag, turn in (("a", 3), ("b", 4), (ALL_FLAGS, 0)):
            gathering.take(decision(turn, flag))
        gathering.take_status("b", 4)
        assert gathering.unshown == ["a"]
        gathering.take_status("a", 3)
        await gathering.wait(30.0)
        assert gathering.unshown == []

    asyncio.run(test())
