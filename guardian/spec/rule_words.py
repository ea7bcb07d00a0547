"""How people write metrics, and which words of a rule belong to a later version."""

from __future__ import annotations

import re
from typing import Final

from guardian.core.rollout import BUG_COUNT, CPU, MEMORY, METRICS, Metric, Unit, named_gauge, named_metric
from guardian.spec.vocabulary import nearest

_MEAN: Final = ("mean", "average", "avg")
_COUNTED: Final = {
    "errors": "error_count",
    "timeouts": "timeout_count",
    "crashes": "crash_count",
    "hangs": "hang_count",
    "requests": "request_count",
    "mismatches": "mismatch_count",
    "dual_run_assertions_fail": "mismatch_count",
    "dual_run_assertions_failing": "mismatch_count",
    "dual_run_failures": "mismatch_count",
    "assertion_failures": "mismatch_count",
    "dual_run_mismatch_rate": "mismatch_rate",
}
_OF_SERVICES: Final = {
    "memory": MEMORY,
    "memory_usage": MEMORY,
    "memory_bytes": MEMORY,
    "cpu": CPU,
    "cpu_usage": CPU,
    "cpu_pct": CPU,
    "bug_count": BUG_COUNT,
    "bugs": BUG_COUNT,
    "critical_bugs": BUG_COUNT,
}
_NAMED: Final = {"metric": named_metric, "gauge": named_gauge}
MAX_FIGURE_CHARS: Final = 64


def _spellings() -> dict[str, Metric]:
    found = dict(METRICS)
    for metric in METRICS.values():
        if metric.unit is not Unit.LATENCY_MS:
            continue
        which = metric.name.removesuffix("_latency")
        for word in _MEAN if which == "mean" else (which, "p99.9") if which == "p999" else (which,):
            found[f"{word}_latency"] = found[f"latency_{word}"] = metric
    found.update({plural: METRICS[name] for plural, name in _COUNTED.items()})
    found.update(_OF_SERVICES)
    return found


SPELLINGS: Final[dict[str, Metric]] = _spellings()
"""Every way to write a metric, words joined by `_`."""

KNOWN_OTHERS: Final = (MEMORY.name, CPU.name, BUG_COUNT.name)

EXPECTED: Final = (
    (frozenset({"ABOVE", "BELOW"}), "a comparison: `>`, `<`, `>=`, `<=`, `above` or `below`"),
    (frozenset({"PERCENT"}), "the limit's unit: `%`, `ms`, `s` or `MB`"),
    (frozenset({"CONTROL", "BASELINE"}), "`control` or `baseline`"),
    (frozenset({"OVER"}), "`over`, `for` or `per`"),
    (frozenset({"STEP"}), "`step`"),
    (frozenset({"NUMBER"}), "a number"),
    (frozenset({"TIME_UNIT"}), "a unit of time: `s`, `m`, `h`, `d` or `w`"),
)
"""What the grammar's terminals are called in a message."""

ALONE: Final = {"FOR": "`for` and a duration", "SLASH": "a period, as `/hour`"}
"""What they are called where no window could stand."""

_LATER: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\bworse\s+than\b", "`worse than`"),
        (r"\bburn([ _]rate)?\b", "burn rates"),
        (r"\bsample[ _]ratio\b", "the sample ratio"),
        (r"\bdeviation\b", "`{0}`"),
        (r"\b(new[ _]error\w*|signatures?)\b", "new error signatures"),
        (r"\b(feedback|complaints?|satisfaction|adoption|coverage|uptime|availability|retention)(_\w+)?\b", "`{0}`"),
    )
)


def metric_of(written: str) -> Metric | None:
    """Return the metric that is written, None when it is not known.

    Args:
        written: as `p99 latency`, `Latency p99`, `error-rate`; `metric NAME` and `gauge NAME` keep their name's case.
    """
    first, _, name = written.partition(" ")
    if first.lower() in _NAMED and name and " " not in name and len(name) <= MAX_FIGURE_CHARS:
        return None if name in SPELLINGS else _NAMED[first.lower()](name)
    return SPELLINGS.get("_".join(written.lower().replace("-", "_").split()))


def later_words(text: str) -> tuple[str, int] | None:
    """Return what in a rule a later version acts on, in words, and where it stands; None when nothing is."""
    for pattern, name in _LATER:
        found = pattern.search(text)
        if found:
            return name.format(found[0]), found.start()
    return None


def unknown_metric_fix(written: str) -> str:
    """Return what to write instead of an unknown metric."""
    first, *rest = written.lower().split()
    name = "_".join([first, *rest])
    if name == "latency":
        return "say which: `p99_latency`, `p50_latency`, `mean_latency`"
    if first in _NAMED and rest and rest[0] in SPELLINGS:
        return f"`{rest[0]}` is guardian's own: write it without `{first}`"
    if first in _NAMED:
        return f"`{first}` wants one name after it, as `{first} satisfaction`"
    near = nearest(name, list(SPELLINGS))
    known = ", ".join(f"`{each}`" for each in (*METRICS, *KNOWN_OTHERS))
    return f"did you mean `{near}`?" if near else f"known are {known}, `metric NAME` and `gauge NAME`"
