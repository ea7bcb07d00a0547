"""What ingest knows of the rollouts follows guardian.rollouts."""

from __future__ import annotations

import json

from aiokafka import ConsumerRecord

from guardian.ingest.known import Arms, Rollouts
from guardian.wire.outputs import encode_output
from tests.wire.samples import flag_state, status


def record(key: bytes, value: bytes | None) -> ConsumerRecord:
    return ConsumerRecord("guardian.rollouts", 0, 7, 1_000, 0, key, value, None, len(key), len(value or b""), ())


def test_a_rollout_is_known_with_its_variants_and_components_until_its_tombstone() -> None:
    rollouts = Rollouts()
    standing = status(
        state=flag_state(flag="pricing", control="old", candidate="new"), spec={"components": ["engine", "tax"]}
    )
    message = encode_output(standing)
    rollouts.take(record(message.key, message.value))
    assert rollouts.arms == {"pricing": Arms("old", "new")}
    assert rollouts.components == {"engine": ("pricing",), "tax": ("pricing",)}
    rollouts.take(record(b"pricing", None))
    assert (rollouts.arms, rollouts.components) == ({}, {})


def test_a_record_that_cannot_be_read_changes_nothing() -> None:
    rollouts = Rollouts()
    rollouts.put("pricing", Arms(), ("engine",))
    rollouts.take(record(b"pricing", b"{"))
    assert rollouts.components == {"engine": ("pricing",)}


def test_a_rollout_is_known_though_a_later_version_speaks_of_it_in_words_of_its_own() -> None:
    standing = encode_output(status(state=flag_state(flag="pricing"), spec={"components": ["engine"]}))
    found = json.loads(standing.value)
    found["state"] |= {"phase": "hovering", "audience": ["internal"]}
    found |= {"reason": "SOMETHING_NEW", "figures": "of another kind"}
    rollouts = Rollouts()
    rollouts.take(record(standing.key, json.dumps(found).encode()))
    assert rollouts.components == {"engine": ("pricing",)}


def test_a_component_may_belong_to_several_rollouts_and_change_hands() -> None:
    rollouts = Rollouts()
    rollouts.put("a", Arms(), ("engine",))
    rollouts.put("b", Arms(), ("engine", "tax"))
    assert rollouts.components == {"engine": ("a", "b"), "tax": ("b",)}
    rollouts.put("b", Arms(), ("tax",))
    assert rollouts.components == {"engine": ("a",), "tax": ("b",)}
