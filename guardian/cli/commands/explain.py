"""`guardian explain`: why a decision was made, and what would have had to be different."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from guardian.cli.door import Door, Topic
from guardian.cli.options import DoorOptions, Flag, Json
from guardian.cli.reading import UnknownFlag, finish
from guardian.cli.screen import print_json, print_page, print_warnings
from guardian.cli.views import decision_moved, time_text
from guardian.core.instant import NOT_A_STAND
from guardian.core.outputs import Decision, RolloutStatus
from guardian.core.words import Reason
from guardian.errors import DecodeError, GuardianError, SettingsError, SpecError
from guardian.wire.outputs import decode_decision

if TYPE_CHECKING:
    from guardian.cli.explaining import Explanation

_MAX_LAST = 1_000

Id = Annotated[str, typer.Option("--decision", metavar="ID", help="This decision; tail decisions --json shows ids.")]
Last = Annotated[
    int | None,
    typer.Option("--last", metavar="N", min=1, max=_MAX_LAST, help="The last N; else the one by which it stands."),
]


def explain(flag: Flag, where: DoorOptions, decision: Id = "", last: Last = None, as_json: Json = False) -> None:
    """Explain why guardian decided as it did: the rule, the numbers on both sides, and what it would have taken."""
    if decision and last is not None:
        raise SettingsError("--decision and --last both say which", "give one of them")
    inputs = where.load().topic("inputs")
    status, found = finish(_read(where.door(), flag, decision, last))
    explained = [_explained(one, status, inputs) for one in found.kept]
    for one in explained:
        if one.rule and one.decision.at_ms < found.applied_ms:
            one.notes.append("the spec was applied anew since then: the rule is shown as it stands now")
    if as_json:
        print_json({"flag": flag, "explanations": [_document(one) for one in explained]})
        return
    for number, one in enumerate(explained):
        print_page(Group(*([Text("")] if number else []), _page(one)))
        print_warnings(one.notes)


class _Found:
    """The decisions that are asked for.

    Args:
        flag: whose.
        wanted: the id of one; empty for the last ones.
        last: how many; None for the one by which the rollout stands where it stands.
    """

    def __init__(self, flag: str, wanted: str, last: int | None) -> None:
        self.kept: deque[Decision] = deque(maxlen=last or 1)
        self.applied_ms = 0
        """When the spec was last changed."""
        self._flag = flag
        self._wanted = wanted
        # What only tells something, such as that every instance follows by now, must not hide why it stands there.
        self._passed_over = NOT_A_STAND if last is None else (Reason.SUMMARY,)

    def take(self, decision: Decision) -> None:
        """Look at one decision; what is passed over is explained by its id only."""
        if decision.flag != self._flag:
            return
        if decision.reason is Reason.APPLIED:
            self.applied_ms = decision.at_ms
        # After a kill guardian itself says that it waits for unkill; who killed, and why, says the answer before.
        waits = decision.reason is Reason.KILLED and not decision.command
        chosen = decision.id == self._wanted if self._wanted else not (waits or decision.reason in self._passed_over)
        if chosen and decision.id not in [one.id for one in self.kept]:
            self.kept.append(decision)

    def demand(self, known: list[str]) -> None:
        """Raise an error when nothing was found."""
        if self.kept:
            return
        if self._wanted:
            fix = f"guardian tail decisions --flag {self._flag} --no-follow --json shows the ids"
            raise GuardianError(f"no decision {self._wanted!r} of {self._flag}", fix)
        if self._flag in known:
            raise GuardianError(f"nothing was decided about {self._flag} yet, as far back as is kept")
        raise UnknownFlag(self._flag, known)


async def _read(door: Door, flag: str, wanted: str, last: int | None) -> tuple[RolloutStatus | None, _Found]:
    """The status of now, and the decisions."""
    present = await door.present()
    found = _Found(flag, wanted, last)
    async with aclosing(door.follow(Topic.DECISIONS, past=True, flag=flag)) as records:
        async for said in records:
            if said is None:
                break
            if said.value is None or said.key != flag:
                continue
            try:
                found.take(decode_decision(said.value))
            except DecodeError as error:
                print_warnings([f"a decision that this version cannot read: {error.message}"])
    found.demand(list(present.statuses))
    return present.statuses.get(flag), found


def _explained(decision: Decision, status: RolloutStatus | None, inputs: str) -> Explanation:
    # YAML and numpy come with the spec: `guardian kill` must not wait for them.
    from guardian.cli.explaining import explain as explained  # noqa: PLC0415
    from guardian.spec.load import parse_spec  # noqa: PLC0415

    try:
        spec = parse_spec(status.spec) if status is not None else None
    except SpecError:
        spec = None  # written by a version that knows other words
    return explained(decision, spec, status, inputs)


def _page(one: Explanation) -> RenderableType:
    """One decision as a page."""
    decision = one.decision
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    moved = decision_moved(decision)
    if decision.reason is Reason.KILLED:
        moved = f"control for everybody, {moved} once it is freed"
    phase = f"{decision.from_phase} -> {decision.phase}" if decision.from_phase != decision.phase else decision.phase
    facts.add_row("what", Text(f"{phase}, {moved}"))
    facts.add_row("why", Text(f"{decision.outcome} {decision.reason}: {one.meaning}"))
    facts.add_row("text", Text(decision.text))
    actor = decision.actor
    who = f"{actor.name} ({'proved' if actor.authenticated else 'claimed'}, via {actor.via})"
    if decision.command:
        answer = "accepted" if decision.accepted else "refused"
        facts.add_row("command", Text(f"{decision.command} by {who}, {answer}"))
    elif not actor.authenticated:
        facts.add_row("by", Text(who))
    if decision.trigger:
        facts.add_row("trigger", Text(decision.trigger))
    if one.rule:
        facts.add_row("rule", Text(one.rule))
        facts.add_row("it says", Text(one.rule_meaning))
    for name, text in one.evidence:
        facts.add_row(name, Text(text))
    if one.otherwise:
        facts.add_row("otherwise", Text("\n".join(one.otherwise)))
    if one.way_out:
        facts.add_row("way out", Text("\n".join(one.way_out)))
    head = Text.assemble((decision.flag, "bold"), f"  {time_text(decision.at_ms)}  {decision.id}")
    return Group(head, facts)


def _document(one: Explanation) -> dict[str, Any]:
    """One explanation as JSON."""
    return {
        "decision": one.decision,
        "meaning": one.meaning,
        "rule": one.rule,
        "rule_meaning": one.rule_meaning,
        "evidence": dict(one.evidence),
        "otherwise": one.otherwise,
        "way_out": one.way_out,
        "notes": one.notes,
    }
