"""What a person sees of a rollout."""

from __future__ import annotations

import io
import re

from msgspec.structs import replace
from rich.console import Console, RenderableType
from rich.text import Text

from guardian.cli.asking import decision_line
from guardian.cli.door import Said, Topic
from guardian.cli.sayings import read
from guardian.cli.views import decision_moved, list_table, status_line, status_page, time_text
from guardian.core.outputs import Alert, FlagChange, Rollback, StepStatus
from guardian.core.words import Outcome, Phase, Reason
from guardian.wire.outputs import encode_output
from tests.cli.samples import AT_MS, flag_state, status
from tests.wire.samples import DECISION, ROLLBACK, alert


def shown(page: RenderableType, width: int = 200) -> str:
    """Return what a page looks like without colours."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(page)
    return out.getvalue()


def test_status_says_why_it_stands_there_and_what_is_missing() -> None:
    text = shown(status_page(status()))
    assert "INCONCLUSIVE BAKING: 1h of the bake of 4h is over" in text
    assert "trigger slow is close to firing" in text


def test_status_shows_the_ladder_with_weights_and_the_progress_of_the_bake() -> None:
    lines = shown(status_page(status())).splitlines()
    assert any("✓" in line and "canary" in line and "5%" in line for line in lines)
    assert any("▶" in line and "early" in line and "25%" in line and "1h of 4h" in line for line in lines)
    assert any("·" in line and "full" in line and "100%" in line and "bake 1d" in line for line in lines)


def test_status_shows_gates_and_triggers_with_both_numbers() -> None:
    text = shown(status_page(status()))
    assert "error_rate 0.02% < 0.1% in this step (n=4,120)" in text
    assert "p99_latency 310ms > 300ms for 2m of 5m (n=900)" in text


def test_status_shows_control_before_the_candidate_with_rates_and_percentiles() -> None:
    lines = shown(status_page(status())).splitlines()
    rows = [line for line in lines if "(control)" in line or "(candidate)" in line]
    assert "off (control)" in rows[0]
    assert "12,300" in rows[0]
    assert "on (candidate)" in rows[1]
    assert "0.0243%" in rows[1]
    assert "310ms" in rows[1]


def test_status_shows_attempt_version_and_how_fresh_the_evidence_is() -> None:
    text = shown(status_page(status()))
    assert "attempt 1" in text
    assert f"flag version {AT_MS}" in text
    assert "watermark lag 2.1s" in text
    assert "late 3" in text
    assert "17 decided by an older flag version" in text


def test_status_says_so_when_guardian_is_blind() -> None:
    assert "guardian is blind" in shown(status_page(status(lag_ms=-1)))


def test_status_shows_the_kill_switch_beside_the_phase() -> None:
    page = shown(status_page(status(flag_state(killed=True))))
    assert "progressing KILLED  step early, 0% on (25% once it is freed)" in page


def test_the_list_shows_what_is_served_and_not_what_comes_back_after_a_kill() -> None:
    line = shown(list_table([status(flag_state(killed=True))])).splitlines()[1]
    assert "0%" in line.split()
    assert "25%" not in line


def test_a_rollout_without_any_evidence_yet_is_shown_without_gaps() -> None:
    draft = flag_state(phase=Phase.DRAFT, step="", weight_bp=0, attempt=0)
    text = shown(status_page(status(draft, figures={}, gates=[], triggers=[], missing=[], watermark_ms=0, text="")))
    assert "draft" in text
    assert "nothing" in text


def test_names_with_brackets_are_shown_as_they_are() -> None:
    text = shown(status_page(status(owner="[red]team[/]", missing=["[bold]x[/]"])))
    assert "[red]team[/]" in text
    assert "[bold]x[/]" in text


def test_the_list_has_one_line_per_rollout_with_weight_and_reason() -> None:
    back = status(
        flag_state(flag="slow-search", phase=Phase.ROLLED_BACK, weight_bp=0, step=""),
        outcome=Outcome.FAIL,
        reason=Reason.TRIGGER_FIRED,
        text="errors: error_rate 7.3% > 5% for 5m (n=4,120)",
    )
    lines = shown(list_table([status(), back])).splitlines()
    assert len(lines) == 3
    assert "new-pricing" in lines[1]
    assert "25%" in lines[1]
    assert "TRIGGER_FIRED: errors: error_rate 7.3% > 5% for 5m (n=4,120)" in lines[2]


SHADOW = flag_state(flag="new-shipping", step="shadow", weight_bp=0, dual_run_bp=2_000)


def test_for_how_many_both_run_stands_beside_the_weight_wherever_it_is_shown() -> None:
    steps = [StepStatus("shadow", 0, 3_600_000, "current", 2_000), StepStatus("full", 10_000, 86_400_000, "ahead", 0)]
    lines = shown(status_page(status(SHADOW, steps=steps))).splitlines()
    assert "step shadow, 0% on, both run for 20%" in lines[0]
    assert any("shadow" in line and line.rstrip().endswith("1h of 4h, both run for 20%") for line in lines)
    assert not any("full" in line and "both run" in line for line in lines)
    assert " shadow, 0%, both run for 20%: BAKING" in status_line(status(SHADOW)).plain


def test_the_list_has_a_column_for_dual_runs_when_there_are_any() -> None:
    both, plain = shown(list_table([status(), status(SHADOW)])), shown(list_table([status()]))
    assert re.search(r"new-pricing +progressing +early +25% +0% ", both)
    assert re.search(r"new-shipping +progressing +shadow +0% +20% ", both)
    assert "BOTH RUN" in both
    assert "BOTH RUN" not in plain


def test_a_step_back_from_a_dual_run_says_that_it_ended() -> None:
    moved = replace(
        DECISION, from_weight_bp=0, from_dual_run_bp=2_000, weight_bp=0, dual_run_bp=0, command="rollback"
    )  # fmt: skip
    assert decision_moved(moved) == "0%, both run for 20% -> 0%"
    assert decision_moved(replace(moved, dual_run_bp=2_000)) == "0%, both run for 20%"
    assert decision_moved(replace(moved, from_dual_run_bp=None)) == "0%", "nothing that a reader sees has moved"
    assert decision_line(replace(moved, dual_run_bp=2_000)).endswith(" at canary, 0%, both run for 20%]")
    for topic, output, told in (
        (Topic.DECISIONS, moved, "[rolled_back, 0%, both run for 20% -> 0%]"),
        (Topic.ROLLBACKS, replace(ROLLBACK, from_weight_bp=0, from_dual_run_bp=2_000), " 0%, both run for 20% -> 0%: "),
        (Topic.FLAGS, FlagChange(SHADOW), "on 0%, both run for 20%, progressing shadow, "),
    ):
        message = encode_output(output)
        line = read(topic, Said(message.key.decode(), message.value))
        assert line is not None
        assert told in Text.from_markup(line.markup).plain


def told(topic: Topic, output: Rollback | Alert) -> str:
    """Return the line of one record."""
    message = encode_output(output)
    line = read(topic, Said(message.key.decode(), message.value))
    assert line is not None
    return Text.from_markup(line.markup).plain


def test_a_kill_is_told_as_a_way_to_nothing_though_the_rollout_keeps_its_weight() -> None:
    killed = replace(ROLLBACK, reason=Reason.KILLED, from_weight_bp=5_000, to_weight_bp=5_000)
    assert told(Topic.ROLLBACKS, killed).startswith("KILLED 50% -> 0%: ")


def test_what_was_done_is_told_with_an_alert_and_not_with_its_end() -> None:
    fired = alert(tell="on-call")
    assert told(Topic.ALERTS, fired).endswith(f", {fired.do} (tell on-call)")
    over = replace(fired, active=False, text="resolved by anna: mended")
    assert told(Topic.ALERTS, over) == f"over {fired.trigger}: resolved by anna: mended"


def test_a_narrow_list_leaves_out_the_owner_and_keeps_the_reason() -> None:
    text = shown(list_table([status()], wide=False), width=80)
    assert "BAKING" in text
    assert "25%" in text
    assert "checkout-team" not in text


def test_what_a_person_did_is_shown_in_that_persons_words() -> None:
    started = status(outcome=Outcome.PASS, reason=Reason.STARTED, text="started by ada: go", missing=["1h of the bake"])
    assert "STARTED: started by ada: go" in shown(status_page(started))


def test_times_are_utc_and_none_is_a_dash() -> None:
    assert time_text(AT_MS) == "2025-11-21 04:40:00Z"
    assert time_text(0) == "-"
