"""Good specs mean what their headers say; bad ones are refused with exactly the problems of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from guardian.errors import Exit, Problem, SpecError
from guardian.spec.load import load_spec, parse_spec
from tests.spec.files import BAD, EXAMPLES, GOOD, at_path, header_of, text_of


def names(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOOD, ids=names)
def test_a_good_spec_means_what_its_header_says(path: Path) -> None:
    text = text_of(path)
    spec, _ = load_spec(text, path.name)
    found = msgspec.json.decode(msgspec.json.encode(spec))
    facts = [line.removeprefix("= ").split(" ", 1) for line in header_of(text, "= ") if line.startswith("= ")]
    assert facts
    for where, value in facts:
        assert at_path(found, where) == json.loads(value), where


@pytest.mark.parametrize("path", [*GOOD, *EXAMPLES], ids=names)
def test_the_document_alone_gives_the_same_spec(path: Path) -> None:
    spec, document = load_spec(text_of(path), path.name)
    assert parse_spec(json.loads(json.dumps(document))) == spec
    assert parse_spec(msgspec.msgpack.decode(msgspec.msgpack.encode(document))) == spec


def as_header(problem: Problem) -> str:
    place = f"{problem.line}:{problem.column}"
    return f"{problem.path or '-'} | {place} | {problem.message} | {problem.fix}"


@pytest.mark.parametrize("path", BAD, ids=names)
def test_a_bad_spec_is_refused_with_exactly_the_problems_of_its_header(path: Path) -> None:
    text = text_of(path)
    with pytest.raises(SpecError) as refused:
        load_spec(text, path.name)
    expected = header_of(text, " | ")
    assert expected
    assert [as_header(problem) for problem in refused.value.problems] == expected
    assert refused.value.source == path.name
    assert refused.value.exit_code is Exit.USAGE


def test_ten_errors_are_ten_problems() -> None:
    path = next(path for path in BAD if path.stem == "ten_errors")
    with pytest.raises(SpecError) as refused:
        load_spec(text_of(path), path.name)
    assert len(refused.value.problems) == 10
    assert "10 problems" in str(refused.value)


@pytest.mark.parametrize("path", BAD, ids=names)
def test_every_problem_has_a_place_and_a_fix(path: Path) -> None:
    text = text_of(path)
    lines = text.splitlines()
    with pytest.raises(SpecError) as refused:
        load_spec(text, path.name)
    for problem in refused.value.problems:
        assert 1 <= problem.line <= len(lines) + 1
        assert problem.column >= 1
        assert problem.message
        assert problem.fix


@pytest.mark.parametrize("path", EXAMPLES, ids=names)
def test_an_example_is_accepted(path: Path) -> None:
    spec, _ = load_spec(text_of(path), path.name)
    assert spec.steps
