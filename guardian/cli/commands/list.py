"""`guardian list`: every rollout of this environment in one line."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.options import DoorOptions, Json
from guardian.cli.reading import finish
from guardian.cli.screen import is_wide, notes, print_json, print_page, print_warnings
from guardian.cli.views import list_table
from guardian.core.words import Phase

Archived = Annotated[bool, typer.Option("--archived", help="Show archived rollouts too.")]


def list_(where: DoorOptions, archived: Archived = False, as_json: Json = False) -> None:
    """List every rollout: phase, step, weight, and why it stands there."""
    present = finish(where.door().present())
    shown = [one for one in present.statuses.values() if archived or one.state.phase is not Phase.ARCHIVED]
    if as_json:
        print_json({"rollouts": shown, "beat_age_s": present.beat_age_s})
        return
    print_warnings(present.warnings())
    if shown:
        print_page(list_table(shown, wide=is_wide()))
    else:
        notes().print("no rollouts yet: guardian init FLAG writes a spec, guardian apply sends it")
