"""Every word that a spec may contain, section by section, and the words that a later version will act on."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Word:
    """One word of the spec that this version acts on.

    Args:
        takes: what stands after it, as a person would say it.
        meaning: what it does, in one sentence.
        default: what holds when it is left out; empty when it is required.
        example: a value as it would stand in the file.
    """

    takes: str
    meaning: str
    default: str
    example: str


SPEC: Final = {
    "flag": Word("a name", "The flag that this rollout moves; one active rollout per flag.", "", "new-pricing"),
    "owner": Word("a text", "Who answers for it; shown wherever the rollout is.", "nobody", "checkout-team"),
    "variants": Word("a section", "The two arms and what the application gets for each.", "off and on", "{...}"),
    "strategy": Word(
        "canary or percentage",
        "The ladder of weights when no steps are written.",
        "canary, if steps are written",
        "canary",
    ),
    "weights": Word("a list of weights", "Replaces the strategy's weights.", "the strategy's", "[1%, 10%, 100%]"),
    "bake": Word("a duration", "How long a step is held and watched when it says nothing itself.", "1h", "1h"),
    "steps": Word("a list of steps", "The ladder, written out; weights rise strictly.", "the strategy's", "[...]"),
    "triggers": Word("a list of triggers", "Must we act? Watched in every phase.", "none", "[...]"),
    "rollback": Word(
        "a section", "How a protective rollback is made and what the next attempt needs.", "see there", "{...}"
    ),
    "components": Word(
        "a list of names", "Migration events of these components belong to this flag.", "none", "[pricing_engine]"
    ),
    "sources": Word(
        "telemetry, migrations or both",
        "Which events count for requests, errors and latencies; name both only if nothing is reported twice.",
        "[telemetry]",
        "[telemetry]",
    ),
    "salt": Word(
        "a text",
        "What the split is salted with; `none` hashes the subject alone. Fixed within an attempt.",
        "the flag's name",
        "new-pricing",
    ),
    "env_prefix": Word(
        "a name", "Overrides are read from `<env_prefix>_<FLAG>` in the environment.", "`<FLAG>` alone", "SHOP"
    ),
    "baseline": Word(
        "a figure per metric",
        "What rules that say `baseline` compare with, where it is known beforehand.",
        "taken before the first step above 0%",
        "{p99_latency: 180ms, error_rate: 0.2%}",
    ),
    "baseline_window": Word(
        "a duration",
        "How much of the past before the first step above 0% makes the baseline; at most 7d.",
        "24h, as much as exists",
        "24h",
    ),
    "assume_split": Word(
        "true or false",
        "Events that do not say why the subject got its variant count in comparisons with control.",
        "false",
        "true",
    ),
    "min_exposure": Word(
        "a number",
        "Requests of the candidate without which a step is not left upwards (dual runs in a step of 0%); "
        "`0` goes on unseen.",
        "20",
        "20",
    ),
    "settle": Word(
        "a duration",
        "How much event time after a flag change does not count for events that carry no flag version.",
        "15s",
        "15s",
    ),
}

VARIANTS: Final = {
    "control": Word("a name", "The arm that is known to work.", "off", "off"),
    "candidate": Word("a name", "The arm that is rolled out.", "on", "on"),
    "values": Word(
        "a value per arm",
        "What the application is given: booleans, numbers or texts, both of one kind.",
        "false for control, true for candidate",
        "{off: false, on: true}",
    ),
}

STEP: Final = {
    "name": Word("a name", "Unique in the rollout; not `previous` or `zero`.", "the weight", "canary"),
    "weight": Word("a weight", "The candidate's share of the subjects.", "", "5%"),
    "bake": Word("a duration", "How long the step is held and watched.", "the spec's `bake`", "1h"),
    "dual_run": Word(
        "a share",
        "For how many of the subjects both implementations run, by `@dual_run`, while the step lasts; whoever serves.",
        "0% if another step says it, else as the code says",
        "20%",
    ),
    "min_exposure": Word(
        "a number",
        "Requests of the candidate without which this step is not left upwards (dual runs at 0%); `0` goes on unseen.",
        "the spec's `min_exposure`",
        "20",
    ),
    "gates": Word("a list of gates", "May we go on? Judged when the bake ends; all must pass.", "none", "[...]"),
    "triggers": Word("a list of triggers", "Watched beside the rollout's while this step is current.", "none", "[...]"),
    "timeout": Word(
        "a duration", "How long after the bake a gate that does not pass is waited for.", "three bakes", "3h"
    ),
    "on_fail": Word("pause or rollback", "What happens once that time is over.", "pause", "pause"),
    "rollback": Word(
        "a section with `to`", "Overrides the policy's target while this step is current.", "the policy's", "{to: zero}"
    ),
}

GATE: Final = {
    "name": Word("a name", "Unique in its step.", "from the rule", "few-errors"),
    "when": Word("a rule", "What must be true.", "", "error_rate < 0.1%"),
    "min_samples": Word(
        "a number",
        "Requests needed before it is judged; for a rate below a limit at least 3 / limit.",
        "100; for a count at most a limit, the step's `min_exposure`",
        "3000",
    ),
}

TRIGGER: Final = {
    "name": Word("a name", "Unique in the rollout; part of the alert's id.", "from the rule", "errors"),
    "when": Word("a rule", "When it fires.", "", "error_rate > 5% for 5 minutes"),
    "do": Word("rollback, pause or notify", "What guardian does.", "rollback", "rollback"),
    "tell": Word(
        "a name", "Who should know: a person or a group, as it stands in the alert.", "nobody in particular", "on-call"
    ),
    "severity": Word(
        "info, warning or critical", "How loud the alert is.", "critical for a rollback, else warning", "critical"
    ),
    "min_samples": Word("a number", "Requests needed before a rate or a latency is judged.", "100", "100"),
    "clear": Word(
        "a duration", "For how long the rule must pass before the alert ends.", "the rule's hold, or 5m", "10m"
    ),
    "unjudged": Word(
        "hold or allow",
        "Whether a step waits while this trigger cannot judge, or is left all the same; not with `do: notify`.",
        "hold",
        "allow",
    ),
    "to": Word("previous or zero", "Overrides the policy's target; only with `do: rollback`.", "the policy's", "zero"),
}

ROLLBACK: Final = {
    "to": Word("previous or zero", "The step before, or no candidate at all.", "zero", "zero"),
    "mode": Word("immediate", "At once.", "immediate", "immediate"),
    "wait": Word("a duration", "How long after a rollback no new attempt may start.", "0s", "1w"),
    "resolve": Word(
        "required or none", "Whether a person must resolve the rollback before the next attempt.", "none", "required"
    ),
}

STEP_ROLLBACK: Final = {"to": ROLLBACK["to"]}

SECTIONS: Final[dict[str, dict[str, Word]]] = {
    "spec": SPEC,
    "variants": VARIANTS,
    "step": STEP,
    "gate": GATE,
    "trigger": TRIGGER,
    "rollback": ROLLBACK,
    "step rollback": STEP_ROLLBACK,
}

# fmt: off
LATER: Final = frozenset({
    "ab_test", "allow", "alpha", "approval", "approvals", "arms", "audience",
    "audiences", "blue_green", "burn_rate", "checklist", "checklists",
    "conditions", "deny", "enrolment", "enrollment", "feedback", "freeze", "gradual", "groups",
    "metrics", "objectives", "opt_in", "overlap", "programme", "ring", "risks", "sample_ratio",
    "schedule", "segment", "segments", "slo", "stages", "start_at", "targeted", "tolerance",
    "validate", "version", "waves",
})
# fmt: on
"""Words that a later version acts on; in this one they are errors, never ignored."""

LATER_VALUES: Final = frozenset(
    {"ring", "blue_green", "ab_test", "gradual", "targeted", "otlp", "otlp_spans", "otlp_logs"}
)
"""Values that a later version acts on."""

_MEANT: Final = {
    "action": "do",
    "condition": "when",
    "duration": "bake",
    "hold": "bake",
    "if": "when",
    "notify": "tell",
    "percent": "weight",
    "percentage": "weight",
    "phases": "steps",
    "rule": "when",
    "rules": "triggers",
    "team": "owner",
    "target": "to",
}
"""Words that people write for ours."""

_NEAR: Final = 0.6


def nearest(word: str, known: list[str]) -> str:
    """Return the known word that was probably meant, empty when none is near.

    Args:
        word: as written, whatever it is.
        known: the words that are right here.
    """
    plain = (
        "".join(f"_{c.lower()}" if c.isupper() else c for c in word[:64]).replace("-", "_").replace(" ", "_").strip("_")
    )
    if plain in known:
        return plain
    meant = _MEANT.get(plain, "")
    if meant in known:
        return meant
    found = difflib.get_close_matches(plain, sorted(known), n=1, cutoff=_NEAR)
    return found[0] if found else ""
