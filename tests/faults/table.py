"""The table that `make test-faults` prints."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.faults.rounds import Round

HEAD = (
    "fault", "rounds", "faults", "events", "lost", "doubled",
    "to resume: median", "worst", "of one alone", "after the last of several", "Kafka away",
)  # fmt: skip


def table(rounds: Sequence[Round]) -> str:
    """Return the rounds by fault, and all together."""
    names = list(dict.fromkeys(each.fault for each in rounds))
    rows = [HEAD, *(_row(name, [each for each in rounds if each.fault == name]) for name in names)]
    if len(names) > 1:
        rows.append(_row("all", rounds))
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines = [
        "  ".join(_pad(text, width, at) for at, (text, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _pad(text: str, width: int, at: int) -> str:
    return text.ljust(width) if at == 0 else text.rjust(width)


def _row(name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    resumed = [one for each in rounds for one in each.resumed]
    pauses_s = [one.pause.seconds for one in resumed]
    verdicts = [each.verdict for each in rounds]
    return (
        name,
        str(len(rounds)),
        str(len(resumed)),
        f"{sum(verdict.events for verdict in verdicts):,}",
        f"{sum(verdict.lost for verdict in verdicts):,}",
        f"{sum(verdict.doubled for verdict in verdicts):,}",
        f"{median(pauses_s):.1f} s" if pauses_s else "-",
        _worst(pauses_s),
        _worst([one.pause.seconds for one in resumed if one.alone]),
        _worst([one.after_last_s for one in resumed if not one.alone]),
        _worst([one.kafka_away_s for one in resumed if one.kafka_away_s]),
    )


def _worst(seconds: Sequence[float]) -> str:
    return f"{max(seconds):.1f} s" if seconds else "-"
