"""docs/trigger-language.md, made from the code, so that it says what this version does.

`python -m guardian.spec.reference` prints it.
"""

from __future__ import annotations

import sys
from typing import Final

from guardian.core.gauges import MAX_LINES
from guardian.core.retention import MAX_FIGURES, MAX_RULES, MAX_TEXT_BYTES
from guardian.core.rollout import BUG_COUNT, CPU, MEMORY, METRICS, Metric, Origin, Unit
from guardian.core.text import rate_text, weight_text
from guardian.spec.describe import rule_meaning
from guardian.spec.ladder import LADDERS_BP
from guardian.spec.rule_checks import Use
from guardian.spec.rule_syntax import RuleError
from guardian.spec.rule_words import SPELLINGS
from guardian.spec.rules import parse_rule, rule_text
from guardian.spec.vocabulary import LATER, LATER_VALUES, SECTIONS, Word

_INTRO: Final = """\
# The trigger language

<!-- Generated: python -m guardian.spec.reference > docs/trigger-language.md -->

A rule compares one figure of the candidate with a limit, with control or with the baseline:

```
METRIC  COMPARISON  LIMIT              [WINDOW]  [for DURATION]
error_rate   >  5%                     over 1m   for 5 minutes
p95_latency  >  1.05x control          over 5m   for 10 minutes
p99_latency  >  2x baseline                      for 10 minutes
METRIC growing SHARE per PERIOD        [WINDOW]  [for DURATION]
memory usage growing 10%/hour
silent for DURATION
critical bug reported
```

A **trigger** acts when its rule is true: it rolls back, pauses or notifies, in every phase.
A **gate** lets a step go on when its rule is true, judged when the step's bake ends.
Capitals do not matter. What guardian does not act on is an error, never ignored.
"""

