"""The shell completes commands and flags' names, and keeps its mouth shut when guardian cannot be asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner

from guardian.cli.completion import ask_within
from guardian.cli.door import Door
from guardian.cli.main import app
from guardian.cli.reading import Present
from tests.cli.servers import Server, apply, soon
from tests.eventually import HANG_S


def completed(line: str, **environment: str) -> list[str]:
    """Return what bash would offer for a line, however long it takes; its last word may be empty."""
    count = len(line.split(" ")) - 1
    words = {"_GUARDIAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    patience = {"GUARDIAN_COMPLETE_WITHIN_S": str(HANG_S)}
    result = CliRunner(env={**patience, **words, **environment}).invoke(app, [], prog_name="guardian")
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    "line", ["guardian pause whole-a", "guardian status whole-a", "guardian tail flags --flag whole-a"]
)
def test_the_names_of_flags_are_completed(server: Server, tmp_path: Path, line: str) -> None:
    apply(server, tmp_path, "whole-alpha")
    apply(server, tmp_path, "whole-beta")
    soon(lambda: completed(line, **server.environment) == ["whole-alpha"])


def test_options_that_stand_on_the_line_already_are_obeyed(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "other-way")
    soon(lambda: completed(f"guardian kill --server {server.url} other-w") == ["other-way"])


def test_nothing_is_offered_and_nothing_said_when_nobody_answers() -> None:
    assert completed("guardian pause x", GUARDIAN_BOOTSTRAP="127.0.0.1:1") == []
    assert completed("guardian pause x", GUARDIAN_BOOTSTRAP="", GUARDIAN_PREFIX="no good") == []
    assert completed("guardian pause x", GUARDIAN_COMPLETE_WITHIN_S="soon") == []


def test_who_never_answers_is_not_waited_for() -> None:
    class Deaf:
        """Of a door as much as is knocked at."""

        async def present(self) -> Present:
            await asyncio.Event().wait()
            raise AssertionError("nothing sets it")

    async def scene() -> None:
        asking = asyncio.create_task(ask_within(cast(Door, Deaf()), 0.01))
        done, _ = await asyncio.wait({asking}, timeout=HANG_S)
        assert asking in done
        assert isinstance(asking.exception(), TimeoutError)

    asyncio.run(scene())
