"""Laws of evaluation, over any weights, subjects, documents and contexts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.errors import DecodeError
from guardian.sdk.document import parse_document
from guardian.sdk.evaluate import evaluate
from tests.sdk.documents import FLAG, document

weights = st.integers(0, 10_000)
keys = st.text(min_size=1, max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
contexts = st.dictionaries(st.text(max_size=12) | st.just("guardian_opt") | st.just("guardian_split"), json_values)


@given(weights, weights, st.lists(keys, max_size=30))
def test_a_growing_weight_only_adds_subjects_and_a_shrinking_one_only_removes(
    first: int, second: int, subjects: list[str]
) -> None:
    low, high = sorted((first, second))
    smaller, greater = (
        {key for key in subjects if evaluate(document(weight_bp=weight), key, {}, {}).variant == "on"}
        for weight in (low, high)
    )
    assert smaller <= greater


@given(weights, keys, contexts)
def test_the_context_never_moves_a_subject_in_the_split(weight: int, key: str, context: dict[str, Any]) -> None:
    context = {name: value for name, value in context.items() if name != "guardian_opt"}
    found = document(weight_bp=weight)
    assert evaluate(found, key, context, {}) == evaluate(found, key, {}, {})


documents = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["ENABLED", "DISABLED", "x"]) | json_values,
        "variants": st.just({"on": True, "off": False}) | json_values,
        "defaultVariant": st.sampled_from(["on", "off", ""]) | json_values,
        "targeting": st.builds(
            lambda op, args: {op: args}, st.sampled_from(["if", "var", "in", "<", "and"]), json_values
        )
        | json_values,
        "metadata": st.fixed_dictionaries(
            {"epoch": st.integers(0, 3) | json_values, "version": st.integers(0, 9) | json_values},
            optional={"control": json_values, "candidate": st.just("on") | json_values, "killed": json_values},
        )
        | json_values,
    },
)
envelopes = st.builds(
    lambda found: {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "metadata": {"epoch": 0, "version": 1, "control": "off", "candidate": "on"},
        **found,
    },
    documents,
)


@given(documents | envelopes | json_values, st.none() | keys, contexts)
def test_any_document_is_refused_or_evaluates_to_one_of_its_variants(
    found: Any, key: str | None, context: dict[str, Any]
) -> None:
    try:
        read = parse_document(FLAG, orjson.dumps(found))
    except DecodeError:
        return
    answer = evaluate(read, key, context, {})
    assert answer.variant is None or answer.variant in found["variants"]
    assert answer.assignment in {"default", "opt", "killed", "split", "outside", "allow"}


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_document(value: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_document(FLAG, value)