_GRAMMAR: Final = """\
## Comparison, limit, window, hold

- Comparisons: `>` or `above`, `<` or `below`, `>=` or `at least`, `<=` or `at most`.
- A rate is compared with per cent (`5%`, `0.1%`), a latency with a time (`200ms`, `2s`),
  a count with a whole number (`100`).
  A bare number for a rate or a latency is an error.
- Memory is compared with `800MB` or `2GiB`, a figure of your own with a plain number.
- Durations: `90s`, `5m`, `5 minutes`, `1h`, `1h30m`, `2 days`, `1w`; whole seconds. Windows and holds are at most `7d`.
- `over 5m` looks at the trailing five minutes of event time. For counts `per 5m`, `per hour` and `/hour` say the same.
- `per step` looks at everything since the step began.
- `for 5m` wants the rule to be true at every evaluation through five minutes of event time.
  Counts do not hold, they add up; gates are judged once.

| without a window | a trigger looks at | a gate looks at |
|---|---|---|
| rates, latencies, figures of your own | the last minute | everything since the step began |
| counts | everything since the step began | everything since the step began |
| memory, cpu, gauges | the last minute | the last five minutes |
| growth | the last five minutes | (triggers only) |

## What is compared with

- Without a word the figure is the candidate's, whatever the assignment.
- `1.05x control`: the other variant in the same time. Both sides count events of assignment `split` only
  (and those that do not say, with `assume_split: true`), and both need `min_samples`.
  At 100 % there is no control: INCONCLUSIVE, NO_CONTROL.
- `2x baseline`: control's own past. It is frozen when the attempt's first step above 0 % begins, from up to
  `baseline_window` before (24h unless said); a first step `{weight: 0%, bake: 30m}` learns it;
  `baseline: {p99_latency: 180ms}` declares it. Too little of it: INCONCLUSIVE, BASELINE_TOO_SMALL.
- A reference of zero is judged: with enough requests a first error is above any multiple of none.
- Memory, cpu and gauges belong to a service and are compared with that service's own past;
  with several services the worst counts, and is named.
- `growing 10%/hour` compares the newest window (5m unless said) with that of one period before, within one
  instance's life; the worst instance decides and is named. An instance's first ten minutes are its warm-up and left
  out, so a deploy or a scale-in does not fire it, and a new instance is judged after 1h15m. 64 instances of a gauge and
  service are kept apart, 96 in all; where there are more, the service's mean is judged too, and the verdict says so.
- A gauge may be told as seldom as it likes: a window without samples widens to at most the hold.
- `silent for 2m` fires when a service that has sent heartbeats for this flag stops, while guardian itself sees.
  No traffic while heartbeats go on is no silence.
- A trigger on a count that is too low, as `request_count < 10 per 5m`, is judged once its window lies wholly behind the
  last flag change and its `settle`. None at all counts when, by control's requests (of assignment `split`),
  the candidate should have had the limit, and 10 at least: then one arm is silent.
  Otherwise it is no traffic: INCONCLUSIVE, NO_DATA.
- `metric NAME` is the mean of what events carry in their `metrics`;
  where no event carries it, what an operator has set with `guardian metric set`.
- `migration_failure_rate` and `fallback_rate` are shares of calls. Send one `success` or `failure` for each call,
  of the implementation that the flag chose, and a `fallback` beside the `failure` when the old one stood in;
  `@dual_run` does. A `fallback` alone is no failure: who sends nothing else for a failed call sees
  `migration_failure_rate` stay at 0 %, and `fallback_rate` too high, at 11.1 % for 10 of 100 calls.
- `bug_count` counts what `guardian bug` reports since the step began; `critical bug reported` says `bug_count > 0`.

## How many requests a rule needs

Rates and latencies are judged from `min_samples` requests on (100 unless said);
with fewer the verdict is INCONCLUSIVE, never PASS.
For mismatches these are comparisons, for migrations calls, for a figure of your own events that carry it.
A figure that an operator has set rests on none of them: it is judged as it stands.
A gate that wants a rate below a limit needs at least 3 / limit requests:
with fewer, even none failing would not show it
(the rule of three: Hanley and Lippman-Hand, JAMA 1983). `error_rate < 0.1%` needs 3,000.
A trigger on a count needs none and acts on the first event; gauges, silence and bugs do not rest on requests.
A gate that wants a count at most a limit (`crash_count <= 0`) needs the step's `min_exposure`,
or its own `min_samples`: with one request it is easy to have no crash.

## Missing data never counts as a pass

A rollout goes up only on evidence. When the bake is over and every gate passes, a step is left upwards only if

- the candidate was seen: `min_exposure` requests of it since the step began (20 unless said; dual runs in a step of 0 %
  that runs both; a step of 0 % that runs nothing needs none). `min_exposure: 0` is the declared blind ramp.
  Otherwise the reason is NO_EXPOSURE. The end of the last step needs this too.
- every trigger that rolls back or pauses, and that applies, can judge now. Otherwise the reason is GUARD_BLIND, with
  the trigger and what is missing in numbers. Triggers do not apply at 0 % (but those on dual runs do where both run),
  comparisons with control do not apply at 100 %, triggers on dual runs do not apply at `dual_run: 0%`.
  A trigger on a count can judge from `min_exposure` requests on, `bug_count` always;
  `silent for` can judge once some instance has sent heartbeats for the flag.
  `unjudged: allow` on the trigger lets the step go on without it.
- the candidate has not fallen silent: ONE_ARM_SILENT, when control's requests say that 10 or more should have come
  since its last one, and that was 30 seconds ago or more. A gate on figures of an arm is INCONCLUSIVE meanwhile.
- requests are shared out as the weight says: SHARE_MISMATCH, when the odds are off by more than a factor of 2 and
  by more than chance explains, over the step or over the last five to ten minutes. Counted are requests of assignment
  `split` (those that do not say, where none does), from 15 seconds after `settle` on. Gates on figures of an arm are
  INCONCLUSIVE meanwhile. An application that never tells of control cannot be measured.
- no undeclared variant arrives in more than a trace: UNKNOWN_VARIANT, from 10 requests and 1 % of the flag's on, until
  none has come for five minutes.

Such a wait has no time-out. It raises an alert (`no_exposure`, `guard_blind`, `one_arm_silent`) when it has lasted one
bake, and a minute at least, beyond the bake. `share_mismatch` and `unknown_variant` are alerts at once, in every phase;
requests of the candidate where the weight is 0 % are a `share_mismatch` too. `guardian promote` goes on without what is
missing, and the decision says what that was.

`guardian check FILE --traffic 40/s` says beforehand which rules cannot judge at such a traffic and what would help;
without `--traffic` it says how much each of them needs.

## Resume acknowledges

`guardian resume` ends the alert of every trigger that has fired, and starts that trigger's evidence again: what led to
the pause does not lead to the next one. A trigger that is true on fresh evidence fires again, and alerts again.
Of several triggers that roll back at one moment, the lowest target wins; a rollback wins over a pause; all are named.
"""

