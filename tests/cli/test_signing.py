"""`guardian signing new`: what it prints, put into guardian.toml or the environment, signs and verifies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardian.cli.doctor.signing import examine_signing
from guardian.cli.main import app
from guardian.kafka.settings import load_settings
from guardian.kafka.signing import SigningKeys
from tests.serve.running import token_entry


def test_what_it_says_put_into_guardian_toml_and_the_environment_works(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["signing", "new", "--id", "k7"])
    assert said.exit_code == 0, said.output
    (table,) = re.findall(r'\[signing\]\nkeys = .*\ncurrent = "k7"', said.stdout)
    file = tmp_path / "guardian.toml"
    file.write_text(table)
    of_file = SigningKeys.of(load_settings(file, environ={}))
    environ = dict(re.findall(r"(?m)^(GUARDIAN_SIGNING_\w+)='?(.*?)'?$", said.stdout))
    assert of_file == SigningKeys.of(load_settings(environ=environ))
    assert of_file.verify(b"x", of_file.sign(b"x"))


def test_for_a_program_it_is_one_json_object_and_no_two_keys_are_alike() -> None:
    made = [json.loads(CliRunner().invoke(app, ["signing", "new", "--json"]).stdout) for _ in range(20)]
    assert len({one["key"] for one in made}) == 20
    assert {len(one["key"]) for one in made} == {64}


@pytest.mark.parametrize("key_id", ["a b", "x" * 33, "-x", "k:1"])
def test_a_wrong_id_is_a_usage_error(key_id: str) -> None:
    assert CliRunner().invoke(app, ["signing", "new", "--id", key_id]).exit_code == 2


def test_the_doctor_warns_of_tokens_without_a_key() -> None:
    tokens = json.dumps([token_entry("ada", "operator", "secret")])
    keys = {"signing_keys": {"k1": "ab" * 32}, "signing_current": "k1"}
    assert examine_signing(load_settings(environ={})) == []
    (warning,) = examine_signing(load_settings(environ={}, tokens=tokens))
    assert (warning.level.value, "guardian signing new" in warning.fix) == ("warning", True)
    assert [one.level.value for one in examine_signing(load_settings(environ={}, tokens=tokens, **keys))] == ["ok"]
