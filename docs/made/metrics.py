"""metrics.md: every metric of every role, from the objects that count."""

from __future__ import annotations

from types import ModuleType

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

import guardian.decide.metrics
import guardian.ingest.metrics
import guardian.kafka.metrics
import guardian.serve.metrics
from docs.made.markdown import code, page, table

_INTRO = """\
`ingest` and `decide` serve them at `http://HOST:<metrics_port>/metrics` once the setting `metrics_port` names a port.
`serve` has them at `/metrics` of its own port.
Which of them should wake somebody, and when, stands in [Operations](operations.md#alerts-on-guardian-itself).
"""
_ROLES = {
    "every role": guardian.kafka.metrics,
    "ingest": guardian.ingest.metrics,
    "decide": guardian.decide.metrics,
    "serve": guardian.serve.metrics,
}
_KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def render() -> str:
    """Return the page."""
    return page("Metrics", _INTRO, *(_role(name, module) for name, module in _ROLES.items()))


def names() -> set[str]:
    """Return the name of every metric, as Prometheus sees it."""
    return {_name(metric) for module in _ROLES.values() for metric in _metrics(module)}


def _role(name: str, module: ModuleType) -> str:
    rows = [
        [code(_name(one)), _KINDS[type(one)], ", ".join(code(label) for label in one._labelnames), one._documentation]
        for one in _metrics(module)
    ]
    return f"## {name}\n\n" + table(["metric", "kind", "labels", "what it is"], rows)


def _metrics(module: ModuleType) -> list[MetricWrapperBase]:
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def _name(metric: MetricWrapperBase) -> str:
    """Counters are served with `_total`."""
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
