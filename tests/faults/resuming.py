"""How the work went on after each fault, and what the time until then was made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.strikes import Strike
from tests.faults.watch import Pause, longest_pause

_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) ")
_PARTS: Final = {
    "guardian.run role=": "up",
    "guardian.decide.group the group divides": "stopped by the group",
    "guardian.decide.loop partitions and where they go on": "settled",
    "guardian.ingest.session generation": "settled",
    "starts anew": "starts anew",
}
"""What stands in a line of the log, and what it means for the pause."""


class Resumed(NamedTuple):
    """How the work went on after a fault.

    Args:
        pause: the longest one of the role's slowest partition, from the fault on or later in its wake.
        after_last_s: the same from the last fault on that struck the same role before that pause was over.
        alone: whether no other fault of the same role struck meanwhile, nor one before it was still felt.
        kafka_away_s: for how long of it Kafka took no events from the load either; 0 unless it was the broker.
    """

    pause: Pause
    after_last_s: float
    alone: bool
    kafka_away_s: float

    def told(self, logs: Sequence[Path]) -> str:
        """Return the pause and its parts in words.

        Args:
            logs: of the processes of the role.
        """
        parts = [
            f"{log.stem} {what} +{at_s - self.pause.began_s:.1f}"
            for at_s, what, log in sorted((at_s, what, log) for log in logs for at_s, what in _parts_of(log))
            if self.pause.began_s <= at_s <= self.pause.ended_s
        ]
        away = f", Kafka away {self.kafka_away_s:.1f} s" if self.kafka_away_s else ""
        among = "" if self.alone else f", {self.after_last_s:.1f} s after the last of several"
        return f"resumed after {self.pause.seconds:.1f} s{among}{away} ({'; '.join(parts)})"


PauseOf = Callable[[str, float, float], Pause]
"""As Watch.pause has it."""


def resumptions(
    struck: Sequence[Strike], pause_of: PauseOf, confirmed: Sequence[float], ended_s: float
) -> list[Resumed]:
    """Return how the work went on after each fault.

    Args:
        struck: in the order of time.
        pause_of: the longest pause of a role between two moments.
        confirmed: when Kafka had taken the load's events, rising.
        ended_s: when the work had gone on after the last.
    """
    nexts = [strike.at_s for strike in struck[1:]] + [ended_s]
    found = [_slowest(strike, pause_of, next_s) for strike, next_s in zip(struck, nexts, strict=True)]
    resumed = []
    for at, (strike, next_s, (role, pause)) in enumerate(zip(struck, nexts, found, strict=True)):
        same = [
            (each.at_s, other.ended_s) for each, (_, other) in zip(struck, found, strict=True) if role in each.roles
        ]
        later = [at_s for at_s, _ in same if strike.at_s < at_s < pause.ended_s]
        still_felt = any(at_s < strike.at_s < until_s for at_s, until_s in same)
        away = longest_pause(confirmed, strike.at_s, next_s).seconds if struck[at].is_of_broker else 0.0
        since_s = pause.ended_s - max([pause.began_s, *later])
        resumed.append(Resumed(pause, since_s, not later and not still_felt, away))
    return resumed


def _slowest(strike: Strike, pause_of: PauseOf, next_s: float) -> tuple[str, Pause]:
    pauses = [(role, pause_of(role, strike.at_s, next_s)) for role in strike.roles]
    return max(pauses, key=lambda found: found[1].seconds)


def _parts_of(log: Path) -> list[tuple[float, str]]:
    """The moments that a log tells of, in seconds since the epoch."""
    parts = []
    for line in log.read_text(errors="replace").splitlines():
        what = next((name for words, name in _PARTS.items() if words in line), None)
        if what is not None and (stamp := _STAMP.match(line)) is not None:
            parts.append((datetime.fromisoformat(stamp[1]).timestamp(), what))
    return parts
