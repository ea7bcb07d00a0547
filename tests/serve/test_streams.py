"""Streams: what is new goes to who listens, who comes back goes on, who is too slow is dropped and told why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest

from guardian.serve.access import Caller
from guardian.serve.faults import Refused
from guardian.serve.streams import (
    KEPT_EVENTS,
    QUEUE_EVENTS,
    RETRY_MS,
    RETRY_SPREAD_MS,
    SNAPSHOT_BYTES,
    Client,
    End,
    EventStream,
    Hub,
    Stream,
)
from tests.eventually import eventually
from tests.serve.running import Running, spec


def events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream, each with its fields."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line:
            if "data" in fields:
                yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def test_flags_begin_with_what_stands_and_go_on_with_each_change(
    house: Running, http: httpx.Client, flag: str, start: Callable[[str], None]
) -> None:
    start(flag)
    with house.client() as listener, listener.stream("GET", "/v1/stream/flags") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        of_flag = (json.loads(event["data"]) for event in events(response))
        of_flag = (one["document"]["metadata"] for one in of_flag if one["flag"] == flag)
        assert next(of_flag)["weight_bp"] == 500
        http.post(f"/v1/rollouts/{flag}/promote")
        assert next(of_flag)["weight_bp"] == 10_000


def test_decisions_begin_now_and_go_on_where_a_client_left_off(house: Running, http: httpx.Client, flag: str) -> None:
    http.post("/v1/rollouts", content=spec(flag))
    with house.client() as listener:
        with listener.stream("GET", "/v1/stream/decisions") as response:
            found = (event for event in events(response) if json.loads(event["data"])["flag"] == flag)
            http.post(f"/v1/rollouts/{flag}/start")
            first = next(found)
            assert json.loads(first["data"])["reason"] == "STARTED"
        http.post(f"/v1/rollouts/{flag}/pause", json={"reason": "while nobody listens"})
        back = {"Last-Event-ID": first["id"]}
        with listener.stream("GET", "/v1/stream/decisions", headers=back) as response:
            texts = (json.loads(event["data"])["text"] for event in events(response))
            assert next(text for text in texts if "while nobody listens" in text)


def test_a_place_that_is_not_known_any_more_is_answered_with_a_reset(house: Running) -> None:
    with (
        house.client() as listener,
        listener.stream("GET", "/v1/stream/alerts", headers={"Last-Event-ID": "another-7"}) as response,
    ):
        event = next(events(response))
    assert (event["event"], json.loads(event["data"])["reason"]) == (
        "reset",
        "what was missed is not kept any more: read the whole anew",
    )


# The hub by itself


class Peer:
    """A client's end of an ASGI connection, which takes messages only while its gate is open."""

    def __init__(self) -> None:
        self.text = b""
        self.done = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.hung_up = asyncio.Event()

    async def receive(self) -> MutableMapping[str, Any]:
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.gate.wait()
        self.text += message.get("body", b"")
        self.done = message["type"] == "http.response.body" and not message["more_body"]


def follow(hub: Hub, peer: Peer) -> asyncio.Task[None]:
    response = EventStream(hub, Stream.DECISIONS, hub.join(Stream.DECISIONS))
    return asyncio.create_task(response({"type": "http"}, peer.receive, peer.send))


def test_a_client_that_takes_nothing_is_dropped_and_the_others_go_on() -> None:
    async def scene() -> None:
        hub, quick, slow = Hub(), Peer(), Peer()
        following, hanging = follow(hub, quick), follow(hub, slow)
        await eventually(lambda: quick.text and slow.text)
        slow.gate.clear()
        for number in range(QUEUE_EVENTS + 10):
            hub.publish(Stream.DECISIONS, {"number": number})
            if number % 100 == 0:
                await eventually(lambda number=number: b'{"number":%d}' % number in quick.text)
        await asyncio.wait_for(hanging, 60)
        assert not slow.done
        assert not following.done()
        quick.hung_up.set()
        await asyncio.wait_for(following, 60)

    asyncio.run(scene())


