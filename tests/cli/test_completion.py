"""The shell completes commands and flags' names, and keeps its mouth shut when guardian cannot be asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardian.cli.main import app
from tests.cli.servers import Server, apply, soon


def completed(line: str, **environment: str) -> list[str]:
    """Return what bash would offer for a line; its last word may be empty."""
    count = len(line.split(" ")) - 1
    words = {"_GUARDIAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    result = CliRunner(env={**words, **environment}).invoke(app, [], prog_name="guardian")
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    "line", ["guardian pause whole-a", "guardian status whole-a", "guardian tail flags --flag whole-a"]
)
def test_the_names_of_flags_are_completed(server: Server, tmp_path: Path, line: str) -> None:
    apply(server, tmp_path, "whole-alpha")
    apply(server, tmp_path, "whole-beta")
    # A busy machine may not answer in time, and then nothing is offered: as at a prompt, Tab is pressed again.
    soon(lambda: completed(line, **server.environment) == ["whole-alpha"])


def test_options_that_stand_on_the_line_already_are_obeyed(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "other-way")
    soon(lambda: completed(f"guardian kill --server {server.url} other-w") == ["other-way"])


def test_nothing_is_offered_and_nothing_said_when_nobody_answers() -> None:
    began = time.monotonic()
    assert completed("guardian pause x", GUARDIAN_BOOTSTRAP="127.0.0.1:1") == []
    assert completed("guardian pause x", GUARDIAN_BOOTSTRAP="", GUARDIAN_PREFIX="no good") == []
    assert time.monotonic() - began < 5
