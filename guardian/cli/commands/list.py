"""`guardian list`: every rollout of this environment in one line."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.options import Json, KafkaOptions
from guardian.cli.reading import finish, read_statuses
from guardian.cli.screen import notes, print_json, print_page
from guardian.cli.views import list_table
from guardian.core.words import Phase

Archived = Annotated[bool, typer.Option("--archived", help="Show archived rollouts too.")]


def list_(kafka: KafkaOptions, archived: Archived = False, as_json: Json = False) -> None:
    """List every rollout: phase, step, weight, and why it stands there."""
    found = finish(read_statuses(kafka.load()))
    shown = [status for status in found.values() if archived or status.state.phase is not Phase.ARCHIVED]
    if as_json:
        print_json({"rollouts": shown})
    elif shown:
        print_page(list_table(shown))
    else:
        notes().print("no rollouts yet: guardian init FLAG writes a spec, guardian apply sends it")
