"""Whatever comes in, a checked spec comes out or a SpecError; in bounded time, and the same from text and document."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.rollout import RolloutSpec
from guardian.errors import SpecError
from guardian.spec.document import MAX_DEPTH, MAX_NODES, MAX_SPEC_CHARS
from guardian.spec.load import load_spec, parse_spec, revision_of
from guardian.spec.report import MAX_PROBLEMS
from guardian.spec.vocabulary import LATER, SECTIONS
from tests.spec.files import BAD, EXAMPLES, GOOD, text_of

SMALL = {"flag": "a", "strategy": "canary"}
BOUND_SECONDS = 10.0
"""Far above what any text takes here, far below what a bomb would."""


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as refused:
        load_spec(text, "a.yaml")
    return refused.value


def refusal_of(document: Any) -> SpecError:
    with pytest.raises(SpecError) as refused:
        parse_spec(document)
    return refused.value


def outcome(text: str) -> RolloutSpec | SpecError:
    try:
        return load_spec(text, "a.yaml")[0]
    except SpecError as error:
        return error


def outcome_of(document: Any) -> RolloutSpec | SpecError:
    try:
        return parse_spec(document)
    except SpecError as error:
        return error


# Revision


def test_the_revision_is_the_content_and_not_its_order() -> None:
    one = revision_of({"flag": "a", "strategy": "canary"})
    assert one == revision_of({"strategy": "canary", "flag": "a"})
    assert one != revision_of({"strategy": "canary", "flag": "b"})
    assert len(one) == 16
    assert one == f"{int(one, 16):016x}"


def test_comments_and_spelling_of_yaml_do_not_change_the_revision() -> None:
    one, _ = load_spec("flag: a\nstrategy: canary\n", "a")
    other, _ = load_spec("# why\n{strategy: 'canary', flag: \"a\"}", "b")
    assert one == other
    assert one.revision == revision_of(SMALL)


# Text


def test_an_empty_file_says_how_to_begin() -> None:
    for text in ("", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "\ufeff"):
        problems = refusal(text).problems
        assert [problem.message for problem in problems] == ["the file is empty"]
        assert "guardian init" in problems[0].fix


def test_unprintable_characters_are_refused_with_their_place() -> None:
    for text in ("flag: \x00", "flag: \ud800", "flag: \x07"):
        (problem,) = refusal(text).problems
        assert (problem.line, problem.column) == (1, 7)


def test_an_unprintable_character_behind_an_escape_is_refused() -> None:
    (problem,) = refusal('flag: a\nstrategy: canary\nowner: "\\a"\n').problems
    assert problem.path == "owner"
    assert "unprintable" in problem.message


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    (problem,) = refusal("flag: a\n" * MAX_SPEC_CHARS).problems
    assert f"at most {MAX_SPEC_CHARS:,}" in problem.fix


def test_more_problems_than_anyone_reads_are_counted() -> None:
    text = "flag: a\nstrategy: canary\n" + "".join(f"word_{i}: 1\n" for i in range(1_000))
    problems = refusal(text).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == f"{1_000 - MAX_PROBLEMS} more problems are not listed"


def test_a_rule_in_quotes_has_its_column() -> None:
    for quote in ("'", '"'):
        text = f"flag: a\nstrategy: canary\ntriggers: [{quote}error_rate > 5{quote}]\n"
        (problem,) = refusal(text).problems
        assert text.splitlines()[problem.line - 1][problem.column - 1] == "5"


BOMBS = {
    "brackets": "[" * 60_000,
    "braces": "{" * 60_000,
    "dashes": "- " * 30_000,
    "question marks": "? " * 30_000,
    "aliases": "a: &a [x]\n" + "".join(f"b{i}: [*a, *a, *a, *a]\n" for i in range(2_500)),
    "long key": "k" * 60_000 + ": 1",
    "long word": "flag: " + "x" * 60_000,
    "digits": "flag: a\nstrategy: canary\nbake: " + "9" * 60_000,
    "many words": "".join(f"w{i}: 1\n" for i in range(7_000)),
    "many values": "flag: [" + "1," * 30_000 + "]",
    "same key": "flag: a\n" * 8_000,
    "quotes": "'" * 60_000,
    "rule": "flag: a\nstrategy: canary\ntriggers: [" + "error_rate > 5%," * 3_500 + "]",
    "weights": "flag: a\nweights: [" + "1%," * 15_000 + "]",
    "anchors": "".join(f"&a{i} " for i in range(8_000)),
    "comments": "#\n" * 30_000,
    "documents": "---\n" * 15_000,
    "near words": "".join(f"{'strateg' * 8}{i}: 1\n" for i in range(900)),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_costs_little(text: str) -> None:
    # Of this process alone: what others take of the machine does not count.
    began = time.process_time()
    assert isinstance(outcome(text), SpecError)
    assert time.process_time() - began < BOUND_SECONDS


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    found = outcome(text)
    assert isinstance(found, RolloutSpec) or found.problems


SEEDS = [text_of(path) for path in (*GOOD, *EXAMPLES, *BAD)]
NASTY = st.sampled_from(
    [
        "\t",
        "\x00",
        "&a ",
        "*a",
        "<<: ",
        "!!",
        "---\n",
        "{",
        "[",
        "}",
        "]",
        "'",
        '"',
        "%",
        "> ",
        "| ",
        "? ",
        "- ",
        ": ",
        "\n",
    ]
)


@st.composite
def broken_specs(draw: st.DrawFn) -> str:
    """A real spec with a few pieces cut out, doubled or replaced by trouble."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 30)))
        text = text[:at] + draw(NASTY | st.just(text[at:end] * 2) | st.text(max_size=3)) + text[end:]
    return text


