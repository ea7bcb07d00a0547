"""`guardian status`: why a rollout stands where it stands, and what is missing to move on."""

from __future__ import annotations

from typing import Annotated

import typer

from guardian.cli.options import Json, KafkaOptions, flag_name
from guardian.cli.reading import UnknownFlag, finish, read_present
from guardian.cli.screen import notes, print_json, print_page, print_warnings
from guardian.cli.views import list_table, status_page
from guardian.core.words import Phase

Flags = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FLAG...", help="One flag for everything about it; several or none for a table.", parser=flag_name
    ),
]


def status(kafka: KafkaOptions, flags: Flags = None, as_json: Json = False) -> None:
    """Show why a rollout stands where it stands and what is missing to move on."""
    present = finish(read_present(kafka.load()))
    found = present.statuses
    for flag in flags or []:
        if flag not in found:
            raise UnknownFlag(flag, list(found))
    alive = [one for one in found.values() if one.state.phase is not Phase.ARCHIVED]
    shown = [found[flag] for flag in flags] if flags else alive
    if as_json:
        print_json(shown[0] if flags and len(flags) == 1 else {"rollouts": shown, "beat_age_s": present.beat_age_s})
        return
    print_warnings(present.warnings())
    if flags and len(flags) == 1:
        print_page(status_page(shown[0]))
    elif shown:
        print_page(list_table(shown))
    else:
        notes().print("no rollouts yet: guardian init FLAG writes a spec, guardian apply sends it")