def test_a_client_that_only_lags_hears_why_it_is_dropped() -> None:
    async def scene() -> None:
        hub, peer = Hub(), Peer()
        following = follow(hub, peer)
        await eventually(lambda: peer.text)
        for number in range(QUEUE_EVENTS + 2):
            hub.publish(Stream.DECISIONS, number)
        await asyncio.wait_for(following, 60)
        assert peer.text.endswith(b'event: end\ndata: {"reason":"too slow: 1000 events were waiting"}\n\n')
        assert peer.done

    asyncio.run(scene())


def test_the_end_of_guardian_ends_every_stream_with_a_word() -> None:
    async def scene() -> None:
        hub, peer = Hub(), Peer()
        following = follow(hub, peer)
        await eventually(lambda: peer.text)
        hub.close()
        await asyncio.wait_for(following, 60)
        assert b'"guardian ends"' in peer.text
        with pytest.raises(Refused, match="guardian ends"):
            hub.join(Stream.FLAGS)

    asyncio.run(scene())


def test_a_quiet_stream_shows_that_it_lives() -> None:
    async def scene() -> None:
        hub, peer = Hub(), Peer()
        response = EventStream(hub, Stream.FLAGS, hub.join(Stream.FLAGS), keep_alive_s=0.01)
        following = asyncio.create_task(response({"type": "http"}, peer.receive, peer.send))
        await eventually(lambda: peer.text.count(b": still here\n\n") > 2)
        peer.hung_up.set()
        await asyncio.wait_for(following, 60)

    asyncio.run(scene())


def test_what_is_kept_for_those_who_come_back_is_bounded() -> None:
    hub = Hub()
    for number in range(KEPT_EVENTS + 1):
        hub.publish(Stream.ALERTS, number)
    first = asyncio.run(_next(hub.join(Stream.ALERTS, "", lambda: ["state"])))
    place = first.split(b"\n")[0].removeprefix(b"id: ").decode()
    run = place.partition("-")[0]
    assert asyncio.run(_next(hub.join(Stream.ALERTS, f"{run}-1"))).startswith(b"id: ")
    for lost in (f"{run}-0", f"{run}-{KEPT_EVENTS + 2}", f"{run}-x", f"{run}-", "-", f"{run}-{'9' * 50}"):
        assert asyncio.run(_next(hub.join(Stream.ALERTS, lost))).startswith(b"event: reset")
    assert asyncio.run(_next(hub.join(Stream.ALERTS, place))) == b""


async def _next(client: Client) -> bytes:
    """The first event behind the word about retrying; nothing when there is none."""
    assert (await client.next(1)).startswith(b"retry: ")
    return await client.next(0.01)


def viewer(name: str) -> Caller:
    return Caller(name, is_operator=False)


def follows(hub: Hub, stream: Stream, caller: Caller) -> Client:
    return hub.join(stream, caller=caller)


def test_B8_one_client_has_so_many_streams_and_one_that_leaves_makes_room() -> None:
    hub = Hub(100, 5)
    clients = [follows(hub, Stream.FLAGS, viewer("10.0.0.9")) for _ in range(5)]
    for caller in (viewer("10.0.0.9"), Caller("10.0.0.9", is_operator=True)):
        with pytest.raises(Refused, match="5 streams of this client are open already"):
            follows(hub, Stream.ALERTS, caller)
    hub.leave(Stream.FLAGS, clients[0])
    assert follows(hub, Stream.ALERTS, viewer("10.0.0.9")).end is None


def test_B8_streams_of_viewers_leave_room_for_alerts_and_those_of_alerts_for_operators() -> None:
    hub = Hub(16, 16)
    for number in range(12):
        follows(hub, Stream.FLAGS, viewer(f"viewer-{number}"))
    with pytest.raises(Refused, match="12 clients follow streams already"):
        follows(hub, Stream.DECISIONS, viewer("one more"))
    pagers = [follows(hub, Stream.ALERTS, viewer(f"pager-{number}")) for number in range(2)]
    with pytest.raises(Refused, match="14 clients"):
        follows(hub, Stream.ALERTS, viewer("one more"))
    operators = [Caller(f"token {name}", is_operator=True) for name in ("anna", "eva")]
    mine = [follows(hub, Stream.DECISIONS, operator) for operator in operators]
    with pytest.raises(Refused, match="16 clients"):
        follows(hub, Stream.ALERTS, Caller("token otto", is_operator=True))
    assert [client.end for client in (*pagers, *mine)] == [None] * 4


