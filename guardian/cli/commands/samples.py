"""`guardian samples`: which errors there were, beside the counts that rules judge."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from guardian.cli.options import DoorOptions, Flag, Json
from guardian.cli.reading import UnknownFlag, finish
from guardian.cli.screen import notes, print_json, print_page, print_warnings
from guardian.core.outputs import RolloutStatus
from guardian.core.text import count_text


def samples(flag: Flag, where: DoorOptions, as_json: Json = False) -> None:
    """Show the error types of each variant with their counts, and those that led to the last rollback."""
    present = finish(where.door().present())
    status = present.statuses.get(flag)
    if status is None:
        raise UnknownFlag(flag, list(present.statuses))
    if as_json:
        print_json({"flag": flag, "samples": status.samples, "rollback_samples": status.rollback_samples})
        return
    print_warnings(present.warnings())
    if status.samples or status.rollback_samples:
        print_page(_table(status))
    else:
        notes().print("no error types since the evidence began: events tell them in error_type")


def _table(status: RolloutStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("VARIANT", "ERROR", "COUNT"):
        table.add_column(column, justify="right" if column == "COUNT" else "left")
    groups = sorted(status.samples.items())
    if status.rollback_samples:
        groups.append((f"{status.state.candidate}, before the last rollback", status.rollback_samples))
    for variant, found in groups:
        for name, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(Text(variant), Text(name), count_text(count))
    return table
