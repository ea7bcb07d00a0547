"""A rollout's status as a person reads it: where it stands, why, and what is missing to move on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from guardian.cli.screen import one_line
from guardian.core.outputs import Decision, Figures, Lost, RolloutStatus, RuleStatus, StepStatus
from guardian.core.recipients import recipients
from guardian.core.rollout import METRICS, Unit
from guardian.core.samples import samples_text
from guardian.core.text import (
    count_text,
    dual_run_text,
    duration_text,
    lost_text,
    moved_text,
    number_text,
    rate_text,
    served_text,
    serving_text,
    value_text,
    weight_text,
)
from guardian.core.words import Outcome, Phase, Reason
from guardian.wire.cloudevents import MAX_TIME_MS

_BAR_CELLS = 20
_PHASE_COLOURS = {
    Phase.DRAFT: "dim",
    Phase.PROGRESSING: "green",
    Phase.WAITING: "yellow",
    Phase.PAUSED: "yellow",
    Phase.ROLLING_BACK: "red",
    Phase.ROLLED_BACK: "red",
    Phase.COMPLETED: "blue",
    Phase.ARCHIVED: "dim",
}
_OUTCOME_COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.ERROR: "bold red",
}


UNJUDGED = frozenset({Reason.KILLED, Reason.FREED, Reason.OPERATOR, Reason.EMERGENCY, Reason.APPLIED, Reason.STARTED})
"""Reasons of what a person has done."""


def time_text(at_ms: int) -> str:
    """Return a moment as UTC to the second, `2026-11-21 13:04:05Z`; `-` for none.

    Args:
        at_ms: Unix milliseconds, 0 for none; a moment that no calendar has is shown as the number.
    """
    if at_ms <= 0:
        return "-"
    if at_ms > MAX_TIME_MS:
        return f"{at_ms}ms"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def decision_moved(decision: Decision) -> str:
    """Return where a decision has moved weight and dual runs, or where they stand."""
    before = decision.from_weight_bp, decision.from_dual_run_bp
    return moved_text(before, (decision.weight_bp, decision.dual_run_bp))


def list_table(statuses: Collection[RolloutStatus], *, wide: bool = True) -> Table:
    """Return every rollout in one line each.

    Args:
        statuses: what is shown; that both run has a column of its own when they do for somebody.
        wide: false leaves out the columns that a narrow terminal has no room for, so that it keeps the last: why.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    extra = ("ATTEMPT", "SINCE", "OWNER") if wide else ()
    with_both = any(status.state.dual_run_bp for status in statuses)
    for column in ("FLAG", "PHASE", "STEP", "WEIGHT", *(("BOTH RUN",) if with_both else ()), *extra, "WHY"):
        table.add_column(
            column,
            justify="right" if column in ("WEIGHT", "BOTH RUN", "ATTEMPT") else "left",
            no_wrap=column != "WHY",
            overflow="fold" if column == "FLAG" else "ellipsis",
        )
    for status in statuses:
        state = status.state
        more = (str(state.attempt), time_text(status.since_ms), escape(status.owner) or "-") if wide else ()
        served = weight_text(0 if state.killed else state.weight_bp)
        where = (escape(state.flag), phase_text(status), escape(state.step) or "-", served)
        both = (weight_text(state.dual_run_bp or 0),) if with_both else ()
        table.add_row(*where, *both, *more, why_text(status))
    return table


def phase_text(status: RolloutStatus) -> Text:
    """Return the phase in its colour, and the kill switch that stands over it."""
    text = Text(str(status.state.phase), style=_PHASE_COLOURS.get(status.state.phase, ""))
    if status.state.killed:
        text.append(" KILLED", style="bold red")
    return text


def why_text(status: RolloutStatus) -> Text:
    """Return reason and text in one line."""
    text = Text(str(status.reason), style=_style_of(status))
    if status.text:
        text.append(f": {one_line(status.text)}", style="default")
    return text


def verdict_word(status: RolloutStatus) -> str:
    """Return `PASS ` and the like, empty for what a person has done: nothing was judged by that."""
    return "" if status.reason in UNJUDGED else f"{status.outcome} "