_EXAMPLES: Final = (
    (Use.TRIGGER, "error_rate > 5% for 5 minutes"),
    (Use.TRIGGER, "error rate above 2% over 5m for 30 minutes"),
    (Use.TRIGGER, "p99 latency > 2s over 5m for 10 minutes"),
    (Use.TRIGGER, "crash_count > 0 per step"),
    (Use.TRIGGER, "crashes >= 3 per hour"),
    (Use.TRIGGER, "error_count > 100/hour"),
    (Use.TRIGGER, "request_count < 10 per 5 minutes"),
    (Use.TRIGGER, "error_rate > 2x control over 5m"),
    (Use.TRIGGER, "p99_latency > 2x baseline for 10 minutes"),
    (Use.TRIGGER, "memory > 2x baseline"),
    (Use.TRIGGER, "memory usage growing 10%/hour"),
    (Use.TRIGGER, "cpu > 80% for 30 minutes"),
    (Use.TRIGGER, "gauge queue_depth > 1000 for 5m"),
    (Use.TRIGGER, "dual_run assertions fail > 100/hour"),
    (Use.TRIGGER, "mismatch_rate > 1% over 10m"),
    (Use.TRIGGER, "fallback_rate > 5% over 10m"),
    (Use.TRIGGER, "metric satisfaction < 4 over 1h"),
    (Use.TRIGGER, "silent for 2 minutes"),
    (Use.TRIGGER, "critical bug reported"),
    (Use.GATE, "p95_latency < 1.05x control"),
    (Use.GATE, "error_rate < 0.1%"),
    (Use.GATE, "p95_latency <= 200ms over 30m"),
    (Use.GATE, "crash_count <= 0"),
)

_REFUSED: Final = (
    (Use.TRIGGER, "error_rate > 5"),
    (Use.TRIGGER, "eror_rate > 5%"),
    (Use.TRIGGER, "error_count > 10 for 5 minutes"),
    (Use.TRIGGER, "request_count < 10"),
    (Use.TRIGGER, "error_rate > 5% per hour"),
    (Use.GATE, "error_rate < 1% for 5 minutes"),
    (Use.GATE, "error_rate < 0%"),
    (Use.TRIGGER, "error_count > 2x control"),
    (Use.TRIGGER, "memory > 2x control"),
    (Use.TRIGGER, "memory > 800"),
    (Use.GATE, "memory usage growing 10%/hour"),
    (Use.TRIGGER, "error_rate worse than control"),
)

_UNITS: Final = {Unit.RATE: "rate", Unit.LATENCY_MS: "latency", Unit.COUNT: "count", Unit.BYTES: "memory"}
_MEANINGS: Final = {
    "mismatch_rate": "dual runs that differ / all dual runs",
    "mismatch_count": "dual runs that differ",
    "migration_failure_rate": "migration events of failure / of success and failure",
    "fallback_rate": "migration events of fallback / of success and failure",
    "memory": "`memory_bytes` of heartbeats and gauge events, the mean over a service's instances",
    "cpu": "`cpu_pct` of heartbeats and gauge events, the mean over a service's instances",
    "bug_count": "bugs that people reported since the step began",
}
_OWN: Final = (
    ("metric", "figure", "the mean of `metrics.NAME` of the candidate's events, or what an operator has set"),
    ("gauge", "figure", "`metrics.NAME` of heartbeats and gauge events, the mean over a service's instances"),
)
_TITLES: Final = {
    "spec": "The spec",
    "variants": "`variants`",
    "step": "A step",
    "gate": "A gate (or the rule alone)",
    "trigger": "A trigger (or the rule alone)",
    "rollback": "`rollback`",
    "step rollback": "`rollback` of a step",
}


