"""Targeting rules mean what flagd's reference evaluator means, and are bounded."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_logic import jsonLogic  # type: ignore[import-untyped]

from guardian.sdk.rules import ANYTHING, MAX_DEPTH, RuleError, compile_rule

CONTEXT = {
    "guardian_split": 4242,
    "country": "se",
    "plan": "gold",
    "age": 30,
    "tags": ["beta", "staff"],
    "user": {"name": "ada", "roles": ["admin"]},
    "empty": "",
    "zero": 0,
    "nothing": None,
    "yes": True,
}

RULES: list[Any] = [
    {"if": [{"<": [{"var": ["guardian_split", 10000]}, 500]}, "on", "off"]},
    {"if": [{"<": [{"var": ["guardian_split", 10000]}, 5000]}, "on", "off"]},
    {"if": [{"<": [{"var": ["absent", 10000]}, 5000]}, "on", "off"]},
    {"if": [{"==": [{"var": "country"}, "se"]}, "a", {">": [{"var": "age"}, 20]}, "b", "c"]},
    {"if": [{"==": [{"var": "country"}, "no"]}, "a", {">": [{"var": "age"}, 20]}, "b", "c"]},
    {"if": [False, "a"]},
    {"if": []},
    {"if": ["only"]},
    {"and": [{"var": "country"}, {"<=": [18, {"var": "age"}, 65]}]},
    {"and": [{"var": "empty"}, "never"]},
    {"and": []},
    {"or": [{"var": "empty"}, {"var": "zero"}, "last"]},
    {"or": [{"var": "empty"}, {"var": "zero"}]},
    {"!": {"var": "nothing"}},
    {"!": [{"var": "tags"}]},
    {"!!": {"var": "tags"}},
    {"in": [{"var": "country"}, ["se", "no"]]},
    {"in": [{"var": "country"}, "sesame"]},
    {"in": [{"var": "absent"}, ["se"]]},
    {"in": [{"var": "age"}, ["se", 30]]},
    {"in": ["staff", {"var": "tags"}]},
    {"in": ["x", {"var": "nothing"}]},
    {"var": "user.name"},
    {"var": "user.roles.0"},
    {"var": "user.roles.7"},
    {"var": "user.roles.01"},
    {"var": ["user.absent.deep", "default"]},
    {"var": "tags.length"},
    {"var": {"if": [{"var": "yes"}, "country", "plan"]}},
    {"==": [1, "1"]},
    {"==": [True, 1]},
    {"==": [None, 0]},
    {"==": [{"var": "absent"}, None]},
    {"===": [1, "1"]},
    {"!==": ["a", "a"]},
    {"!=": ["a", "b"]},
    {">=": ["abc", "abd"]},
    {">": [{"var": "country"}, 5]},
    {"<": [{"var": "absent"}, 5]},
    {"<": ["3", 5]},
    {"<": [{"var": "tags"}, 5]},
    ["a", {"var": "plan"}],
    {"two": 1, "keys": 2},
    "on",
    True,
    None,
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_means_what_the_reference_means(rule: Any) -> None:
    assert compile_rule(rule).run(CONTEXT) == jsonLogic(rule, CONTEXT)


scalars = st.none() | st.booleans() | st.integers(-50, 50) | st.sampled_from(["", "a", "b", "10", "-3.5", "x1", "nan"])
names = st.sampled_from(["guardian_split", "country", "plan", "age", "tags", "absent", "user.name", "zero", "yes"])


def _compound(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(parts, min_size=2, max_size=3)
    comparison = st.sampled_from(["<", "<=", ">", ">=", "!=", "==", "===", "!==", "in"])
    return st.one_of(
        st.builds(lambda op, args: {op: args[:2]}, comparison, some),
        st.builds(lambda op, args: {op: args}, st.sampled_from(["and", "or", "if"]), some),
        st.builds(lambda arg: {"!": arg}, parts.filter(lambda part: not isinstance(part, list))),
    )


rules = st.recursive(scalars | st.builds(lambda name: {"var": name}, names), _compound, max_leaves=12)


@given(rules)
def test_any_rule_means_what_the_reference_means(rule: Any) -> None:
    try:
        expected = jsonLogic(rule, CONTEXT)
    except TypeError:
        return  # the reference gives up on comparing a list with null
    found = compile_rule(rule).run(CONTEXT)
    both_nan = isinstance(found, float) and isinstance(expected, float) and math.isnan(found) and math.isnan(expected)
    assert found == expected or both_nan


def test_a_rule_tells_which_attributes_it_reads() -> None:
    rule = {"and": [{"<": [{"var": ["guardian_split", 10000]}, 5]}, {"==": [{"var": "user.plan"}, "gold"]}]}
    assert compile_rule(rule).variables == {"guardian_split", "user"}
    assert compile_rule({"var": {"var": "x"}}).variables == {ANYTHING, "x"}


@pytest.mark.parametrize("rule", [{"fractional": [["a", 50]]}, {"if": [{"sem_ver": ["1", ">", "2"]}, "a", "b"]}])
def test_an_unknown_operator_is_found_before_the_rule_is_run(rule: Any) -> None:
    with pytest.raises(RuleError, match="not known"):
        compile_rule(rule)


def test_nesting_is_bounded() -> None:
    rule: Any = True
    for _ in range(MAX_DEPTH + 2):
        rule = {"!": [rule]}
    with pytest.raises(RuleError, match="nested"):
        compile_rule(rule)


def test_size_is_bounded_and_a_long_deny_list_fits() -> None:
    subjects = [f"u-{number}" for number in range(1_000)]
    rule = compile_rule({"in": [{"var": "targetingKey"}, subjects]})
    assert rule.run({"targetingKey": "u-999"}) is True
    assert rule.run({"targetingKey": "u-1000"}) is False
    assert rule.run({"targetingKey": ["u-1"]}) is False
    with pytest.raises(RuleError, match="parts"):
        compile_rule({"or": [{"var": "a"}] * 30_000})