def _style_of(status: RolloutStatus) -> str:
    """Green for what has passed; a kill is red, and what else a person has done has no colour of a verdict."""
    if status.reason in UNJUDGED:
        return "bold red" if status.state.killed else "bold"
    return _OUTCOME_COLOURS.get(status.outcome, "")


def judged_text(status: RolloutStatus) -> str:
    """Return the numbers of the decision by which the rollout stands; empty when it rests on none."""
    found = status.evidence
    if not found.metric or found.value is None:
        return ""
    metric = METRICS.get(found.metric)
    parts = [f"{found.metric} {value_text(metric.unit, found.value) if metric else number_text(found.value)}"]
    parts.append(f"n={count_text(found.n)}")
    if found.reference is not None:
        shown = value_text(metric.unit, found.reference) if metric else number_text(found.reference)
        parts.append(f"{found.against or 'reference'} {shown} (n={count_text(found.reference_n)})")
    if found.window_start_ms:
        parts.append(f"{time_text(found.window_start_ms)} to {time_text(found.window_end_ms)}")
    return ", ".join([*([f"by {status.trigger}"] if status.trigger else []), *parts])


def samples_lines(status: RolloutStatus) -> list[str]:
    """Return which errors there were, a line for each variant and one for the last rollback."""
    lines = [f"{variant}: {samples_text(found)}" for variant, found in sorted(status.samples.items())]
    if status.rollback_samples:
        lines.append(f"{status.state.candidate} before the last rollback: {samples_text(status.rollback_samples)}")
    return lines


def status_line(status: RolloutStatus) -> Text:
    """Return one rollout as one line, with the time it speaks of in front."""
    state = status.state
    line = Text.assemble((f"{time_text(status.updated_ms)} ", "dim"), (state.flag, "bold"), " ", phase_text(status))
    line.append(f" {state.step or '-'}, {serving_text(state.weight_bp, state.dual_run_bp)}: ")
    return line.append_text(why_text(status))


