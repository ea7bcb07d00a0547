"""Two people at once: each command that climbs carries what stood there, and one of the two is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guardian.cli.asking import order_seen
from guardian.cli.door import Answers, Door
from guardian.cli.kafka_door import KafkaDoor
from guardian.cli.serve_door import ServeDoor
from guardian.core.inputs import Actor, Command
from guardian.errors import Exit
from guardian.kafka.clients import read_newest
from guardian.kafka.settings import load_settings
from guardian.spec.load import load_spec
from guardian.wire.commands import decode_command
from tests.cli.servers import SPEC, Server, apply

DOORS = ("kafka", "serve")


def door_of(server: Server, kind: str) -> Door:
    if kind == "serve":
        return ServeDoor(server.url, "")
    return KafkaDoor(load_settings(None, bootstrap=server.environment["GUARDIAN_BOOTSTRAP"]))


def given(number: int, word: str, flag: str, **fields: Any) -> Command:
    return Command(f"{flag}-{word}-{number}", word, flag, Actor("ann"), "the test", 1.0, **fields)


async def at_once(door: Door, commands: list[Command]) -> list[Answers]:
    """All of them see what stands now before any of them is given."""
    seen = await asyncio.gather(*(order_seen(door, one) for one in commands))
    return [await door.ask(one, 30.0) for one in seen]


@pytest.mark.parametrize("kind", DOORS)
def test_of_two_who_promote_at_once_one_is_refused(server: Server, tmp_path: Path, kind: str) -> None:
    flag = f"twice-{kind}"
    apply(server, tmp_path, flag)
    assert server.guardian("start", flag).exit_code == 0
    promotions = [given(number, "promote", flag, force=True) for number in range(2)]
    answers = asyncio.run(at_once(door_of(server, kind), promotions))
    assert [answer.code() for answer in answers] == [Exit.OK, Exit.NO]
    (refused,) = answers[1].decisions
    assert (refused.reason.value, refused.step) == ("REFUSED_OVERTAKEN", "half")


@pytest.mark.parametrize("kind", DOORS)
def test_of_two_who_apply_at_once_one_is_refused(server: Server, kind: str) -> None:
    flag = f"both-{kind}"
    specs = [load_spec(SPEC.format(flag=flag).replace("1h", bake), "")[1] for bake in ("2h", "3h")]
    applies = [given(number, "apply", flag, spec=document) for number, document in enumerate(specs)]
    answers = asyncio.run(at_once(door_of(server, kind), applies))
    assert [answer.code() for answer in answers] == [Exit.OK, Exit.NO]
    assert "you saw no rollout" in answers[1].decisions[0].text


def test_a_command_that_climbs_carries_what_stood_there_and_one_that_protects_does_not(
    server: Server, tmp_path: Path
) -> None:
    settings = load_settings(None, bootstrap=server.environment["GUARDIAN_BOOTSTRAP"])

    def last() -> Command:
        newest = asyncio.run(read_newest(settings, "commands"))
        return next(decode_command(record.value or b"") for (key, _), record in newest.items() if key == b"carried")

    apply(server, tmp_path, "carried")
    assert (last().seen_revision, last().seen_turn) == ("", None)
    server.guardian("start", "carried")
    assert (last().command, bool(last().seen_turn)) == ("start", True)
    server.guardian("pause", "carried")
    assert (last().command, last().seen_turn) == ("pause", None)


def test_commands_one_after_the_other_are_not_two_actors_whatever_the_clocks_say(
    server: Server, tmp_path: Path
) -> None:
    apply(server, tmp_path, "chained")
    assert server.guardian("start", "chained").exit_code == 0
    for _ in range(5):
        for word in ("kill", "unkill", "pause", "resume"):
            done = server.guardian(word, "chained")
            assert done.exit_code == 0, done.output


@pytest.mark.parametrize("kind", DOORS)
def test_P9_who_has_been_answered_has_also_been_shown(server: Server, tmp_path: Path, kind: str) -> None:
    flag = f"own-writes-{kind}"
    apply(server, tmp_path, flag)

    async def turns(number: int, word: str) -> tuple[int, int | None]:
        answered = await door_of(server, kind).ask(given(number, word, flag), 30.0)
        assert answered.unshown == []
        # Another door, as in another process: it knows nothing of the answer.
        return answered.decisions[0].turn, (await door_of(server, kind).seen(flag)).turn

    for number, word in enumerate(["start", *["kill", "unkill", "pause", "resume"] * 3]):
        answered, seen = asyncio.run(turns(number, word))
        assert answered == seen, word
