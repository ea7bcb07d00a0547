"""One guardian with all its roles for the tests of this folder; each test has flags of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from guardian.kafka.embedded import EmbeddedBroker
from tests.brokers import settings_for
from tests.serve.running import Running, guardian, spec

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def house(embedded: EmbeddedBroker) -> Iterator[Running]:
    """All roles, ready, without tokens."""
    with guardian(settings_for(embedded, "serve")) as running:
        running.until(running.ready)
        running.until(running.sees)
        yield running


@pytest.fixture
def http(house: Running) -> Iterator[httpx.Client]:
    """A client of it."""
    with house.client() as client:
        yield client


@pytest.fixture
def flag() -> str:
    """A name that no other test has."""
    return f"flag-{next(_numbers)}"


@pytest.fixture
def start(house: Running, http: httpx.Client) -> Callable[[str], None]:
    """Apply and start a rollout, and wait until the read models have it: they follow the answer."""

    def apply_and_start(name: str) -> None:
        assert http.post("/v1/rollouts", content=spec(name)).status_code == 200
        assert http.post(f"/v1/rollouts/{name}/start", json={"reason": "a test"}).status_code == 200
        house.until(lambda: '"weight_bp":500' in http.get(f"/v1/flags/{name}").text)
        house.until(lambda: '"phase":"progressing"' in http.get(f"/v1/rollouts/{name}").text)

    return apply_and_start
