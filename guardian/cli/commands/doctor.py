"""`guardian doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import asyncio
from typing import Final

from rich.markup import escape

from guardian.cli.doctor.alerts import examine_alerts
from guardian.cli.doctor.broker import MISSING, examine_broker, examine_topics
from guardian.cli.doctor.finding import Finding, Level, ok
from guardian.cli.doctor.groups import examine_groups
from guardian.cli.doctor.log import examine_log
from guardian.cli.doctor.machine import examine_machine
from guardian.cli.doctor.rollouts import examine_rollouts, rollout_findings
from guardian.cli.doctor.signing import examine_signing
from guardian.cli.kafka_door import KafkaDoor
from guardian.cli.options import DoorOptions, Json
from guardian.cli.reading import finish
from guardian.cli.screen import answers, print_json
from guardian.errors import Exit, GuardianError
from guardian.kafka.settings import Settings

_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(where: DoorOptions, as_json: Json = False) -> Exit:
    """Look at broker, topics, rights, groups, lag, clocks and versions: what is wrong, and what to do."""
    found = finish(_examine_served(where) if where.serve_url() else _examine(where.load()))
    wrong = sum(one.level is Level.PROBLEM for one in found)
    if as_json:
        print_json({"ok": not wrong, "findings": found})
    else:
        for one in found:
            _show(one)
    return Exit.NO if wrong else Exit.OK


async def _examine_served(where: DoorOptions) -> list[Finding]:
    """What serve can tell: whether it answers, what it doubts, and how the rollouts stand."""
    url = where.serve_url()
    found = [*examine_machine()]
    try:
        present = await where.door().present()
    except GuardianError as error:
        return [*found, Finding("serve", Level.PROBLEM, f"{url}: {error.message}", error.fix)]
    found.append(ok("serve", f"{url} answers"))
    found += [Finding("serve", Level.PROBLEM, doubt, "see that ingest and decide run") for doubt in present.doubts]
    found += rollout_findings(present)
    text = "asked through serve: broker, topics, groups, lag, alerts and clocks were not looked at"
    found.append(Finding("kafka", Level.WARNING, text, "guardian doctor --bootstrap HOST:PORT looks at all of them"))
    return found


async def _examine(settings: Settings) -> list[Finding]:
    """The machine, the broker, and if there is one, everything behind it."""
    found = [*examine_machine(), *examine_signing(settings), *await examine_broker(settings)]
    if any(one.check == "broker" and one.level is Level.PROBLEM for one in found):
        return found
    topics = await examine_topics(settings)
    found += topics
    if any(MISSING in one.text for one in topics):
        return found  # the rest would say the same again
    parts = await asyncio.gather(
        examine_groups(settings),
        examine_log(settings),
        examine_rollouts(settings, KafkaDoor(settings)),
        examine_alerts(settings),
    )
    found += [one for part in parts for one in part]
    if not any(one.check == "rights" for one in found):
        found.append(ok("rights", "nothing that was asked was denied; the right to write shows only in writing"))
    return found


def _show(one: Finding) -> None:
    """One finding, and the way out under it."""
    level = f"[{_COLOURS[one.level]}]{one.level:<8}[/]"
    answers().print(f"{level} [bold]{one.check:<12}[/] {escape(one.text)}", soft_wrap=True)
    if one.fix:
        answers().print(f"{'':<21}  [bold]fix:[/] {escape(one.fix)}", soft_wrap=True)
