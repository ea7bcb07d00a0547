"""What the demo rolls out: a spec like any other, with bakes of seconds so that one can watch."""

from __future__ import annotations

from typing import Any, Final

from guardian.core.rollout import RolloutSpec

FLAG: Final = "new-pricing"
SPEC: Final = """\
flag: new-pricing
owner: checkout-team
variants: {control: "off", candidate: "on", values: {"on": true, "off": false}}
strategy: canary
steps:
  - {name: canary, weight: 10%, bake: 3s, gates: ["error_rate < 5%", "p95_latency < 250ms"]}
  - {name: quarter, weight: 25%, bake: 3s, gates: ["error_rate < 5%", "p95_latency < 250ms"]}
  - {name: half, weight: 50%, bake: 8s, gates: ["error_rate < 5%", "p95_latency < 250ms"]}
  - {name: full, weight: 100%, bake: 20s}
triggers:
  - {name: failing, when: "error_count > 10 per step", do: rollback, tell: checkout-team}
  - {name: error-rate, when: "error_rate > 5% for 5 seconds", do: rollback, tell: checkout-team, min_samples: 60}
  - {name: slow, when: "p99_latency > 500ms for 10 seconds", do: rollback, tell: checkout-team, min_samples: 60}
rollback: {to: zero, resolve: required}
"""


def demo_spec() -> tuple[RolloutSpec, dict[str, Any]]:
    """Return the checked spec and its document."""
    from guardian.spec.load import load_spec  # noqa: PLC0415 (only the demo itself needs it)

    return load_spec(SPEC, "the demo's spec")
