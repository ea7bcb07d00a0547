"""`guardian explain`: the rule, the numbers on both sides, what it would have taken, and the way out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardian.cli.explaining import Explanation, explain
from guardian.cli.reasons import MEANINGS
from guardian.core.inputs import Actor
from guardian.core.outputs import Decision, Evidence
from guardian.core.words import Outcome, Phase, Reason
from guardian.spec.load import load_spec
from tests.cli.samples import AT_MS, flag_state, status
from tests.cli.servers import SPEC, Server, apply

RULES = """\
flag: new-pricing
steps:
  - {name: canary, weight: 5%, bake: 1h, gates: ["error_rate < 1%"]}
  - {name: full, weight: 100%, bake: 1h}
triggers:
  - {name: errors, when: "error_rate > 5% over 1 minute for 5 minutes", do: rollback, tell: on-call}
  - {name: slow, when: "p99_latency > 2x control over 1 minute", do: rollback}
"""
SPEC_NOW, _ = load_spec(RULES, "rules")
ERRORS = Evidence(
    metric="error_rate", value=0.073, limit=0.05, op=">", n=4_120, needed=100,
    window_start_ms=AT_MS - 60_000, window_end_ms=AT_MS, held_ms=300_000, hold_ms=300_000, partition=3, offset=77,
)  # fmt: skip


def decision(**changes: Any) -> Decision:
    """Return a rollback of a fired trigger; `changes` are fields that differ."""
    made = Decision(
        id="new-pricing/1/77/1", flag="new-pricing", attempt=1, at_ms=AT_MS, outcome=Outcome.FAIL,
        reason=Reason.TRIGGER_FIRED, text="errors: error_rate 7.3% > 5% for 5m", from_phase=Phase.PROGRESSING,
        phase=Phase.ROLLED_BACK, step="", from_weight_bp=500, weight_bp=0, epoch=0, version=AT_MS, change_id="c",
        actor=Actor("guardian", "guardian"), command="", command_id="", accepted=True, trigger="errors",
        evidence=ERRORS, partition=3, offset=78,
    )  # fmt: skip
    return replace(made, **changes)


def explained(**changes: Any) -> Explanation:
    """Explain such a decision, with the rollout rolled back."""
    now = status(flag_state(phase=Phase.ROLLED_BACK), missing=["a person to resolve the rollback"])
    return explain(decision(**changes), SPEC_NOW, now, "guardian.inputs")


def test_every_reason_is_a_sentence() -> None:
    assert set(MEANINGS) == set(Reason)
    assert all(meaning and meaning[0].islower() and not meaning.endswith(".") for meaning in MEANINGS.values())


def test_a_fired_trigger_is_explained_with_its_rule_and_both_numbers() -> None:
    one = explained()
    facts = dict(one.evidence)
    assert one.rule == "error_rate > 5% over 1 minute for 5 minutes"
    assert "roll back to 0%" in one.rule_meaning
    assert "throughout 5m" in one.rule_meaning
    assert facts["found"] == "error_rate: 7.3%"
    assert facts["limit"] == "above 5%"
    assert facts["n"] == "4,120 (100 needed)"
    assert facts["window"] == "2025-11-21 04:39:00Z to 2025-11-21 04:40:00Z, 1m of event time"
    assert facts["held"] == "5m of 5m"
    assert facts["input"] == "guardian.inputs, partition 3, offset 77"


def test_what_would_have_had_to_be_different_is_said_with_numbers() -> None:
    assert explained().otherwise == [
        "with error_rate at most 5% the trigger would not have fired; it was 7.3%",
        "had it been over before 5m had passed, the trigger would not have fired; it had lasted 5m",
        "with fewer than 100 requests nothing would have been judged",
    ]


def test_a_comparison_is_explained_with_both_arms() -> None:
    found = replace(
        ERRORS, metric="p99_latency", value=420.0, limit=2.0, reference=180.0, reference_n=9_000, against="control",
        held_ms=0, hold_ms=0,
    )  # fmt: skip
    one = explained(trigger="slow", evidence=found)
    facts = dict(one.evidence)
    assert facts["limit"] == "above 360ms (2x control 180ms)"
    assert facts["n"] == "4,120, 9,000 of control (100 needed)"
    assert "with control itself at 210ms or more the trigger would not have fired; it was at 180ms" in one.otherwise


def test_a_gate_that_waits_is_explained_by_what_it_still_needs() -> None:
    waiting = replace(ERRORS, value=0.02, limit=0.01, op="<", n=120, needed=300, held_ms=0, hold_ms=0)
    one = explained(
        trigger="", outcome=Outcome.INCONCLUSIVE, reason=Reason.GATE_WAITING, phase=Phase.PROGRESSING, evidence=waiting
    )
    assert one.rule == "error_rate < 1%"
    assert "go on when" in one.rule_meaning
    assert one.otherwise == ["180 more requests to judge by", "error_rate below 1%; it was 2%"]
    blind = explained(trigger="", outcome=Outcome.INCONCLUSIVE, reason=Reason.GATE_WAITING,
                      evidence=replace(waiting, value=None, n=0, needed=0))  # fmt: skip
    assert blind.otherwise == ["any data on error_rate"]


def test_gates_that_passed_are_explained_by_what_would_have_held_them_up() -> None:
    passed = replace(ERRORS, value=0.002, limit=0.01, op="<", held_ms=0, hold_ms=0, needed=0)
    one = explained(trigger="", outcome=Outcome.PASS, reason=Reason.GATES_PASSED, evidence=passed)
    assert one.otherwise == ["with error_rate at least 1% the gate would not have passed; it was 0.2%"]


def test_a_rule_that_the_spec_has_no_more_is_said_so_and_its_numbers_stay() -> None:
    one = explained(trigger="gone")
    assert one.rule == ""
    assert "changed since" in one.notes[0]
    assert dict(one.evidence)["found"] == "error_rate: 7.3%"


def test_without_evidence_the_input_record_is_that_of_the_decision() -> None:
    one = explained(trigger="", reason=Reason.BAKING, evidence=Evidence())
    assert one.evidence == [("input", "guardian.inputs, partition 3, offset 78")]


@pytest.mark.parametrize(
    ("reason", "command", "words"),
    [
        (Reason.REFUSED_PHASE, "promote", "guardian start new-pricing, guardian archive new-pricing"),
        (Reason.REFUSED_UNKNOWN_FLAG, "start", "guardian init new-pricing"),
        (Reason.REFUSED_SPEC, "apply", "guardian check"),
        (Reason.REFUSED_CHANGE, "apply", "guardian rollback new-pricing"),
        (Reason.REFUSED_WAIT, "start", "missing now: a person to resolve the rollback"),
        (Reason.REFUSED_TARGET, "rollback", "--to zero"),
    ],
)
def test_every_refusal_has_a_way_out(reason: Reason, command: str, words: str) -> None:
    one = explained(reason=reason, outcome=Outcome.ERROR, command=command, accepted=False, evidence=Evidence())
    assert any(words in way for way in one.way_out), one.way_out
    assert one.otherwise == []


def test_a_rollback_by_real_errors_is_explained_from_the_log(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "explained")
    assert server.guardian("start", "explained").exit_code == 0
    version = server.json("status", "explained")["state"]["version"]
    event = {"ts": time.time(), "flag": "explained", "variant": "on", "outcome": "error", "flag_version": version}
    lines = "".join(json.dumps({**event, "assignment": "split", "subject": str(number)}) + "\n" for number in range(20))
    assert server.guardian("send", "-", stdin=lines).exit_code == 0
    back = server.guardian("tail", "rollbacks", "--flag", "explained", "--from-beginning", "--limit", "1")
    assert back.exit_code == 0
    page = server.guardian("explain", "explained").stdout
    for words in ("TRIGGER_FIRED", "error_count > 5 per step", "above 5", "would not have fired", "guardian resolve"):
        assert words in page, page
    (told,) = server.json("explain", "explained")["explanations"]
    assert told["decision"]["trigger"] == "errors"
    assert "guardian.inputs" in told["evidence"]["input"]
    assert server.guardian("bug", "explained", "--reason", "prices are odd").exit_code == 0
    (still,) = server.json("explain", "explained")["explanations"]
    assert still == told, "what was only told since does not hide why it stands there"
    (last,) = server.json("explain", "explained", "--last", "1")["explanations"]
    assert last["decision"]["reason"] == "REPORTED"
    same = server.json("explain", "explained", "--decision", told["decision"]["id"])["explanations"]
    assert same == [told]
    assert len(server.json("explain", "explained", "--last", "3")["explanations"]) == 3


def test_a_kill_is_explained_by_who_did_it_and_what_everybody_has_now(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "night")
    assert server.guardian("start", "night").exit_code == 0
    assert server.guardian("kill", "night", "--reason", "prices look odd").exit_code == 0
    said = server.guardian(
        "tail", "decisions", "--flag", "night", "--reason", "KILLED", "--from-beginning", "--limit", "2"
    )
    assert "free it with unkill" in said.stdout, "guardian's own word of it comes after the person's"
    page = server.guardian("explain", "night").stdout
    assert "control for everybody, 5% once it is freed" in page
    assert "prices look odd" in page


def test_a_rule_is_not_passed_off_for_that_of_then_when_the_spec_was_applied_anew(
    server: Server, tmp_path: Path
) -> None:
    bugs = 'triggers:\n  - {{name: bugs, when: "a critical bug is reported", do: rollback}}'
    apply(server, tmp_path, "renewed", SPEC.replace("triggers:", bugs))
    assert server.guardian("start", "renewed").exit_code == 0
    assert server.guardian("bug", "renewed").exit_code == 0
    fired = server.json("explain", "renewed")["explanations"][0]["decision"]["id"]
    apply(server, tmp_path, "renewed", SPEC.replace("triggers:", bugs).replace("bake: 1h", "bake: 2h"))
    again = server.guardian("explain", "renewed", "--decision", fired)
    assert "applied anew since" in again.stderr


def test_what_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "quiet-one")
    unknown = server.guardian("explain", "quiet-one", "--decision", "quiet-one/9/9/9")
    assert unknown.exit_code == 1
    assert "tail decisions" in unknown.stderr
    assert server.guardian("explain", "nobody-explains-this").exit_code == 1
    assert server.guardian("explain", "quiet-one", "--decision", "x", "--last", "2").exit_code == 2