def test_B8_a_newcomer_takes_the_place_of_the_oldest_stream_of_the_client_that_has_most() -> None:
    hub = Hub(16, 10)
    greedy = [follows(hub, Stream.FLAGS, viewer("greedy")) for _ in range(9)]
    others = [follows(hub, Stream.FLAGS, viewer(f"viewer-{number}")) for number in range(3)]
    newcomers = [follows(hub, Stream.FLAGS, viewer(f"newcomer-{number}")) for number in range(8)]
    assert [client.end for client in greedy] == [End.SPARED] * 8 + [None]
    assert {client.end for client in (*others, *newcomers)} == {None}
    with pytest.raises(Refused, match="clients follow"):
        follows(hub, Stream.FLAGS, viewer("one more"))  # nobody has two more than it
    for client in (*greedy, *others, *newcomers):
        hub.leave(Stream.FLAGS, client)  # those that were ended leave once more, and count once
    assert [follows(hub, Stream.FLAGS, viewer(f"again-{number}")).end for number in range(12)] == [None] * 12


def test_B8_a_stream_that_gave_its_place_hears_why() -> None:
    async def scene() -> None:
        hub, peer = Hub(8, 8), Peer()
        response = EventStream(hub, Stream.FLAGS, follows(hub, Stream.FLAGS, viewer("greedy")))
        following = asyncio.create_task(response({"type": "http"}, peer.receive, peer.send))
        await eventually(lambda: peer.text)
        for _ in range(5):
            follows(hub, Stream.FLAGS, viewer("greedy"))
        follows(hub, Stream.FLAGS, viewer("newcomer"))
        await asyncio.wait_for(following, 60)
        assert b"a client with fewer streams" in peer.text

    asyncio.run(scene())


def test_clients_that_were_cut_off_together_are_asked_to_come_back_apart() -> None:
    hub = Hub()
    firsts = [asyncio.run(hub.join(Stream.FLAGS, caller=viewer(str(number))).next(1)) for number in range(100)]
    pauses = {int(first.removeprefix(b"retry: ")) for first in firsts}
    assert len(pauses) > 20
    assert min(pauses) >= RETRY_MS
    assert max(pauses) < RETRY_MS + RETRY_SPREAD_MS


def test_what_stands_is_written_in_few_parts() -> None:
    hub = Hub()
    client = hub.join(Stream.FLAGS, "", lambda: [{"flag": f"flag-{number}"} for number in range(10_000)])
    client.finish(End.GONE)
    client = hub.join(Stream.FLAGS, "", list)
    parts = list(iter(lambda: asyncio.run(client.next(0.01)), b""))[1:]
    assert sum(part.count(b"event: flags") for part in parts) == 10_000
    assert len(parts) < 20
    assert max(map(len, parts)) < SNAPSHOT_BYTES + 1_000


def test_a_text_with_line_breaks_stays_one_event() -> None:
    hub = Hub()
    client = hub.join(Stream.ALERTS)
    hub.publish(Stream.ALERTS, {"text": "one\n\ndata: two\r\nevent: three"})
    event = asyncio.run(_next(client))
    assert event.count(b"\n") == 4
    assert b"\r" not in event
    client.finish(End.GONE)
    client.give(b"more")
    assert asyncio.run(client.next(0.01)) == b""


def test_what_stands_now_is_written_once_for_a_crowd_and_anew_after_the_next_event() -> None:
    hub, asked = Hub(), list[int]()

    def state() -> list[int]:
        asked.append(1)
        return [7]

    first, second = (asyncio.run(_next(hub.join(Stream.FLAGS, "", state))) for _ in range(2))
    assert first is second
    hub.publish(Stream.FLAGS, 8)
    assert asyncio.run(_next(hub.join(Stream.FLAGS, "", state))) != first
    hub.changed(Stream.FLAGS)
    hub.join(Stream.FLAGS, "", state)
    assert len(asked) == 3
