"""Topics that only guardian writes, deleted and made anew: what readers need comes back, unasked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.core.words import Reason
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import read_newest
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_decision
from tests.bad_input.house import House, event, inhabited, spec_of
from tests.bad_input.test_topics import make_anew, named
from tests.brokers import settings_for
from tests.decide.feeding import deciding
from tests.eventually import eventually

pytestmark = pytest.mark.kafka


async def found(settings: Settings, topic: str) -> dict[str, Any]:
    """What somebody reads of a compacted topic who comes now."""
    newest = await read_newest(settings, topic)
    return {(key or b"").decode(): json.loads(record.value) for (key, _), record in newest.items()}


@asynccontextmanager
async def anew(settings: Settings, topic: str, *, alive: bool) -> AsyncIterator[None]:
    """Make a topic anew while decide runs, or before it is started."""
    if not alive:
        await make_anew(settings, topic)
    async with deciding(settings):
        if alive:
            await eventually(lambda: is_deciding(settings))
            await make_anew(settings, topic)
        yield


async def is_deciding(settings: Settings) -> bool:
    """Whether every partition has a beat of these seconds."""
    now_ms = (time.time() - BEAT_SECONDS) * 1_000
    beats = [record for (key, _), record in (await read_newest(settings, "flags")).items() if key == BEAT_KEY.encode()]
    return len(beats) == settings.partitions and all(record.timestamp > now_ms for record in beats)


async def all_there(settings: Settings, topic: str) -> bool:
    return {"good", "bad", "draft"} <= set(await found(settings, topic))


def reasserted(house: House) -> set[str]:
    decisions = [decode_decision(record.value) for record in house.reader.of("decisions")]
    return {one.flag for one in decisions if one.reason is Reason.REASSERTED and "had no document" in one.text}


async def settled(settings: Settings, house: House) -> dict[str, Any]:
    """Let decide bring three rollouts, one on its way, one killed, one a draft, and end; return their documents.

    Its last checkpoint covers all of that: nothing is said again because it is folded again.
    """
    async with deciding(settings):
        await house.begin("good")
        await house.begin("bad")
        await house.order("bad", "kill")
        await house.order("draft", "apply", spec_of("draft"))
        await eventually(lambda: house.documents("bad")[-1]["metadata"]["killed"] and house.status("draft"))
        return await found(settings, "flags")


@pytest.mark.parametrize("alive", [True, False], ids=["running", "stopped"])
def test_the_documents_come_back_by_themselves(kafka: ApacheKafka, alive: bool) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings, decide=False) as house:
            before = await settled(settings, house)
            async with anew(settings, "flags", alive=alive):
                await eventually(lambda: all_there(settings, "flags"))
                after = await found(settings, "flags")
                for flag in ("good", "bad", "draft"):
                    was, now = before[flag], after[flag]
                    assert now["metadata"]["version"] > was["metadata"]["version"]
                    assert (now["state"], now["defaultVariant"]) == (was["state"], was["defaultVariant"])
                assert after["bad"]["metadata"]["killed"]
                await eventually(lambda: reasserted(house) == {"good", "bad", "draft"})

    asyncio.run(check(settings_for(kafka, f"flags{alive:d}")))


@pytest.mark.parametrize("alive", [True, False], ids=["running", "stopped"])
def test_the_statuses_of_quiet_rollouts_come_back_and_no_document_changes(kafka: ApacheKafka, alive: bool) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings, decide=False) as house:
            before = await settled(settings, house)
            async with anew(settings, "rollouts", alive=alive):
                await eventually(lambda: all_there(settings, "rollouts"))
                after = await found(settings, "flags")
                for flag in ("good", "bad", "draft"):
                    assert after[flag] == before[flag]

    asyncio.run(check(settings_for(kafka, f"statuses{alive:d}")))


@pytest.mark.parametrize("alive", [True, False], ids=["running", "stopped"])
def test_guardian_goes_on_with_new_inputs_from_their_first_on_and_names_the_gap(
    kafka: ApacheKafka, alive: bool
) -> None:
    async def check(settings: Settings) -> None:
        async with inhabited(settings, decide=False) as house:
            async with deciding(settings):
                version = await house.begin("good")
                await house.send("telemetry", [event("good", version) for _ in range(40)])
                await eventually(lambda: house.total("good") == 40)
            async with anew(settings, "inputs", alive=alive):
                # A command is what hurts the most to lose: it is in the new topic before decide is.
                await house.order("good", "kill")
                await eventually(lambda: house.documents("good")[-1]["metadata"]["killed"])
                await eventually(lambda: named(house, "inputs_lost"))
                await house.send("telemetry", [event("good", version) for _ in range(10)])
                await eventually(lambda: house.total("good") == 50)

    asyncio.run(check(settings_for(kafka, f"inputs{alive:d}")))
