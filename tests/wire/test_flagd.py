"""A flag's document means to a flagd reader what it means to guardian; flagd-core is the judge."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from guardian.core.outputs import FlagChange, FlagState
from guardian.core.split import split_of
from guardian.core.words import Phase, Reason
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.flagd import document_state, flag_document
from guardian.wire.outputs import encode_output
from tests.wire.samples import flag_state


def served(state: FlagState, split: int | None) -> bool:
    """What flagd-core serves to a subject with that split, from the very bytes that guardian writes."""
    core = FlagdCore()
    core.set_flags(json.dumps({"flags": {state.flag: json.loads(encode_output(FlagChange(state)).value)}}))
    context = EvaluationContext("u-1", {} if split is None else {"guardian_split": split})
    details = core.resolve_boolean_value(state.flag, True, context)
    assert details.variant in {state.control, state.candidate}
    return details.value


def test_the_value_on_the_topic_is_exactly_the_agreed_one() -> None:
    state = flag_state(change_id="..")
    assert encode_output(FlagChange(state)).value.decode() == (
        '{"state":"ENABLED","variants":{"off":false,"on":true},"defaultVariant":"off",'
        '"targeting":{"if":[{"<":[{"var":["guardian_split",10000]},500]},"on","off"]},'
        '"metadata":{"epoch":0,"version":1763699000456,"change_id":"..","changed_ms":1763699000456,"attempt":1,'
        '"phase":"progressing","step":"canary","weight_bp":500,"control":"off","candidate":"on","salt":"new-pricing",'
        '"killed":false,"env_prefix":"","reason":"STARTED"}}'
    )


@pytest.mark.parametrize(
    ("weight_bp", "split", "candidate"),
    [(1, 0, True), (1, 1, False), (500, 499, True), (500, 500, False), (9_999, 9_998, True), (9_999, 9_999, False)],
)
def test_a_subject_is_in_when_its_split_is_below_the_weight(weight_bp: int, split: int, candidate: bool) -> None:
    assert served(flag_state(weight_bp=weight_bp), split) is candidate


@pytest.mark.parametrize("split", [0, 5_000, 9_999])
def test_at_100_per_cent_every_subject_is_in(split: int) -> None:
    assert served(flag_state(weight_bp=10_000), split) is True


@pytest.mark.parametrize("weight_bp", [1, 500, 10_000])
def test_without_a_split_everyone_gets_control(weight_bp: int) -> None:
    assert served(flag_state(weight_bp=weight_bp), None) is False


@pytest.mark.parametrize("split", [None, 0, 9_999])
def test_at_zero_and_killed_everyone_gets_control_and_never_the_codes_default(split: int | None) -> None:
    # The code's default in `served` is True: a DISABLED flag would give it.
    assert served(flag_state(weight_bp=0, phase=Phase.ROLLED_BACK), split) is False
    assert served(flag_state(weight_bp=5_000, killed=True, reason=Reason.KILLED), split) is False


def test_at_zero_and_killed_there_is_no_targeting_and_the_flag_stays_enabled() -> None:
    for state in (flag_state(weight_bp=0), flag_state(killed=True)):
        document = flag_document(state)
        assert "targeting" not in document
        assert (document["state"], document["defaultVariant"]) == ("ENABLED", "off")


@given(st.text(max_size=40), st.integers(0, 10_000))
def test_flagd_agrees_with_the_split_for_any_subject(subject: str, weight_bp: int) -> None:
    split = split_of("new-pricing", subject)
    assert served(flag_state(weight_bp=weight_bp), split) is (split < weight_bp)


names = st.sampled_from(["on", "off", "new", "größe", "a.b-c_1"])
values = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=10))


@given(
    arms=st.lists(names, min_size=2, max_size=2, unique=True),
    pair=st.tuples(values, values),
    weight_bp=st.integers(0, 10_000),
    killed=st.booleans(),
    phase=st.sampled_from(Phase),
    reason=st.sampled_from(Reason),
    version=st.integers(0, 2**53),
    dual_run_bp=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_a_state_comes_back_from_its_document(arms, pair, **changes) -> None:
    state = flag_state(control=arms[0], candidate=arms[1], values=dict(zip(arms, pair, strict=True)), **changes)
    document = json.loads(encode_output(FlagChange(state)).value)
    assert document_state(state.flag, document) == state


def test_a_word_more_in_the_metadata_of_a_later_version_is_left_alone() -> None:
    state = flag_state()
    document = flag_document(state)
    document["metadata"]["audience"] = "internal"
    assert document_state(state.flag, document) == state


def test_metadata_is_flat_scalars_only() -> None:
    for share_bp in (None, 2_000):
        metadata = flag_document(flag_state(dual_run_bp=share_bp))["metadata"]
        assert {type(value) for value in metadata.values()} == {int, str, bool}
        assert ("dual_run_bp" in metadata) is (share_bp is not None)


def test_the_share_for_whom_both_run_stands_in_the_metadata_that_a_flagd_reader_hands_on() -> None:
    state = flag_state(weight_bp=0, dual_run_bp=2_000)
    core = FlagdCore()
    core.set_flags(json.dumps({"flags": {state.flag: flag_document(state)}}))
    details = core.resolve_boolean_value(state.flag, True, EvaluationContext("u-1"))
    assert (details.value, details.flag_metadata["dual_run_bp"]) == (False, 2_000)


def test_a_document_whose_targeting_contradicts_its_metadata_is_refused() -> None:
    document = flag_document(flag_state())
    document["metadata"]["weight_bp"] = 400
    with pytest.raises(DecodeError) as caught:
        document_state("new-pricing", document)
    assert caught.value.reason is DecodeReason.BAD_VALUE
