"""The machine of a rollout: one table, phase by signal.

Rules:
1. A pair that is not in the table is illegal: it raises and changes nothing.
2. The weight moves only with a signal, and each signal moves it one way only (`WEIGHT_MOVES`).
3. The kill switch is no phase. It stands over all of them and wins; freeing it restores what the phase says.
4. Triggers act in every phase that serves the candidate; so every such phase has ROLL_BACK.
5. Pause stops promotion and the bake, and only resume ends it: nothing is promoted out of `paused`.
6. `archived` is the end of a rollout; what follows is another one, from `draft`, on the same versions and attempts.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from guardian.core.words import Phase, Signal
from guardian.errors import IllegalTransition

_P = Phase
_S = Signal

TABLE: Final = MappingProxyType(
    {
        (_P.DRAFT, _S.START): _P.PROGRESSING,
        (_P.DRAFT, _S.ARCHIVE): _P.ARCHIVED,
        (_P.PROGRESSING, _S.ADVANCE): _P.PROGRESSING,
        (_P.PROGRESSING, _S.FINISH): _P.COMPLETED,
        (_P.PROGRESSING, _S.AWAIT_APPROVAL): _P.WAITING,
        (_P.PROGRESSING, _S.PAUSE): _P.PAUSED,
        (_P.PROGRESSING, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.PROGRESSING, _S.ROLL_BACK_GRADUALLY): _P.ROLLING_BACK,
        (_P.WAITING, _S.ADVANCE): _P.PROGRESSING,
        (_P.WAITING, _S.FINISH): _P.COMPLETED,
        (_P.WAITING, _S.PAUSE): _P.PAUSED,
        (_P.WAITING, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.WAITING, _S.ROLL_BACK_GRADUALLY): _P.ROLLING_BACK,
        (_P.PAUSED, _S.RESUME): _P.PROGRESSING,
        (_P.PAUSED, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.PAUSED, _S.ROLL_BACK_GRADUALLY): _P.ROLLING_BACK,
        (_P.ROLLING_BACK, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.ROLLING_BACK, _S.ROLLED_BACK): _P.ROLLED_BACK,
        (_P.ROLLED_BACK, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.ROLLED_BACK, _S.RETRY): _P.PROGRESSING,
        (_P.ROLLED_BACK, _S.ARCHIVE): _P.ARCHIVED,
        (_P.COMPLETED, _S.ROLL_BACK): _P.ROLLED_BACK,
        (_P.COMPLETED, _S.ROLL_BACK_GRADUALLY): _P.ROLLING_BACK,
        (_P.COMPLETED, _S.ARCHIVE): _P.ARCHIVED,
        (_P.ARCHIVED, _S.DECLARE): _P.DRAFT,
    }
)
"""(phase, signal) -> the phase that follows."""

WEIGHT_MOVES: Final = MappingProxyType(
    {
        _S.START: +1,
        _S.ADVANCE: +1,
        _S.RETRY: +1,
        _S.FINISH: 0,
        _S.AWAIT_APPROVAL: 0,
        _S.PAUSE: 0,
        _S.RESUME: 0,
        _S.ARCHIVE: 0,
        _S.ROLL_BACK: -1,
        _S.ROLL_BACK_GRADUALLY: -1,
        _S.ROLLED_BACK: -1,
        _S.DECLARE: -1,
    }
)
"""Which way a signal may move the weight: +1 up or nowhere, -1 down or nowhere, 0 nowhere."""

_WAY_OUT: Final = MappingProxyType(
    {
        _P.DRAFT: "start it first",
        _P.PAUSED: "resume it, or roll it back",
        _P.ROLLED_BACK: "start a new attempt, or archive it",
        _P.COMPLETED: "it has completed; roll it back, or archive it",
        _P.ARCHIVED: "it is archived; apply a spec to begin a new rollout",
    }
)


def next_phase(phase: Phase, signal: Signal) -> Phase:
    """Return the phase that follows.

    Raises:
        IllegalTransition: the table has no such cell.
    """
    following = TABLE.get((phase, signal))
    if following is None:
        raise IllegalTransition(phase, signal.replace("_", " "), _WAY_OUT.get(phase, ""))
    return following


def legal_signals(phase: Phase) -> list[Signal]:
    """Return the signals that a phase takes, in the order of the table."""
    return [signal for (origin, signal) in TABLE if origin is phase]


def diagram() -> str:
    """Return the table as a Mermaid state diagram, one line a cell."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.DRAFT}"]
    lines += [f"    {phase} --> {following}: {signal}" for (phase, signal), following in TABLE.items()]
    lines.append(f"    {Phase.ARCHIVED} --> [*]")
    return "\n".join(lines)
