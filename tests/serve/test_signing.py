"""A token of serve reaches the audit as proved when serve has a signing key, and as claimed when it has none."""

from __future__ import annotations

import json

import pytest

from guardian.kafka.embedded import EmbeddedBroker
from tests.brokers import settings_for
from tests.serve.running import guardian, spec, token_entry


@pytest.mark.parametrize("current", ["k1", ""])
def test_B10_what_a_token_proved_is_proved_in_the_decision_and_without_a_key_claimed(
    embedded: EmbeddedBroker, current: str
) -> None:
    keys = {"signing_keys": {"k1": "ab" * 32}, "signing_current": current}
    tokens = json.dumps([token_entry("ada", "operator", "secret")])
    with (
        guardian(settings_for(embedded, "signed", tokens=tokens, **keys)) as running,
        running.client("secret") as client,
    ):
        running.until(lambda: client.get("/readyz").status_code == 200)
        (decision,) = client.post("/v1/rollouts", content=spec("signed")).json()["decisions"]
        assert decision["actor"] == {"name": "ada", "via": "http", "authenticated": bool(current)}
