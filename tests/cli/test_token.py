"""`guardian token new`: a token is shown once, with what serve must know of it: its hash, never the token itself."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.core.inputs import Actor
from guardian.kafka.settings import Role, load_settings
from guardian.serve.access import MAX_TOKEN_CHARS, Access, Right
from tests.serve.test_access import admit

TOKEN = re.compile(r"guardian_[A-Za-z0-9_-]{43}")


def new(*words: str) -> Result:
    return CliRunner().invoke(app, ["token", "new", *words])


@pytest.mark.parametrize("role", Role)
def test_what_it_says_put_into_guardian_toml_lets_the_bearer_in_with_that_role(tmp_path: Path, role: Role) -> None:
    said = new("anna", "--role", role)
    assert said.exit_code == 0, said.output
    (token,) = set(TOKEN.findall(said.stdout))
    entry = "\n".join(line.strip() for line in re.findall(r"(?m)^\s*(?:\[\[tokens\]\]|\w+ = \".*\")$", said.stdout))
    file = tmp_path / "guardian.toml"
    file.write_text(entry)
    access = Access(load_settings(file, environ={}))
    right = Right.SEND if role is Role.SENDER else Right.READ
    assert admit(access, right, authorization=f"Bearer {token}") == Actor("anna", "http", authenticated=True)


def test_for_a_program_it_is_one_json_object_whose_entry_fits_the_environment() -> None:
    said = json.loads(new("ci", "--role", "sender", "--json").stdout)
    assert TOKEN.fullmatch(said["token"])
    assert said["entry"] == {"name": "ci", "sha256": said["entry"]["sha256"], "role": "sender"}
    settings = load_settings(environ={"GUARDIAN_TOKENS": json.dumps([said["entry"]])})
    admit(Access(settings), Right.SEND, authorization=f"Bearer {said['token']}")


def test_the_token_is_shown_once_and_stands_nowhere_else() -> None:
    said = new("anna", "--role", "viewer")
    (token,) = TOKEN.findall(said.stdout)
    assert said.stdout.count(token) == 1
    assert said.stderr == ""
    entry = tomllib.loads(said.stdout[said.stdout.index("[[tokens]]") :].partition("\n\n")[0])
    assert token not in str(entry)
    assert "once" in said.stdout


def test_no_two_tokens_are_alike_and_each_is_short_enough_for_serve() -> None:
    tokens = {json.loads(new("a", "--role", "viewer", "--json").stdout)["token"] for _ in range(50)}
    assert len(tokens) == 50
    assert max(map(len, tokens)) < MAX_TOKEN_CHARS


@pytest.mark.parametrize("name", ['a "quoted" \\ name', "Ämter/№1", "x" * 128])
def test_a_strange_name_survives_the_file(name: str) -> None:
    said = new(name, "--role", "viewer").stdout
    (entry,) = tomllib.loads(said[said.index("[[tokens]]") :].partition("\n\n")[0])["tokens"]
    assert entry["name"] == name


@pytest.mark.parametrize(
    "words",
    [
        ["anna"],
        ["anna", "--role", "king"],
        ["", "--role", "viewer"],
        ["x" * 129, "--role", "viewer"],
        ["two\nlines", "--role", "viewer"],
    ],
)
def test_a_wrong_name_or_role_is_a_usage_error_and_makes_no_token(words: list[str]) -> None:
    said = new(*words)
    assert said.exit_code == 2, said.output
    assert not TOKEN.search(said.output)


def test_a_scanner_knows_a_token_by_its_beginning() -> None:
    assert json.loads(new("a", "--role", "viewer", "--json").stdout)["token"].startswith("guardian_")
