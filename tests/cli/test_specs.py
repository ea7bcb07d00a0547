"""`init` and `check`: from nothing to a checked spec, and every problem of a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.spec.changes import changes
from tests.cli.servers import SPEC

runner = CliRunner()

TEN_ERRORS = """\
flag: "new pricing"
owner: 7
strategy: carnary
colour: blue
steps:
  - {name: a, weight: 5, bake: 1h}
  - {name: a, weight: 3%, bake: soon}
  - {name: c, weight: 200%, bake: 1h, gates: ["error_rate <"]}
triggers:
  - {when: "eror_rate > 5%", do: rollback}
  - {when: "error_rate > 5%", do: explode}
rollback: {to: nowhere}
"""


def test_init_writes_a_spec_that_check_accepts(tmp_path: Path) -> None:
    target = tmp_path / "new-pricing.yaml"
    written = runner.invoke(app, ["init", "new-pricing", "--file", str(target)])
    assert written.exit_code == 0
    assert str(target) in written.stderr
    assert "#" in target.read_text()
    checked = runner.invoke(app, ["check", str(target)])
    assert checked.exit_code == 0, checked.stderr
    assert "new-pricing" in checked.stdout


def test_init_does_not_overwrite_a_file_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "x.yaml"
    target.write_text("mine")
    refused = runner.invoke(app, ["init", "x", "--file", str(target)])
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert target.read_text() == "mine"
    assert runner.invoke(app, ["init", "x", "--file", str(target), "--force"]).exit_code == 0
    assert target.read_text() != "mine"


def test_init_to_stdout_can_be_piped_into_check() -> None:
    written = runner.invoke(app, ["init", "x", "--file", "-"])
    checked = runner.invoke(app, ["check", "-", "--json"], input=written.stdout)
    found = json.loads(checked.stdout)
    assert found["ok"] is True
    assert found["files"][0]["file"] == "<stdin>"
    assert len(found["files"][0]["revision"]) == 16


def test_check_shows_ten_errors_with_file_line_and_path(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEN_ERRORS)
    result = runner.invoke(app, ["check", str(bad)])
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith(f"{bad}:")]
    assert len(lines) >= 10
    for path, line in (("flag", 1), ("strategy", 3), ("colour", 4), ("steps[0].weight", 6), ("rollback.to", 12)):
        assert any(one.startswith(f"{bad}:{line}:") and f" {path}:" in one for one in lines), (path, result.stderr)
    assert "Traceback" not in result.stderr


def test_a_spec_without_problems_is_said_in_plain_words(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(SPEC.format(flag="plain"))
    said = runner.invoke(app, ["check", str(file)]).stdout
    for words in (
        "from off to on in 3 steps",
        "1. canary: 5%, held for 1h",
        "error count since the step began is above",
    ):
        assert words in said
    (found,) = json.loads(runner.invoke(app, ["check", str(file), "--json"]).stdout)["files"]
    assert found["meaning"] in said


def test_check_as_json_names_every_problem(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEN_ERRORS)
    result = runner.invoke(app, ["check", str(bad), "--json"])
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    problems = found["files"][0]["problems"]
    assert found["ok"] is False
    assert len(problems) >= 10
    assert all(problem["line"] > 0 and problem["path"] and problem["message"] for problem in problems)


def test_apply_refuses_a_bad_spec_before_it_looks_for_kafka(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEN_ERRORS)
    result = runner.invoke(app, ["apply", str(bad), "--bootstrap", "127.0.0.1:1"])
    assert result.exit_code == 2
    assert len([line for line in result.stderr.splitlines() if line.startswith(f"{bad}:")]) >= 10


def test_a_file_that_is_not_there_is_named() -> None:
    result = runner.invoke(app, ["check", "/nowhere/spec.yaml"])
    assert result.exit_code == 2
    assert "/nowhere/spec.yaml" in result.stderr
    assert "fix:" in result.stderr


def test_a_file_that_is_not_text_is_a_problem_of_the_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"\xff\xfe\x00")
    result = runner.invoke(app, ["check", str(bad)])
    assert result.exit_code == 2
    assert "UTF-8" in result.stderr


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["  ~ a: 1 -> 2"]),
        ({"a": 1}, {"b": "x"}, ["  + b: x", "  - a: 1"]),
        ({"steps": [{"name": "x", "w": 1}]}, {"steps": [{"name": "x", "w": 2}]}, ["  ~ steps[x].w: 1 -> 2"]),
        ({"l": [1, 2]}, {"l": [1]}, ["  - l[1]: 2"]),
        ({"l": [{"name": "a"}, {"name": "b"}]}, {"l": [{"name": "b"}, {"name": "a"}]}, ["  ~ l: a, b -> b, a"]),
    ],
)
def test_a_dry_run_names_what_differs(before: object, after: object, lines: list[str]) -> None:
    assert [change.line() for change in changes(before, after)] == lines


G2 = """\
flag: a
steps:
  - {weight: 5%, bake: 30m, gates: [error_rate < 5%]}
  - {weight: 100%, bake: 1h}
triggers:
  - {name: errors, when: error_rate > 5% for 5 minutes}
  - crash_count > 0 per step
"""


def test_G2_check_with_a_traffic_names_the_trigger_that_cannot_judge() -> None:
    calm = runner.invoke(app, ["check", "-"], input=G2)
    assert "let each rule judge in time:" in calm.stdout
    assert "5%: trigger errors 6.7/s" in calm.stdout
    few = runner.invoke(app, ["check", "-", "--traffic", "240/m"], input=G2)
    assert few.exit_code == 0, "advice does not fail a check"
    assert "error_rate > 5% needs 100 requests; 5% of 4/s brings about 60 in 5m: the step waits" in few.stderr
    assert runner.invoke(app, ["check", "-", "--traffic", "240/m", "--strict"], input=G2).exit_code == 1
    as_json = json.loads(runner.invoke(app, ["check", "-", "--json"], input=G2).stdout)
    assert any("trigger errors" in line for line in as_json["files"][0]["traffic"])


def test_check_refuses_what_is_no_traffic() -> None:
    refused = runner.invoke(app, ["check", "-", "--traffic", "lots"], input=G2)
    assert refused.exit_code == 2
    assert "write it as 40/s, 12/m or 1000/h" in refused.stderr
