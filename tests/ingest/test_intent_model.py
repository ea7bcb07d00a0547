"""The intent protocol counts each event exactly once, and each of its rules is needed for that."""

from __future__ import annotations

import pytest

from tests.ingest.intent_model import Bound, Model, Rule

BOUNDS = {
    Rule.ONE_SOURCE_PER_RECORD: Bound(events=2, sources=2, inputs=1, rebalances=1, faults=1),
    Rule.ALL_PARTS_ACKED: Bound(events=2, sources=1, inputs=2, rebalances=2, faults=1),
    Rule.SAME_GENERATION: Bound(events=2, sources=1, inputs=1, rebalances=3, faults=0),
    Rule.LEAVE_WHEN_IN_DOUBT: Bound(events=2, sources=1, inputs=1, rebalances=2, faults=1),
    Rule.DROP_ON_REVOCATION: Bound(events=2, sources=1, inputs=1, rebalances=3, faults=0),
    Rule.SETTLE_WHAT_IS_ACKED: Bound(events=2, sources=1, inputs=1, rebalances=3, faults=0),
}


@pytest.mark.parametrize("bound", sorted(set(BOUNDS.values()), key=repr), ids=repr)
def test_with_every_rule_each_event_counts_once_whatever_happens(bound: Bound) -> None:
    model = Model(bound)
    assert model.counterexample() is None
    assert model.seen > 1_000, "the search went nowhere"


@pytest.mark.parametrize("rule", Rule)
def test_without_any_one_rule_a_loss_a_double_count_or_a_straddle_is_found(rule: Rule) -> None:
    assert Model(BOUNDS[rule], frozenset({rule})).counterexample() is not None


def test_a_member_that_does_not_heed_minus_one_commits_into_an_empty_group() -> None:
    bound = Bound(events=2, sources=1, inputs=1, rebalances=2, faults=2)
    found = Model(bound, frozenset({Rule.SAME_GENERATION})).counterexample()
    assert found is not None
    assert any("hears that it is forgotten" in step for step in found[0])
