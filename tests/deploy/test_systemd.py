"""The systemd unit starts every role in guardian's own words, and leaves it the time that it needs to end."""

from __future__ import annotations

import configparser
from pathlib import PurePath

import pytest
from typer.testing import CliRunner

from guardian.cli.exit_deadline import EXIT_WITHIN_S, PYTHON_WITHIN_S
from guardian.cli.main import app
from guardian.cli.worker import Role
from tests.deploy.files import ROOT, compose

UNIT = configparser.ConfigParser(interpolation=None)
UNIT.optionxform = str  # type: ignore[assignment,method-assign]
UNIT.read(ROOT / "deploy" / "guardian@.service", encoding="utf-8")


@pytest.mark.parametrize("role", Role)
def test_every_role_is_started_by_its_name(role: Role) -> None:
    program, *words = UNIT["Service"]["ExecStart"].replace("%i", role).split()
    assert PurePath(program).name == "guardian"
    result = CliRunner(env={"GUARDIAN_PARTITIONS": "not a number"}).invoke(app, words)
    assert result.exit_code == 2
    assert "partitions" in result.stderr, "the words were understood, and the settings were read"


def test_a_role_is_started_again_and_may_end_in_its_own_time() -> None:
    assert UNIT["Service"]["Restart"] == "always"
    assert int(UNIT["Service"]["TimeoutStopSec"]) > EXIT_WITHIN_S + PYTHON_WITHIN_S
    assert f"{UNIT['Service']['TimeoutStopSec']}s" == compose()["services"]["decide"]["stop_grace_period"]
