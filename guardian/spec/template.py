"""The commented spec that `guardian init` writes: each word that guardian acts on, explained, and valid as it is."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from string import Template
from typing import Final

from guardian.core.rollout import Strategy
from guardian.core.text import weight_text
from guardian.core.words import FLAG_NAME_PATTERN, WEIGHT_FULL_BP
from guardian.errors import Problem, SpecError
from guardian.spec.ladder import LADDERS_BP
from guardian.spec.section import MAX_OWNER_CHARS, name_fault

_FIRST_STEP: Final = """\
  - name: $name           # unique; the weight unless said
    weight: $weight              # the candidate's share; weights rise strictly
    bake: 1h
    # for so many both implementations run while the step lasts, see @dual_run; in steps that do not say it, for nobody
    # dual_run: 20%
    gates:                  # judged over the whole step unless `over` says otherwise
      - error_rate < 1%
      - {name: fast-enough, when: p95_latency < 500ms, min_samples: 200}
    triggers:               # watched beside those of the rollout while this step is current
      - {name: first-errors, when: error_count > 20 per step, do: rollback}
    timeout: 3h
    on_fail: pause          # or rollback
    rollback: {to: zero}    # goes before the policy below while this step is current
"""
_STEP: Final = "  - {weight: $weight, bake: $bake, gates: [error_rate < 1%, p95_latency < 500ms]}\n"


def render_template(flag: str, strategy: str = "canary", owner: str = "nobody-yet") -> str:
    """Write a spec to begin with.

    Args:
        flag: the flag's name.
        strategy: whose ladder the steps follow, `canary` or `percentage`.
        owner: who answers for it.

    Returns:
        YAML text that `load_spec` accepts.

    Raises:
        SpecError: the name or the strategy cannot be used.
    """
    _check(flag, strategy, owner)
    ladder = LADDERS_BP[Strategy(strategy)]
    first, *others = ladder
    steps = Template(_FIRST_STEP).substitute(name=strategy, weight=weight_text(first))
    for weight in others:
        bake = "24h" if weight == WEIGHT_FULL_BP else "4h"
        steps += Template(_STEP).substitute(weight=weight_text(weight), bake=bake)
    text = (files("guardian.spec") / "template.yaml").read_text("utf-8")
    return Template(text).substitute(
        flag=flag,
        owner=json.dumps(owner, ensure_ascii=False),
        strategy=strategy,
        steps=steps,
        canary=_ladder_text(Strategy.CANARY),
        percentage=_ladder_text(Strategy.PERCENTAGE),
    )


def _check(flag: str, strategy: str, owner: str) -> None:
    problems = []
    fault = name_fault(flag, re.compile(FLAG_NAME_PATTERN))
    if fault:
        problems.append(Problem("flag", *fault))
    if strategy not in list(Strategy):
        problems.append(Problem("strategy", f"no such strategy: {strategy!r}", "write `canary` or `percentage`"))
    if not owner.strip() or len(owner) > MAX_OWNER_CHARS or not owner.isprintable():
        problems.append(Problem("owner", "not a text of one line", f"up to {MAX_OWNER_CHARS} characters"))
    if problems:
        raise SpecError(problems)


def _ladder_text(strategy: Strategy) -> str:
    return " ".join(weight_text(weight) for weight in LADDERS_BP[strategy])
