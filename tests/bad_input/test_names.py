"""Every name that a flag may have goes the whole way, as it was written; two that differ in case are two flags."""

from __future__ import annotations

import asyncio

from openfeature.evaluation_context import EvaluationContext

from guardian.kafka.settings import Settings
from tests.bad_input.house import event, inhabited, spec_of
from tests.brokers import Broker, settings_for
from tests.eventually import eventually
from tests.sdk.scenes import provider_for

NAMES = ("A" * 128, "a" * 128, "New-Pricing", "new-pricing", "0", "x..-_9.")
TAKEN_BACK = ("A" * 128, "new-pricing", "x..-_9.")


def test_the_longest_the_shortest_and_those_that_differ_in_case_go_the_whole_way(embedded: Broker) -> None:
    async def go(settings: Settings) -> None:
        async with inhabited(settings) as house:
            everybody = {"steps": [{"name": "full", "weight": "100%", "bake": "1h"}]}
            versions = {}
            for name in NAMES:
                await house.order(name, "apply", {**spec_of(name), **everybody})
                await house.order(name, "start")
            for name in NAMES:
                await eventually(lambda name=name: house.weight(name) == 10_000)
                versions[name] = int(house.documents(name)[-1]["metadata"]["version"])
            await house.send("telemetry", [event(name, versions[name]) for name in NAMES])
            await house.send("telemetry", [event(name, versions[name], outcome="crash") for name in TAKEN_BACK])
            await eventually(lambda: all(house.weight(name) == 0 for name in TAKEN_BACK))
            await eventually(lambda: all(house.total(name) for name in NAMES))
            assert {name: house.weight(name) for name in NAMES} == {
                name: 0 if name in TAKEN_BACK else 10_000 for name in NAMES
            }
            assert {alert.flag for alert in house.alerts()} == set(TAKEN_BACK)
            assert not house.dead()
            provider = provider_for(settings)
            await asyncio.to_thread(provider.initialize, EvaluationContext())
            try:
                served = {
                    name: provider.resolve_boolean_details(name, False, EvaluationContext("u-1")).value
                    for name in NAMES
                }
            finally:
                await asyncio.to_thread(provider.shutdown)
            assert served == {name: name not in TAKEN_BACK for name in NAMES}

    asyncio.run(go(settings_for(embedded, "names")))
