"""The demo before one's eyes: ladder, figures, the SDK's answer, decisions; or plain lines without a terminal."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from guardian.cli.demo.scene import Scene
from guardian.cli.shop.report import Report
from guardian.cli.views import figures, ladder, rules, time_text, why_text
from guardian.core.outputs import Decision
from guardian.core.text import count_text, latency_text, rate_text, weight_text
from guardian.core.words import Outcome

_LINES_KEPT = 4
_BAR_CELLS = 40


class Teller(Protocol):
    """Whoever tells the story."""

    def say(self, text: str) -> None:
        """Tell one sentence of the story."""

    def mention(self, text: str) -> None:
        """Tell what a screen shows anyway."""


class PlainTeller:
    """Tells the story line by line, as it happens, with the seconds since the beginning."""

    def __init__(self, console: Console, clock: Scene) -> None:
        self._console = console
        self._scene = clock

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(f"{self._scene.seconds():6.1f}s  {text}", soft_wrap=True, markup=False)

    def mention(self, text: str) -> None:
        """Print one line: there is no screen that shows it."""
        self.say(text)


class LiveTeller:
    """Tells the story on a screen that is always up to date.

    Args:
        console: a terminal.
        scene: what is shown; read four times a second.
        title: what stands above it all.
    """

    def __init__(self, console: Console, scene: Scene, title: str) -> None:
        self._scene = scene
        self._title = title
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self._page)

    def say(self, text: str) -> None:
        """Keep one sentence among those that are shown."""
        self._lines.append(f"{self._scene.seconds():6.1f}s  {text}")

    def mention(self, text: str) -> None:
        """Do nothing: it is on the screen."""

    def _page(self) -> RenderableType:
        """The whole screen; what matters most stands on top, as a small terminal cuts off the bottom."""
        parts: list[RenderableType] = []
        if sentence := self._scene.sentence():
            parts.append(Panel(Text(sentence, style="bold"), border_style="green", title="what happened"))
        parts += [_shop_panel(self._scene), _rollout_panel(self._scene)]
        parts.append(Panel(Text("\n".join(self._lines)), title="what happens", title_align="left", border_style="dim"))
        if self._scene.decisions:
            parts.append(_decisions_panel(self._scene))
        return Panel(Group(*parts), title=self._title, subtitle="Ctrl-C ends it", border_style="blue")


def _rollout_panel(scene: Scene) -> RenderableType:
    """What guardian says about the rollout, from guardian.rollouts."""
    status = scene.status
    if status is None:
        return Panel(Text("waiting for guardian ...", style="dim"), title="rollout", border_style="dim")
    state = status.state
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    facts.add_row("why", why_text(status))
    if status.missing:
        facts.add_row("missing", Text("; ".join(status.missing)))
    facts.add_row("ladder", ladder(status))
    facts.add_row("triggers", rules(status.triggers))
    facts.add_row("figures", figures(status))
    title = f"{state.flag}: {state.phase} {state.step}, {weight_text(state.weight_bp)}, attempt {state.attempt}"
    return Panel(facts, title=title, title_align="left", border_style="dim")


def _shop_panel(scene: Scene) -> RenderableType:
    """What the shop itself measures; its SDK's answer first."""
    report = scene.shop
    if report is None:
        return Panel(Text("the shop is opening ...", style="dim"), title="shop", border_style="dim")
    full = round(report.new_share * _BAR_CELLS)
    answer = Text("new price ", style="bold")
    answer.append("█" * full, style="cyan")
    answer.append("░" * (_BAR_CELLS - full), style="dim")
    answer.append(f" {rate_text(report.new_share)} of the customers, says the SDK")
    line = Text(shop_text(report), style="red" if report.failed and not scene.flipped_ms else "")
    return Panel(Group(answer, line), title="the shop, in a process of its own", title_align="left", border_style="dim")


def shop_text(report: Report) -> str:
    """Return the shop's figures in one line."""
    parts = [f"{count_text(report.events)} requests ({report.per_second:.0f}/s)"]
    for name, latency_ms in (("old", report.classic_ms), ("new", report.rewritten_ms)):
        if latency_ms is not None:
            parts.append(f"{name} price takes {latency_text(latency_ms)}")
    parts.append(f"{count_text(report.failed)} failed")
    return ", ".join(parts)


def _decisions_panel(scene: Scene) -> RenderableType:
    """The last of guardian.decisions."""
    table = Table.grid(padding=(0, 2))
    for decision in list(scene.decisions):
        style = "red" if decision.outcome is Outcome.FAIL else "green" if decision.outcome is Outcome.PASS else "yellow"
        table.add_row(
            Text(time_text(decision.at_ms)[11:], style="dim"),
            Text(str(decision.reason), style=style),
            Text(decision_text(decision)),
        )
    return Panel(table, title="decisions", title_align="left", border_style="dim")


def decision_text(decision: Decision) -> str:
    """Return a decision in one line: the weight before and after when it moved, and why."""
    if decision.from_weight_bp != decision.weight_bp:
        return f"{weight_text(decision.from_weight_bp)} -> {weight_text(decision.weight_bp)}: {decision.text}"
    return decision.text