def status_page(status: RolloutStatus) -> RenderableType:
    """Return everything about one rollout."""
    state = status.state
    head = Text.assemble((state.flag, "bold"), "  ", phase_text(status))
    head.append(
        f"  step {state.step or '-'}, {served_text(state.weight_bp, state.candidate, killed=state.killed)}"
        + dual_run_text(state.dual_run_bp)
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    facts.add_row("why", Group(Text.assemble((verdict_word(status), _style_of(status)), why_text(status))))
    if judged := judged_text(status):
        facts.add_row("judged", Text(judged))
    facts.add_row("served", Text(recipients(state), style="yellow" if state.phase is Phase.ROLLED_BACK else ""))
    facts.add_row("missing", Text("\n".join(status.missing) or "nothing", style="" if status.missing else "dim"))
    facts.add_row("ladder", ladder(status))
    if status.gates:
        facts.add_row("gates", rules(status.gates))
    if status.triggers:
        facts.add_row("triggers", rules(status.triggers))
    facts.add_row("figures", figures(status))
    if lines := samples_lines(status):
        facts.add_row("errors", Text("\n".join(lines)))
    if status.behind_count or status.unknown_count:
        facts.add_row("not following", Text("\n".join(not_following(status)), style="yellow"))
    if status.lost:
        facts.add_row("lost", Text("\n".join(map(loss_text, status.lost)), style="yellow"))
    facts.add_row("evidence", Text(evidence_text(status)))
    facts.add_row("run", Text(run_text(status)))
    return Group(head, facts)


def not_following(status: RolloutStatus) -> list[str]:
    """Return which instances do not follow the newest document, and of which it is not known, a line each."""
    lines = [f"{name} serves another version" for name in status.behind]
    more = status.behind_count - len(status.behind)
    lines += [f"and {count_text(more)} more"] if more > 0 else []
    lines += [
        f"{one.instance} unknown: silent since {time_text(one.heard_ms)}, last seen serving version {one.version}"
        for one in status.unknown
    ]
    more = status.unknown_count - len(status.unknown)
    lines += [f"about {count_text(more)} more unknown"] if more > 0 else []
    if status.unknown:
        lines.append(f"gone for good: guardian dismiss {status.state.flag} SERVICE/INSTANCE")
    return lines


def ladder(status: RolloutStatus) -> Table:
    """Return the steps with their weights, and the bake's progress at the current one."""
    table = Table.grid(padding=(0, 2))
    for step in status.steps:
        mark, style = {"done": ("✓", "green"), "current": ("▶", "bold")}.get(step.state, ("·", "dim"))
        table.add_row(
            Text(mark, style=style),
            Text(step.name, style=style),
            Text(weight_text(step.weight_bp), style=style, justify="right"),
            _bake(step, status).append(dual_run_text(step.dual_run_bp)),
        )
    return table


def _bake(step: StepStatus, status: RolloutStatus) -> Text:
    """The bake of one step: a bar for the current one, its length for the others."""
    if step.state != "current" or status.bake_ms <= 0:
        return Text(f"bake {duration_text(step.bake_ms)}", style="dim")
    share = min(max(status.baked_ms / status.bake_ms, 0.0), 1.0)
    full = int(share * _BAR_CELLS)
    bar = Text("█" * full, style="green")
    bar.append("░" * (_BAR_CELLS - full), style="dim")
    bar.append(f" {duration_text(min(status.baked_ms, status.bake_ms))} of {duration_text(status.bake_ms)}")
    return bar


def rules(statuses: list[RuleStatus]) -> Table:
    """Return gates or triggers: the verdict, the name, and its text, which carries both numbers."""
    table = Table.grid(padding=(0, 2))
    for rule in statuses:
        verdict = rule.verdict
        table.add_row(
            Text(str(verdict.outcome), style=_OUTCOME_COLOURS[verdict.outcome]),
            Text(rule.name),
            Text(verdict.text or f"{rule.rule}: {verdict.reason}"),
        )
    return table


def figures(status: RolloutStatus) -> Table:
    """Return the step's figures per variant, control first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("variant")
    for column in ("requests", "errors", "error rate", "crashes", "p50", "p95", "p99"):
        table.add_column(column, justify="right")
    for name, row in ordered_figures(status):
        role = (
            " (candidate)" if name == status.state.candidate else " (control)" if name == status.state.control else ""
        )
        table.add_row(
            f"{name}{role}",
            count_text(row.n),
            count_text(row.errors),
            rate_text(row.errors / row.n) if row.n else "-",
            count_text(row.crashes),
            *(value_text(Unit.LATENCY_MS, value) if value is not None else "-" for value in _percentiles(row)),
        )
    return table


def ordered_figures(status: RolloutStatus) -> list[tuple[str, Figures]]:
    """Return the figures per variant, control first, then the candidate, then any other."""
    order = {status.state.control: 0, status.state.candidate: 1}
    return sorted(status.figures.items(), key=lambda item: (order.get(item[0], 2), item[0]))


def _percentiles(row: Figures) -> tuple[float | None, float | None, float | None]:
    """p50, p95 and p99 in milliseconds."""
    return row.p50_ms, row.p95_ms, row.p99_ms


def loss_text(lost: Lost) -> str:
    """Return what an instance lost, since when, and when it was last more."""
    what = lost_text(lost.instance, lost.dropped, lost.evaluation_errors)
    more = f", the newest at {time_text(lost.at_ms)}" if lost.at_ms > lost.since_ms else ""
    return f"{what} since {time_text(lost.since_ms)}{more}"


def evidence_text(status: RolloutStatus) -> str:
    """Return how fresh and how whole the evidence is."""
    fresh = "guardian is blind" if status.lag_ms < 0 else f"watermark lag {duration_text(status.lag_ms)}"
    parts = [f"{fresh} (watermark {time_text(status.watermark_ms)})"]
    parts.append(f"late {count_text(status.late_count)}")
    parts.append(f"{count_text(status.stale_version_count)} decided by an older flag version")
    if status.evidence_from_ms:
        parts.append(f"whole since {time_text(status.evidence_from_ms)}")
    return ", ".join(parts)


def run_text(status: RolloutStatus) -> str:
    """Return which run this is: attempt, version, revision, owner, times."""
    state = status.state
    version = f"{state.epoch}/{state.version}" if state.epoch else str(state.version)
    parts = [f"attempt {state.attempt}", f"flag version {version}", f"revision {status.revision}"]
    parts.append(f"owner {status.owner or '-'}")
    parts.append(f"in this step since {time_text(status.since_ms)}")
    parts.append(f"as of {time_text(status.updated_ms)}")
    return ", ".join(parts)
