"""The demo's facts: what counts as rolled back, and what is measured from what."""

from __future__ import annotations

import io

from rich.console import Console

from guardian.cli.demo.rollout import FLAG, demo_spec
from guardian.cli.demo.scene import Scene
from guardian.cli.demo.screen import LiveTeller, PlainTeller
from guardian.cli.shop.report import Report
from guardian.core.inputs import Actor
from guardian.core.outputs import Decision, Evidence
from guardian.core.words import Outcome, Phase, Reason
from tests.cli.samples import status

BAD_S = 1_763_700_000.0


def decision(reason: Reason, phase: Phase, weights_bp: tuple[int, int], at_ms: int, trigger: str = "") -> Decision:
    """Return a decision of guardian's own."""
    return Decision(
        id="x/1/1/1", flag=FLAG, attempt=1, at_ms=at_ms, outcome=Outcome.FAIL if trigger else Outcome.PASS,
        reason=reason, text="failing: error_count 11 > 10 in this step (n=80)", from_phase=Phase.PROGRESSING,
        phase=phase, step="", from_weight_bp=weights_bp[0], weight_bp=weights_bp[1], epoch=0, version=1, change_id="x",
        actor=Actor("guardian"), command="", command_id="", accepted=True, trigger=trigger, evidence=Evidence(),
        partition=0, offset=1,
    )  # fmt: skip


def report(**changes: object) -> Report:
    """Return a report of the shop."""
    fields: dict[str, object] = {"at_s": BAD_S, "events": 900, "failed": 0, "per_second": 400.0, "new_share": 0.25}
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


def played() -> Scene:
    """Return a scene in which the candidate went bad and was taken back."""
    scene = Scene()
    scene.decided(decision(Reason.GATES_PASSED, Phase.PROGRESSING, (1_000, 2_500), int(BAD_S * 1_000) - 5_000))
    scene.reported(report(first_failure_s=BAD_S, first_error="KeyError: 'toys'", failed=3))
    scene.decided(
        decision(Reason.TRIGGER_FIRED, Phase.ROLLED_BACK, (2_500, 0), int(BAD_S * 1_000) + 200, trigger="failing")
    )
    scene.reported(report(first_failure_s=BAD_S, flipped_s=BAD_S + 0.25, failed=14))
    return scene


def test_a_rollback_is_over_only_when_decided_and_seen_by_every_customer() -> None:
    scene = Scene()
    scene.reported(report(first_failure_s=BAD_S, failed=1))
    scene.decided(decision(Reason.TRIGGER_FIRED, Phase.ROLLED_BACK, (2_500, 0), int(BAD_S * 1_000) + 200, "failing"))
    assert not scene.is_over
    assert scene.result()["rolled_back"] is False
    assert scene.result()["bad_to_sdk_flip_ms"] is None
    scene.reported(report(first_failure_s=BAD_S, flipped_s=BAD_S + 0.25))
    assert scene.is_over


def test_times_are_measured_from_the_first_failed_request() -> None:
    result = played().result()
    assert (result["bad_to_decision_ms"], result["bad_to_sdk_flip_ms"]) == (200.0, 250.0)
    assert (result["trigger"], result["reason"], result["failed_requests"]) == ("failing", "TRIGGER_FIRED", 14)
    assert result["promotions"] == 1


def test_one_plain_sentence_says_what_happened_and_how_long_it_took() -> None:
    sentence = played().sentence()
    for words in ("25%", "KeyError: 'toys'", "200ms", "250ms", "error_count 11 > 10", "14 requests failed"):
        assert words in sentence


def test_nothing_is_said_before_it_happened() -> None:
    scene = Scene()
    assert scene.sentence() == ""
    assert scene.result()["events"] == 0
    assert scene.result()["trigger"] is None


def test_a_second_attempt_keeps_how_the_first_ended_and_ignores_late_reports_of_it() -> None:
    scene = played()
    first = scene.result()
    scene.begin_attempt()
    scene.reported(report(first_failure_s=BAD_S, flipped_s=BAD_S + 0.25, failed=14))
    assert scene.first_failure_ms == 0
    assert scene.result() == first
    assert "KeyError" in scene.sentence()


def test_the_demos_spec_is_a_right_one() -> None:
    spec, document = demo_spec()
    assert spec.flag == FLAG == document["flag"]
    assert [step.weight_bp for step in spec.steps] == [1_000, 2_500, 5_000, 10_000]


def test_the_screen_shows_what_happened_the_sdks_answer_the_ladder_and_the_decisions() -> None:
    scene = played()
    scene.status = status()
    out = io.StringIO()
    console = Console(file=out, width=150)
    teller = LiveTeller(console, scene, "guardian demo")
    teller.say("the shop is open")
    console.print(teller.live.get_renderable())
    text = out.getvalue()
    for words in (
        "every customer had the old price again",
        "25% of the customers, says the SDK",
        "▶  early",
        "TRIGGER_FIRED",
        "the shop is open",
    ):
        assert words in text


def test_without_a_terminal_the_story_is_told_in_plain_lines() -> None:
    scene = Scene()
    out = io.StringIO()
    PlainTeller(Console(file=out, width=200), scene).say("[red]the shop[/] is open")
    assert out.getvalue().endswith("s  [red]the shop[/] is open\n")
