"""Dead letters through serve: who reads sees why, never what, and a flood of them hinders nobody."""

from __future__ import annotations

import asyncio
import json

import httpx

from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.serve.letters import KEPT_LETTERS, MAX_BEHIND, Letters
from guardian.serve.streams import Hub
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.serve.running import Running

HEADERS = [("guardian-reason", b"bad_value"), ("guardian-detail", b"d"), ("guardian-source", b"t/0/1")]


async def bury(settings: Settings, count: int, value: bytes = b"{}") -> None:
    """Write dead letters."""
    topic = settings.topic("dead-letters")
    async with running(producer(settings), settings) as sender:
        sent = [await sender.send(topic, value, headers=HEADERS, partition=n % 4) for n in range(count)]
        await asyncio.gather(*sent)


def test_the_list_and_the_stream_tell_of_a_letter_without_its_value(house: Running, http: httpx.Client) -> None:
    house.until(lambda: http.get("/v1/dead-letters").status_code == 200)
    with house.client() as listener, listener.stream("GET", "/v1/stream/dead-letters") as stream:
        asyncio.run(bury(house.settings, 1, b'{"service": "letters", "flag": "f", "subject": "card-4711"}'))
        line = next(line for line in stream.iter_lines() if line.startswith("data: "))
    told = json.loads(line.removeprefix("data: "))
    assert (told["reason"], told["service"], told["flags"], told["topic"]) == ("bad_value", "letters", ["f"], "t")
    body = http.get("/v1/dead-letters?flag=f&limit=1")
    assert body.json() == {"dead_letters": [told], "skipped_count": 0}
    assert "card-4711" not in line + body.text
    assert http.get("/v1/dead-letters?flag=g").json()["dead_letters"] == []


def test_a_flood_is_passed_over_and_counted(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "letters-flood")

    async def scene() -> None:
        await create_topics(settings)
        letters = Letters(settings, Hub())
        following = asyncio.create_task(letters.run())
        try:
            await eventually(lambda: ready(letters))
            await bury(settings, 5 * MAX_BEHIND)
            await eventually(lambda: letters.skipped_count > 0)
            await bury(settings, 1, b'{"service": "after the flood"}')
            await eventually(lambda: letters.newest()[0].service == "after the flood")
            assert len(letters.kept) <= KEPT_LETTERS
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(scene())


def ready(letters: Letters) -> bool:
    try:
        letters.newest()
    except Exception:
        return False
    return True