def render_reference() -> str:
    """Return the page, in Markdown."""
    parts = [_INTRO, _metrics(), _GRAMMAR, _examples(), _words(), _later()]
    return "\n".join(parts)


def _metrics() -> str:
    rows = ["## Metrics", "", "| metric | kind | what it is | also written |", "|---|---|---|---|"]
    for metric in (*METRICS.values(), MEMORY, CPU, BUG_COUNT):
        others = [
            f"`{name.replace('_', ' ')}`"
            for name, known in SPELLINGS.items()
            if known is metric and name != metric.name
        ]
        plain = f"`{metric.name.replace('_', ' ')}`"
        rows.append(
            f"| `{metric.name}` | {_UNITS[metric.unit]} | {_metric_meaning(metric)} | {', '.join([plain, *others])} |"
        )
    rows += [f"| `{word} NAME` | {kind} | {meaning} | |" for word, kind, meaning in _OWN]
    return "\n".join([*rows, ""])


def _metric_meaning(metric: Metric) -> str:
    if metric.origin is not Origin.REQUESTS:
        return _MEANINGS[metric.name]
    if metric.unit is Unit.LATENCY_MS:
        return (
            "mean latency"
            if metric.quantile is None
            else f"{rate_text(metric.quantile)} of requests are faster (bins of 2 %, interpolated)"
        )
    if metric.name == "request_count":
        return "all requests"
    outcomes = " + ".join(metric.outcomes)
    if metric.unit is Unit.RATE:
        return f"({outcomes}) / all requests" if len(metric.outcomes) > 1 else f"{outcomes} / all requests"
    return f"requests that end in {', '.join(metric.outcomes)}"


def _examples() -> str:
    rows = ["## Examples", "", "| as a | written | in full | what it says |", "|---|---|---|---|"]
    for use, text in _EXAMPLES:
        rule = parse_rule(text, use)
        rows.append(f"| {use.value} | `{text}` | `{rule_text(rule)}` | {rule_meaning(rule)} |")
    rows += ["", "Refused, with the reason:", "", "| as a | written | why not | instead |", "|---|---|---|---|"]
    for use, text in _REFUSED:
        rows += [f"| {use.value} | `{text}` | {message} | {fix} |" for message, fix in _faults(text, use)]
    return "\n".join([*rows, ""])


def _faults(text: str, use: Use) -> list[tuple[str, str]]:
    try:
        parse_rule(text, use)
    except RuleError as error:
        return [(fault.message, fault.fix) for fault in error.faults]
    return []


def _words() -> str:
    ladders = ", ".join(
        f"`{strategy.value}` {' '.join(weight_text(weight) for weight in weights)}"
        for strategy, weights in LADDERS_BP.items()
    )
    rows = ["## Words of the spec", "", "YAML 1.2: `on` and `off` are words, `true` and `false` are truth values."]
    rows += [
        "Weights are per cents in steps of `0.01%`, at most `100%`; they rise from step to step.",
        f"Ladders: {ladders}.",
        f"A spec has at most {MAX_RULES} gates and triggers, {MAX_FIGURES} figures and {MAX_LINES} gauges that they",
        f"look at, and {MAX_TEXT_BYTES:,} bytes of words and texts: decide keeps no more state of a rollout.",
        "",
    ]
    for kind, words in SECTIONS.items():
        rows += [f"### {_TITLES[kind]}", "", "| word | takes | what it does | unless said |", "|---|---|---|---|"]
        rows += [_word_row(name, word) for name, word in words.items()]
        rows.append("")
    return "\n".join(rows)


def _word_row(name: str, word: Word) -> str:
    return f"| `{name}` | {word.takes} | {word.meaning} | {word.default or 'required'} |"


def _later() -> str:
    words = ", ".join(f"`{word}`" for word in sorted(LATER))
    values = ", ".join(f"`{value}`" for value in sorted(LATER_VALUES))
    return "\n".join(
        [
            "## Not yet",
            "",
            "These words belong to later versions; in this one they are errors that say so.",
            "",
            f"- In specs: {words}.",
            f"- As values: {values}.",
            "- In rules: `worse than`, burn rates, sample ratio, new error signatures, feedback.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(render_reference())