@settings(max_examples=150, deadline=None)
@given(broken_specs())
def test_a_broken_spec_is_a_spec_or_a_spec_error(text: str) -> None:
    found = outcome(text)
    if isinstance(found, SpecError):
        lines = text.count("\n") + text.count("\r") + 2
        assert found.problems
        assert all(problem.message and problem.fix and 1 <= problem.line <= lines for problem in found.problems)
    else:
        spec, document = load_spec(text, "")
        assert parse_spec(json.loads(json.dumps(document))) == spec


# Documents


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from(sorted({word for words in SECTIONS.values() for word in words} | LATER)) | st.text(max_size=8)
VALUES = st.sampled_from(
    ["5%", "1h", "error_rate > 5%", "error_rate < 1%", "canary", "zero", "rollback", "a", "on", "off"]
)
DOCUMENTS = st.recursive(
    SCALARS | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(DOCUMENTS | st.dictionaries(KEYS, DOCUMENTS, max_size=8).map(lambda found: {**SMALL, **found}))
def test_any_document_is_a_spec_or_a_spec_error(document: Any) -> None:
    found = outcome_of(document)
    if isinstance(found, SpecError):
        assert found.problems
        assert all(problem.line == 0 for problem in found.problems)
    else:
        assert found.revision == revision_of(document)


def test_a_document_is_checked_as_strictly_as_a_text() -> None:
    found = refusal_of({**SMALL, "bake": 60, "dual_run": True, "triggers": ["error_rate > 5"], "owner": None})
    assert [(problem.path, problem.message) for problem in found.problems] == [
        ("dual_run", "`dual_run` is said of a step"),
        ("bake", "a bare number is not a duration: `60`"),
        ("owner", "`owner` has no value"),
        ("triggers[0]", "a bare number is not a rate: `error_rate > 5`"),
    ]


STEPS = [{"weight": f"{number}%", "gates": ["error_rate < 1%"] * 100} for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"steps": STEPS}, "300 gates and triggers: decide could not keep the state of such a rollout"),
        ({"triggers": [f"metric m{n} > 1" for n in range(33)]}, "33 figures that rules look at: decide could not"),
        ({"triggers": [f"gauge g{n} > 1" for n in range(17)]}, "17 gauges that rules look at: decide could not"),
        (
            {"triggers": [{"when": "crash_count > 0", "tell": "ü" * 250} for _ in range(60)]},
            "31,407 bytes of words and texts: decide could not",
        ),
    ],
    ids=["rules", "figures", "gauges", "texts"],
)
def test_what_would_not_fit_into_decides_checkpoint_is_refused(more: dict[str, Any], said: str) -> None:
    (problem,) = refusal_of({**SMALL, **more}).problems
    assert problem.message.startswith(said)
    assert problem.fix.startswith("at most ")


def test_numbers_that_are_no_json_are_refused() -> None:
    for number in (float("nan"), float("inf"), 2**60, 10**5_000):
        found = refusal_of({**SMALL, "variants": {"values": {"on": number, "off": 1}}})
        assert [problem.path for problem in found.problems] == ["variants.values.on"]


def test_what_is_no_json_is_refused() -> None:
    assert "bytes" in refusal_of({**SMALL, "owner": b"a"}).problems[0].message
    assert "not a text" in refusal_of({**SMALL, 5: "a"}).problems[0].message
    assert refusal_of([]).problems[0].path == ""
    assert refusal_of(None).problems


def test_deep_and_large_documents_end_the_reading() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert any(str(MAX_DEPTH) in problem.message for problem in refusal_of({**SMALL, "owner": deep}).problems)
    large = {**SMALL, "components": ["x"] * 1_000_000}
    assert any(f"{MAX_NODES:,} values" in problem.message for problem in refusal_of(large).problems)
    long = {**SMALL, "components": ["x" * 4_000] * 100}
    assert any(f"{MAX_SPEC_CHARS:,} characters" in problem.message for problem in refusal_of(long).problems)


def test_the_source_is_named() -> None:
    with pytest.raises(SpecError, match=r"flags/a\.yaml: 2 problems"):
        parse_spec({}, "flags/a.yaml")
