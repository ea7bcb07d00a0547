"""How people write metrics, and which words of a rule belong to a later version."""

from __future__ import annotations

import re
from typing import Final

from guardian.core.rollout import METRICS, Metric, Unit
from guardian.spec.vocabulary import nearest

_MEAN: Final = ("mean", "average", "avg")
_COUNTED: Final = {
    "errors": "error_count",
    "timeouts": "timeout_count",
    "crashes": "crash_count",
    "hangs": "hang_count",
    "requests": "request_count",
}


def _spellings() -> dict[str, Metric]:
    found = dict(METRICS)
    for metric in METRICS.values():
        if metric.unit is not Unit.LATENCY_MS:
            continue
        which = metric.name.removesuffix("_latency")
        for word in _MEAN if which == "mean" else (which, "p99.9") if which == "p999" else (which,):
            found[f"{word}_latency"] = found[f"latency_{word}"] = metric
    found.update({plural: METRICS[name] for plural, name in _COUNTED.items()})
    return found


SPELLINGS: Final[dict[str, Metric]] = _spellings()
"""Every way to write a metric, words joined by `_`."""

EXPECTED: Final = (
    (frozenset({"ABOVE", "BELOW"}), "a comparison: `>`, `<`, `>=`, `<=`, `above` or `below`"),
    (frozenset({"PERCENT"}), "the limit's unit: `%`, `ms` or `s`"),
    (frozenset({"OVER", "FOR"}), "`over`, `for` or `per`"),
    (frozenset({"STEP"}), "`step`"),
    (frozenset({"NUMBER"}), "a number"),
    (frozenset({"TIME_UNIT"}), "a unit of time: `s`, `m`, `h`, `d` or `w`"),
)
"""What the grammar's terminals are called in a message."""

_LATER: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\bworse\s+than\b", "`worse than`"),
        (r"\b[0-9.]+\s*x\s+(baseline|control)\b", "a multiple of {}"),
        (r"\bbaseline\b", "`baseline`"),
        (r"\bcontrol\b", "`control`"),
        (r"\b(growing|growth|grows)\b", "growth"),
        (r"\bburn([ _]rate)?\b", "burn rates"),
        (r"\b(silence|silent)\b", "silence"),
        (r"\bsample[ _]ratio\b", "the sample ratio"),
        (r"\b(memory|cpu|gauge)(_\w+)?\b", "gauges such as `{0}`"),
        (r"\b(dual_run|dual[ -]run|mismatch\w*|assertions?|deviation)\b", "dual runs"),
        (r"\b(migration_failure|fallback)([ _]\w+)?\b", "`{0}`"),
        (r"\b(new[ _]error\w*|signatures?)\b", "new error signatures"),
        (r"\b(feedback|complaints?|satisfaction|adoption|coverage|uptime|availability|retention)(_\w+)?\b", "`{0}`"),
        (r"\b[0-9.]+\s*x(?![a-z_])", "a multiple"),
    )
)


def metric_of(written: str) -> Metric | None:
    """Return the metric that is written, None when it is not known.

    Args:
        written: in lower case, as `p99 latency`, `latency p99`, `error-rate`.
    """
    return SPELLINGS.get("_".join(written.replace("-", "_").split()))


def later_words(text: str) -> tuple[str, int] | None:
    """Return what in a rule a later version acts on, in words, and where it stands; None when nothing is."""
    for pattern, name in _LATER:
        found = pattern.search(text)
        if found:
            return name.format(f"`{found[1]}`" if "multiple of" in name else found[0]), found.start()
    return None


def unknown_metric_fix(written: str) -> str:
    """Return what to write instead of an unknown metric."""
    name = "_".join(written.split())
    if name == "latency":
        return "say which: `p99_latency`, `p50_latency`, `mean_latency`"
    near = nearest(name, list(SPELLINGS))
    return f"did you mean `{near}`?" if near else f"known are {', '.join(f'`{known}`' for known in METRICS)}"
