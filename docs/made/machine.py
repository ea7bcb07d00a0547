"""machine.md and machine.svg: the phases of a rollout, from the one table that the machine is."""

from __future__ import annotations

from docs.made.drawing import draw
from docs.made.markdown import block, code, page, table
from guardian.core.machine import TABLE, WEIGHT_MOVES, diagram, legal_signals
from guardian.core.words import Phase, Signal

_INTRO = """\
A rollout is always in one phase. What can happen to it is a signal.
Phase and signal give the next phase. A pair that is not in the table is refused and changes nothing.

![The phases of a rollout and the signals between them](machine.svg)

- The weight moves only with a signal, and each signal moves it one way only.
- The kill switch is no phase. It stands above all of them; freeing it restores what the phase says.
- Triggers act in every phase that serves the candidate. So every such phase can be rolled back.
- Nothing is promoted out of `paused`: only `resume` ends it.
- `archived` is the end.

**Two people at once.** A rollout's `turn` grows with each change of phase, step, weight, kill switch or spec,
and when a trigger fires.
A command that climbs (`start`, `promote`, `resume`, `unkill`) may carry the one that its sender saw as `seen_turn`,
and `apply` the `seen_revision`.
When it is another by then, the command is refused with `REFUSED_OVERTAKEN`, and the answer says who came between.
The command line sends both for one flag.
Over HTTP and by hand they may be left out: the command is unconditional then, as one for all flags is.
What protects (`rollback`, `kill`, `pause`, `bug`) is never refused for it.
"""
_PHASES = {
    Phase.DRAFT: "applied, not started: nobody has the candidate",
    Phase.PROGRESSING: "at a step, baking, watched",
    Phase.WAITING: "the step is done; an approval is missing",
    Phase.PAUSED: "no promotion and no bake; triggers go on acting",
    Phase.ROLLING_BACK: "taken back in stages",
    Phase.ROLLED_BACK: "taken back; a person resolves it, and a new attempt may start",
    Phase.COMPLETED: "at the last step and through its bake; still watched",
    Phase.ARCHIVED: "closed for good; the flag keeps its last document",
}
_MOVES = {+1: "up", -1: "down", 0: "stays"}


def render() -> str:
    """Return the page."""
    phases = [
        [code(str(phase)), _PHASES[phase], ", ".join(code(_plain(signal)) for signal in legal_signals(phase)) or "none"]
        for phase in Phase
    ]
    cells = [
        [code(str(phase)), code(_plain(signal)), code(str(following)), _MOVES[WEIGHT_MOVES[signal]]]
        for (phase, signal), following in TABLE.items()
    ]
    return page(
        "The machine of a rollout",
        _INTRO,
        "## Phases\n\n" + table(["phase", "what it means", "signals it takes"], phases),
        "## The table\n\n" + table(["in phase", "signal", "leads to", "weight"], cells),
        "## As text\n\nThe same as a Mermaid diagram.\n\n" + block("text", diagram()),
    )


def render_svg() -> str:
    """Return the picture."""
    return draw(TABLE)


def _plain(signal: Signal) -> str:
    return str(signal).replace("_", " ")
