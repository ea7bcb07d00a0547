"""What senders of events learn of the rollouts: whether theirs compares with control."""

from __future__ import annotations

from typing import Any

import pytest

from guardian.serve.declared import Declared
from tests.serve.samples import status

COMPARING = "error_rate > 2x control over 5m"


def declared(spec: dict[str, Any]) -> Declared:
    return Declared({"a": status("a", spec=spec)})


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ({"triggers": [COMPARING]}, True),
        ({"triggers": [{"when": COMPARING}]}, True),
        ({"steps": [{"weight": "5%", "gates": ["p95_latency < 1.05X Control"]}]}, True),
        ({"triggers": [COMPARING], "assume_split": True}, False),
        ({"triggers": ["error_rate > 5%"]}, False),
        ({"triggers": "nonsense", "steps": [7, {"gates": [None]}]}, False),
        ({}, False),
    ],
    ids=str,
)
def test_G4_a_rollout_that_compares_with_control_needs_the_assignment(spec: dict[str, Any], needs: bool) -> None:
    assert declared(spec).needs_assignment("a") is needs
    assert not declared(spec).needs_assignment("b")
