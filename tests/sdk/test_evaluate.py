"""The order of design.md, section 9: override to control, kill, override to candidate, opt, targeting, default."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from guardian.core.override_names import override_name
from guardian.core.split import split_of
from guardian.core.words import Phase
from guardian.sdk.document import FlagDocument, parse_document
from guardian.sdk.evaluate import Answer, evaluate
from guardian.wire.flagd import flag_document
from tests.sdk.documents import FLAG, document, state, with_targeting, written

IN_FIVE_PER_CENT = next(f"u-{n}" for n in range(1_000) if split_of(FLAG, f"u-{n}") < 500)
OUT_OF_FIVE_PER_CENT = next(f"u-{n}" for n in range(1_000) if split_of(FLAG, f"u-{n}") >= 5_000)
KILLED = {"killed": True, "weight_bp": 5_000}


def ask(found: FlagDocument, key: str | None = IN_FIVE_PER_CENT, override: str = "", **attributes: Any) -> Answer:
    return evaluate(found, key, attributes, {"NEW_PRICING": override} if override else {})


def test_the_design_s_example_falls_where_it_says() -> None:
    assert ask(document(weight_bp=8_472), key="u-102938").variant == "off"
    assert ask(document(weight_bp=8_473), key="u-102938").variant == "on"


def test_a_subject_in_the_share_gets_the_candidate_and_the_others_control() -> None:
    assert ask(document())[:3] == ("on", "SPLIT", "split")
    assert ask(document(), key=OUT_OF_FIVE_PER_CENT)[:3] == ("off", "SPLIT", "split")


@pytest.mark.parametrize("key", [None, ""])
def test_nobody_in_particular_gets_control_and_does_not_count_for_the_split(key: str | None) -> None:
    assert ask(document(weight_bp=10_000), key=key)[:3] == ("off", "DEFAULT", "default")


@pytest.mark.parametrize("weight_bp", [0, 500])
def test_the_application_s_own_split_is_never_taken(weight_bp: int) -> None:
    found = document(weight_bp=weight_bp)
    assert ask(found, key=OUT_OF_FIVE_PER_CENT, guardian_split=0).variant == "off"
    assert ask(found, key=None, guardian_split=0).variant == "off"
    inside = {"<": [{"var": ["guardian_split", 10000]}, 500]}
    mixed = with_targeting({"if": [{"and": [{"var": "vip"}, inside]}, "on", "off"]})
    for key in (OUT_OF_FIVE_PER_CENT, None):
        assert ask(mixed, key=key, guardian_split=0, vip=True).variant == "off"


def test_without_targeting_everyone_gets_control() -> None:
    assert ask(document(weight_bp=0))[:3] == ("off", "STATIC", "default")


@pytest.mark.parametrize("weight_bp", [0, 500])
def test_P7_nobody_opts_in_to_what_was_rolled_back(weight_bp: int) -> None:
    back = document(phase=Phase.ROLLED_BACK, weight_bp=weight_bp)
    assert ask(back, key=OUT_OF_FIVE_PER_CENT, guardian_opt="in").variant == "off"
    assert ask(back, guardian_opt="in").variant == ("on" if weight_bp else "off"), "as the split says"
    assert ask(back, guardian_opt="out")[:3] == ("off", "TARGETING_MATCH", "opt")
    assert ask(back, key=OUT_OF_FIVE_PER_CENT, override="on")[:3] == ("on", "STATIC", "override")
    assert ask(document(), key=OUT_OF_FIVE_PER_CENT, guardian_opt="in").variant == "on"


@pytest.mark.parametrize("attributes", [{}, {"guardian_opt": "in"}])
@pytest.mark.parametrize("override", ["", "on", "true", "1"])
def test_nothing_beats_a_kill_towards_the_candidate(attributes: dict[str, str], override: str) -> None:
    assert ask(document(**KILLED), override=override, **attributes)[:3] == ("off", "STATIC", "killed")


def test_a_kill_holds_even_when_the_document_still_carries_targeting() -> None:
    targeting = {"if": [{"<": [{"var": ["guardian_split", 10000]}, 10000]}, "on", "off"]}
    assert ask(with_targeting(targeting, killed=True)).variant == "off"


@pytest.mark.parametrize("override", ["off", "false", "0", "FALSE", " off "])
def test_an_override_to_control_beats_everything(override: str) -> None:
    expected = ("off", "STATIC", "override")
    assert ask(document(weight_bp=10_000), override=override, guardian_opt="in")[:3] == expected
    assert ask(document(**KILLED), override=override)[:3] == expected


@pytest.mark.parametrize("override", ["on", "true", "1", "True"])
def test_an_override_to_the_candidate_beats_opting_out_and_the_split(override: str) -> None:
    answer = ask(document(weight_bp=0), override=override, guardian_opt="out")
    assert answer[:3] == ("on", "STATIC", "override")


@pytest.mark.parametrize("override", ["maybe", "2", "onn"])
def test_another_override_is_ignored_and_said_so(override: str) -> None:
    answer = ask(document(), override=override)
    assert answer[:3] == ("on", "SPLIT", "split")
    assert answer.override_ignored


def test_an_override_may_name_a_variant_and_the_name_comes_before_the_word() -> None:
    arms = {"control": "on", "candidate": "v2", "values": {"on": "old", "v2": "new"}}
    assert ask(document(**arms), override="on").variant == "on"
    assert ask(document(**arms), override="v2").variant == "v2"
    assert ask(document(**arms), override="true").variant == "v2"


@pytest.mark.parametrize(
    ("flag", "prefix", "name"),
    [
        ("new-pricing", "", "NEW_PRICING"),
        ("multivariate-tpe", "SCOUT", "SCOUT_MULTIVARIATE_TPE"),
        ("a.b_c", "", "A_B_C"),
        ("Use2", "X", "X_USE2"),
    ],
)
def test_an_override_is_named_by_the_prefix_and_the_flag(flag: str, prefix: str, name: str) -> None:
    assert override_name(flag, prefix) == name
    found = document(flag=flag, env_prefix=prefix, weight_bp=0)
    assert evaluate(found, "u", {}, {name: "on"}).assignment == "override"


def test_a_call_opts_in_and_out_whatever_the_split_says() -> None:
    assert ask(document(), key=OUT_OF_FIVE_PER_CENT, guardian_opt="in")[:3] == ("on", "TARGETING_MATCH", "opt")
    assert ask(document(), guardian_opt="out")[:3] == ("off", "TARGETING_MATCH", "opt")
    assert ask(document(), guardian_opt="perhaps")[:3] == ("on", "SPLIT", "split")


AUDIENCE = {
    "if": [
        {"and": [{"==": [{"var": "group"}, "internal"]}, {"<": [{"var": ["guardian_split", 10000]}, 500]}]},
        "on",
        "off",
    ]
}


def test_who_is_outside_the_audience_gets_control_and_is_told_apart_from_the_split() -> None:
    found = with_targeting(AUDIENCE)
    assert ask(found, group="internal")[:3] == ("on", "SPLIT", "split")
    assert ask(found, key=OUT_OF_FIVE_PER_CENT, group="internal")[:3] == ("off", "SPLIT", "split")
    assert ask(found, group="public")[:3] == ("off", "TARGETING_MATCH", "outside")
    assert ask(found, key=None, group="internal")[:3] == ("off", "DEFAULT", "default")


def test_who_is_allowed_gets_the_candidate_whatever_the_split() -> None:
    found = with_targeting({"if": [{"in": [{"var": "targetingKey"}, ["u-vip"]]}, "on", AUDIENCE]})
    assert ask(found, key="u-vip")[:3] == ("on", "TARGETING_MATCH", "allow")


@pytest.mark.parametrize(
    "targeting", [{"fractional": [["on", 100]]}, {"if": [True, "purple", "off"]}, {"<": [{"var": "bad"}, 1]}]
)
def test_targeting_that_cannot_be_run_gives_control_and_says_so(targeting: Any) -> None:
    answer = ask(with_targeting(targeting), bad=object())
    assert answer[:3] == ("off", "DEFAULT", "default")
    assert answer.fault


def test_a_disabled_flag_leaves_the_application_its_own_default() -> None:
    found = parse_document(FLAG, written().replace(b'"ENABLED"', b'"DISABLED"'))
    assert ask(found, override="on")[:3] == (None, "DISABLED", "default")


@pytest.mark.parametrize("weight_bp", [0, 1, 500, 5_000, 9_999, 10_000])
@pytest.mark.parametrize("killed", [False, True])
def test_flagd_s_own_evaluator_gives_the_same_variants(weight_bp: int, killed: bool) -> None:
    changes = {"weight_bp": weight_bp, "killed": killed}
    oracle = FlagdCore()
    oracle.set_flags({"flags": {FLAG: copy.deepcopy(flag_document(state(**changes)))}})
    found = document(**changes)
    for number in range(200):
        key = f"u-{number}"
        context = EvaluationContext(key, {"guardian_split": split_of(FLAG, key)})
        assert ask(found, key=key).variant == oracle.resolve_boolean_value(FLAG, False, context).variant
    assert ask(found, key=None).variant == oracle.resolve_boolean_value(FLAG, False, EvaluationContext()).variant
