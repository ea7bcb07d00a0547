"""`guardian apply`: a checked spec becomes the rollout's declaration, in mid-rollout too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.specs import demand
from guardian.core.outputs import RolloutStatus
from guardian.core.rollout import RolloutSpec
from guardian.core.spec_change import refuse_change
from guardian.core.words import Phase
from guardian.errors import Exit, SpecError
from guardian.spec.changes import changes

File = Annotated[Path, typer.Argument(metavar="FILE", help="The spec; '-' for stdin.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change and send nothing.")]


def apply(file: File, options: OrderOptions, dry_run: DryRun = False) -> Exit:
    """Check a spec and send it; --dry-run only shows what would change."""
    spec, document = demand(file)
    if not dry_run:
        return order("apply", spec.flag, options, spec=document)
    present = finish(options.door().present()).statuses.get(spec.flag)
    refused = _refusal(spec, present)
    _preview(spec, document, present, refused, options.as_json)
    return Exit.NO if refused else Exit.OK


def _refusal(spec: RolloutSpec, present: RolloutStatus | None) -> str:
    """Return why the worker would refuse this spec now, by the function that it asks itself; empty when it would not.

    A running spec that this version cannot read is the worker's to compare: its status was written by another one.
    """
    if present is None or (present.revision == spec.revision and present.state.phase is not Phase.ARCHIVED):
        return ""
    from guardian.spec.load import parse_spec  # noqa: PLC0415 (numpy: the other commands must not wait for it)

    try:
        running = parse_spec(present.spec)
    except SpecError:
        return ""
    return refuse_change(running, present.state, spec)


def _preview(
    spec: RolloutSpec, document: dict[str, Any], present: RolloutStatus | None, refused: str, as_json: bool
) -> None:
    """Say what apply would do, or why it would be refused as things stand now."""
    is_archived = present is not None and present.state.phase is Phase.ARCHIVED
    same = present is not None and present.revision == spec.revision and not is_archived
    listed = changes(present.spec, document) if present is not None else []
    if as_json:
        print_json(
            {
                "ok": not refused,
                "refused": refused,
                "dry_run": True,
                "flag": spec.flag,
                "revision": spec.revision,
                "present_revision": present.revision if present else "",
                "new": present is None,
                "unchanged": same,
                "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in listed],
            }
        )
        return
    if present is None:
        answers().print(f"{spec.flag}: a new rollout of {len(spec.steps)} steps, revision {spec.revision}")
    elif is_archived:
        answers().print(f"{spec.flag}: a new rollout after the archived one, revision {spec.revision}")
    elif same:
        answers().print(f"{spec.flag}: nothing would change, revision {spec.revision}")
    else:
        answers().print(f"{spec.flag}: revision {present.revision} would become {spec.revision}")
    for one in listed:
        answers().print(one.line(), soft_wrap=True, markup=False)
    if refused:
        notes().print(f"[bold red]refused:[/] {escape(refused)}", soft_wrap=True)
