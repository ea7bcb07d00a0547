"""`guardian apply`: a checked spec becomes the rollout's declaration, in mid-rollout too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardian.cli.asking import order
from guardian.cli.options import OrderOptions
from guardian.cli.reading import finish
from guardian.cli.screen import answers, print_json
from guardian.cli.specs import demand
from guardian.core.outputs import RolloutStatus
from guardian.core.rollout import RolloutSpec
from guardian.errors import Exit
from guardian.spec.changes import changes

File = Annotated[Path, typer.Argument(metavar="FILE", help="The spec; '-' for stdin.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change and send nothing.")]


def apply(file: File, options: OrderOptions, dry_run: DryRun = False) -> Exit:
    """Check a spec and send it; --dry-run only shows what would change."""
    spec, document = demand(file)
    if not dry_run:
        return order("apply", spec.flag, options, spec=document)
    present = finish(options.door().present()).statuses.get(spec.flag)
    _preview(spec, document, present, options.as_json)
    return Exit.OK


def _preview(spec: RolloutSpec, document: dict[str, Any], present: RolloutStatus | None, as_json: bool) -> None:
    """Say what apply would do; whether it may is the worker's to say, who knows the phase when it comes."""
    same = present is not None and present.revision == spec.revision
    listed = changes(present.spec, document) if present is not None else []
    if as_json:
        print_json(
            {
                "ok": True,
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
    elif same:
        answers().print(f"{spec.flag}: nothing would change, revision {spec.revision}")
    else:
        answers().print(f"{spec.flag}: revision {present.revision} would become {spec.revision}")
    for one in listed:
        answers().print(one.line(), soft_wrap=True, markup=False)
