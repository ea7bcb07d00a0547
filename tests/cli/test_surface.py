"""The command line as a whole: every command explains itself, and words are checked before anything is sent."""

from __future__ import annotations

import json
import time

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from guardian import __version__
from guardian.cli.main import app
from guardian.cli.options import duration_s, flag_name, moment_s

EXPECTED = {
    "demo", "dev", "run", "init", "apply", "check", "list", "status", "start", "promote", "pause", "resume",
    "rollback", "kill", "unkill", "resolve", "archive", "tail", "send", "topics", "version",
    "doctor", "explain", "bug", "metric", "checkpoint", "token", "inputs", "unfreeze", "dismiss",
    "emergency", "signing", "samples",
}  # fmt: skip
GROUPS = {"topics", "metric", "checkpoint", "token", "inputs", "emergency", "signing"}
TALKS_TO_KAFKA = sorted(EXPECTED - {"demo", "dev", "init", "check", "version", *GROUPS})
GOES_THROUGH_SERVE = sorted(set(TALKS_TO_KAFKA) - {"run"})
CHANGES_A_ROLLOUT = (
    "apply", "start", "promote", "pause", "resume", "rollback", "kill", "unkill", "resolve", "archive", "bug",
    "dismiss",
)  # fmt: skip

runner = CliRunner()


def option_names(command: str) -> set[str]:
    """Return every option of a command."""
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in parameter.opts}


def test_every_command_is_there_and_no_other() -> None:
    assert set(get_command(app).commands) == EXPECTED  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(EXPECTED))
def test_every_command_has_help_of_one_clear_sentence(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    assert found.help
    assert found.help.strip().endswith(".")
    assert "\n" not in found.help.strip()
    assert len(found.help) <= 120


@pytest.mark.parametrize("command", ["create", "check", "describe"])
def test_every_topics_command_has_help(command: str) -> None:
    result = runner.invoke(app, ["topics", command, "--help"])
    assert result.exit_code == 0
    assert "topic" in result.stdout.lower()


@pytest.mark.parametrize("command", sorted(EXPECTED - GROUPS))
def test_every_option_and_argument_has_help(command: str) -> None:
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    for parameter in found.params:
        assert getattr(parameter, "help", ""), f"{command}: {parameter.name} has no help"


@pytest.mark.parametrize("command", TALKS_TO_KAFKA)
def test_every_command_that_talks_to_kafka_takes_its_address(command: str) -> None:
    assert {"--settings", "--bootstrap", "--prefix"} <= option_names(command)


@pytest.mark.parametrize("command", CHANGES_A_ROLLOUT)
def test_every_command_that_changes_a_rollout_takes_reason_actor_and_a_wait(command: str) -> None:
    assert {"--reason", "--actor", "--wait", "--no-wait", "--json"} <= option_names(command)


@pytest.mark.parametrize("command", GOES_THROUGH_SERVE)
def test_every_command_about_rollouts_can_go_through_serve(command: str) -> None:
    assert {"--server", "--token"} <= option_names(command)


def test_the_help_says_how_the_shell_learns_to_complete() -> None:
    assert "--install-completion" in runner.invoke(app, ["--help"]).stdout


def test_version_as_text_and_as_json() -> None:
    assert f"guardian {__version__}" in runner.invoke(app, ["version"]).stdout
    found = json.loads(runner.invoke(app, ["version", "--json"]).stdout)
    assert found["guardian"] == __version__
    assert runner.invoke(app, ["--version"]).stdout.strip() == f"guardian {__version__}"


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest() -> None:
    result = runner.invoke(app, ["paus"])
    assert result.exit_code == 2
    assert "pause" in result.stderr


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "x" * 129])
def test_a_name_that_no_flag_can_have_is_a_usage_error(name: str) -> None:
    result = runner.invoke(app, ["pause", "--", name])
    assert result.exit_code == 2
    with pytest.raises(typer.BadParameter):
        flag_name(name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("1.5s", 1.5), ("9h", 3600.0)]
)
def test_a_wait_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["10", "s", "-1s", "10 parsecs", ""])
def test_a_wait_without_a_unit_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration_s(text)


@pytest.mark.parametrize("words", [["kill"], ["kill", "x", "--all"], ["rollback"], ["pause"], ["unkill"]])
def test_kill_and_its_kin_want_either_a_flag_or_all(words: list[str]) -> None:
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert "--all" in result.stderr


def test_a_wrong_settings_file_is_a_usage_error_that_names_the_file(tmp_path: object) -> None:
    result = runner.invoke(app, ["list", "--settings", f"{tmp_path}/none.toml"])
    assert result.exit_code == 2
    assert "none.toml" in result.stderr
    assert "fix:" in result.stderr


def test_a_wrong_setting_is_a_usage_error() -> None:
    result = runner.invoke(app, ["list", "--prefix", "no spaces"])
    assert result.exit_code == 2
    assert "prefix" in result.stderr


def test_promote_takes_force_and_no_other_command_does() -> None:
    assert [command for command in CHANGES_A_ROLLOUT if "--force" in option_names(command)] == ["promote"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-20", 1_795_132_800.0),
        ("2026-11-20T13:00", 1_795_179_600.0),
        ("2026-11-20T13:00:00Z", 1_795_179_600.0),
        ("2026-11-20T13:00+02:00", 1_795_172_400.0),
    ],
)
def test_U7_a_moment_is_a_date_or_a_time_in_utc(text: str, found: float) -> None:
    assert moment_s(text) == found


def test_U7_a_moment_is_so_long_ago_or_a_day() -> None:
    assert 7_199 < time.time() - moment_s("2h") < 7_260
    assert moment_s("today") - moment_s("yesterday") == 86_400
    assert moment_s("today") % 86_400 == 0
