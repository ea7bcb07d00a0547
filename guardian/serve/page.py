"""The status page: one plain document, made here, whose every text is escaped and which loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import Final

from guardian.core.alerts import NO_FLAG
from guardian.core.outputs import Alert, Decision, Figures, Lost, RolloutStatus, RuleStatus, StepStatus
from guardian.core.recipients import recipients
from guardian.core.rollout import Unit
from guardian.core.text import (
    count_text,
    dual_run_text,
    duration_text,
    lost_text,
    moved_text,
    rate_text,
    served_text,
    value_text,
    weight_text,
)
from guardian.core.words import ALL_FLAGS, Phase, Reason
from guardian.serve.site import Site
from guardian.wire.cloudevents import MAX_TIME_MS, rfc3339

REFRESH_S: Final = 5
SHOWN_ROLLOUTS: Final = 50
SHOWN_DECISIONS: Final = 30
SHOWN_ALERTS: Final = 20

STYLE: Final = """
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin:0}h3{font-size:.95rem;margin:1rem 0 .2rem}
section{border:1px solid #8886;border-radius:6px;padding:.8rem 1rem;margin:1rem 0;overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
th{font-weight:600;color:#888}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.tag{border-radius:4px;padding:0 .4rem;border:1px solid currentColor;font-size:.85rem}
.good{color:#18794e}.bad{color:#cd2b31}.wait{color:#ad5700}.dim{color:#888}
.current{font-weight:600}progress{width:8rem}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing may be loaded or run; the one style sheet is named by its hash."""

_PHASE_CLASS: Final = {
    Phase.PROGRESSING: "good",
    Phase.COMPLETED: "good",
    Phase.WAITING: "wait",
    Phase.PAUSED: "wait",
    Phase.ROLLING_BACK: "bad",
    Phase.ROLLED_BACK: "bad",
}
_UNJUDGED: Final = frozenset(
    {Reason.KILLED, Reason.FREED, Reason.OPERATOR, Reason.EMERGENCY, Reason.APPLIED, Reason.STARTED}
)
"""Reasons of what a person has done: nothing has passed by that."""
_OUTCOME_CLASS: Final = {"PASS": "good", "FAIL": "bad", "ERROR": "bad", "INCONCLUSIVE": "wait"}
_MARKS: Final = {"done": "✓", "current": "▶"}


def document(title: str, body: str, *, refresh_s: int = 0) -> str:
    """Return a whole page.

    Args:
        title: plain text.
        body: markup, escaped already.
        refresh_s: seconds until the browser asks again; 0 for never.
    """
    again = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{body}</body></html>"
    )


def status_page(site: Site, flag: str = "") -> str:
    """Return what stands now.

    Args:
        site: the read models.
        flag: the only flag to show; empty for all.
    """
    board = site.board
    found = [status for name, status in board.rollouts.items() if flag in ("", name)]
    found.sort(key=lambda status: (status.state.phase is Phase.ARCHIVED, -status.since_ms, status.state.flag))
    mine = (flag, NO_FLAG)  # what guardian says about itself concerns every flag
    active = [alert for alert in reversed(board.alerts.values()) if alert.active and (not flag or alert.flag in mine)]
    decisions = (decision for decision in reversed(board.decisions) if _is_news(decision, flag))
    parts = [f"<h1>guardian · {escape(site.settings.prefix)}</h1>", _readiness(site.not_ready()), _alerts(active)]
    parts += [_rollout(status) for status in found[:SHOWN_ROLLOUTS]]
    if not found:
        parts.append(
            "<p>No rollout is here yet: <code>guardian init FLAG</code>, then <code>guardian apply</code>.</p>"
        )
    if len(found) > SHOWN_ROLLOUTS:
        parts.append(f"<p>{len(found) - SHOWN_ROLLOUTS:,} more at /v1/rollouts, or one at /?flag=NAME.</p>")
    parts.append(_decisions(islice(decisions, SHOWN_DECISIONS)))
    parts.append('<p class="dim"><a href="/docs">API</a> · <a href="/readyz">readiness</a></p>')
    return document(f"guardian · {site.settings.prefix}", "".join(parts), refresh_s=REFRESH_S)


def _readiness(reasons: list[str]) -> str:
    if not reasons:
        return '<p class="good">ready: what is shown is what stands now</p>'
    return '<p class="bad">not ready: ' + "; ".join(map(escape, reasons)) + "</p>"


def _alerts(active: list[Alert]) -> str:
    if not active:
        return ""
    # All partitions of a topic give the same alert at once: one is shown, the others would hide the rollouts.
    alike: dict[str, list[Alert]] = {}
    for alert in active:
        alike.setdefault(alert.trigger.partition(" ")[0] if alert.flag == NO_FLAG else alert.id, []).append(alert)
    rows = []
    for first, *others in islice(alike.values(), SHOWN_ALERTS):
        text = first.text + (f" (and {len(others):,} more)" if others else "")
        rows.append(_row(_time(first.onset_ms), _tag(first.severity, "bad"), escape(first.flag), escape(text)))
    return f"<section><h2>Active alerts ({len(active):,})</h2><table>{''.join(rows)}</table></section>"


def _rollout(status: RolloutStatus) -> str:
    state = status.state
    killed = " " + _tag("killed", "bad") if state.killed else ""
    head = (
        f'<h2><a href="/?flag={escape(state.flag)}">{escape(state.flag)}</a> '
        f"{_tag(state.phase, _PHASE_CLASS.get(state.phase, 'dim'))}{killed} "
        f"{escape(served_text(state.weight_bp, state.candidate, killed=state.killed))}"
        f"{dual_run_text(state.dual_run_bp)}</h2>"
    )
    judged = "" if status.reason in _UNJUDGED else f"{_tag(status.outcome, _OUTCOME_CLASS[status.outcome])} "
    why = f"{judged}{status.reason}: {escape(status.text)}"
    run = f"attempt {state.attempt}, owner {escape(status.owner or '-')}, as of {_time(status.updated_ms)}"
    lag = "guardian is blind" if status.lag_ms < 0 else f"watermark lag {duration_text(status.lag_ms)}"
    figures = f"{run}, {lag}, late {count_text(status.late_count)}, instances {count_text(status.live_count)}"
    parts = [head, f"<p>{why}</p>", f"<p>Served: {escape(recipients(state))}</p>", f'<p class="dim">{figures}</p>']
    if status.baseline:
        parts.append(f'<p class="dim">baseline: {escape(status.baseline)}</p>')
    if status.missing:
        parts.append(f"<h3>Missing to move on</h3>{_list(status.missing)}")
    if status.behind or status.unknown_count:
        parts.append(f"<h3>Not seen to follow yet</h3>{_list(_not_following(status))}")
    if status.lost:
        parts.append(f"<h3>Lost in applications: the figures lack it</h3>{_list(map(_lost, status.lost))}")
    parts.append("<h3>Ladder</h3><table>" + "".join(_step(step, status) for step in status.steps) + "</table>")
    parts += [_rules("Gates", status.gates), _rules("Triggers", status.triggers), _figures(status)]
    return f"<section>{''.join(parts)}</section>"


def _not_following(status: RolloutStatus) -> list[str]:
    """Instances that serve another version, and those of which it is not known."""
    lines = list(status.behind)
    more = status.behind_count - len(status.behind)
    lines += [f"and {count_text(more)} more"] if more > 0 else []
    lines += [
        f"{one.instance}: unknown, last heard of at {_time(one.heard_ms)}, last seen serving version {one.version}"
        for one in status.unknown
    ]
    more = status.unknown_count - len(status.unknown)
    return lines + ([f"about {count_text(more)} more unknown"] if more > 0 else [])


def _step(step: StepStatus, status: RolloutStatus) -> str:
    bake = f"bake {duration_text(step.bake_ms)}"
    if step.state == "current" and status.bake_ms > 0:
        baked_ms = min(max(status.baked_ms, 0), status.bake_ms)
        bake = f'<progress max="{status.bake_ms}" value="{baked_ms}"></progress> {duration_text(baked_ms)} of ' + bake
    bake += dual_run_text(step.dual_run_bp)
    name = f"{_MARKS.get(step.state, '·')} {escape(step.name)}"
    kind = {"current": "current", "ahead": "dim"}.get(step.state, "")
    return f'<tr class="{kind}"><td>{name}</td><td class="n">{weight_text(step.weight_bp)}</td><td>{bake}</td></tr>'


def _rules(title: str, rules: list[RuleStatus]) -> str:
    if not rules:
        return ""
    rows = [
        _row(
            _tag(rule.verdict.outcome, _OUTCOME_CLASS[rule.verdict.outcome]),
            escape(rule.name),
            escape(rule.verdict.text or f"{rule.rule}: {rule.verdict.reason}"),
        )
        for rule in rules
    ]
    return f"<h3>{title}</h3><table>{''.join(rows)}</table>"


def _figures(status: RolloutStatus) -> str:
    if not status.figures:
        return ""
    heads = "".join(
        f'<th class="n">{name}</th>' for name in ("requests", "errors", "rate", "crashes", "p50", "p95", "p99")
    )
    order = {status.state.control: 0, status.state.candidate: 1}
    rows = [
        f"<tr><td>{escape(name)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in _cells(row)) + "</tr>"
        for name, row in sorted(status.figures.items(), key=lambda item: (order.get(item[0], 2), item[0]))
    ]
    return f"<h3>Since the step began</h3><table><tr><th></th>{heads}</tr>{''.join(rows)}</table>"


def _cells(row: Figures) -> list[str]:
    """A variant's figures as text."""
    rate = rate_text(row.errors / row.n) if row.n else "-"
    latencies = [
        value_text(Unit.LATENCY_MS, ms) if ms is not None else "-" for ms in (row.p50_ms, row.p95_ms, row.p99_ms)
    ]
    return [count_text(row.n), count_text(row.errors), rate, count_text(row.crashes), *latencies]


def _decisions(decisions: Iterable[Decision]) -> str:
    rows = [
        _row(
            _time(one.at_ms),
            escape(one.flag),
            _tag(one.reason, "good" if one.accepted else "bad"),
            escape(one.text),
            escape(one.actor.name),
            _weights(one),
        )
        for one in decisions
    ]
    return f"<section><h2>Latest decisions</h2><table>{''.join(rows)}</table></section>" if rows else ""


def _is_news(one: Decision, flag: str) -> bool:
    """Whether a decision tells something new of a flag: no summary, and no partition's word that a command arrived."""
    arrived = one.flag == ALL_FLAGS and one.accepted
    return one.reason is not Reason.SUMMARY and not arrived and flag in ("", one.flag)


def _weights(one: Decision) -> str:
    before = one.from_weight_bp, one.from_dual_run_bp
    return moved_text(before, (one.weight_bp, one.dual_run_bp), "→")


def _lost(one: Lost) -> str:
    return f"{lost_text(one.instance, one.dropped, one.evaluation_errors)} since {_time(one.since_ms)}"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _tag(word: str, kind: str) -> str:
    return f'<span class="tag {kind}">{escape(str(word))}</span>'


def _time(at_ms: int) -> str:
    return rfc3339(at_ms)[:19].replace("T", " ") + "Z" if 0 < at_ms <= MAX_TIME_MS else "-"
