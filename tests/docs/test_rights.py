"""The rights that the page shows are those that the command prints (case B11)."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from guardian.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_B11_the_page_shows_what_the_command_prints() -> None:
    where = {"GUARDIAN_PREFIX": "shop", "GUARDIAN_BOOTSTRAP": "kafka-1:9094"}
    printed = CliRunner(env=where).invoke(app, ["topics", "acls"])
    assert printed.exit_code == 0, printed.output
    assert f"```text\n{printed.stdout}```" in PAGE.read_text(encoding="utf-8")
