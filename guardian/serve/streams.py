"""Server-sent events: what is new goes to every client that listens; a slow one is dropped and told why."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from guardian.serve import metrics
from guardian.serve.access import Caller
from guardian.serve.faults import Refused
from guardian.serve.replies import json_bytes

log = logging.getLogger(__name__)

KEPT_EVENTS: Final = 1_000
"""Of each stream, for clients that come back with Last-Event-ID."""
QUEUE_EVENTS: Final = 1_000
"""What may wait for one client; one more and it is dropped."""
RESERVED: Final = 8
"""One eighth of the places is for streams of alerts and for operators, another eighth for operators alone."""
SNAPSHOT_BYTES: Final = 65_536
"""Written at a time of what stands: ten thousand writes for each of a crowd would hold everybody up."""
KEEP_ALIVE_S: Final = 15.0
SEND_S: Final = 30.0
"""A client that takes nothing for so long is dropped."""
LAST_S: Final = 1.0
"""So long a client that is dropped may take to hear why."""
RETRY_MS: Final = 1_000
RETRY_SPREAD_MS: Final = 4_000
"""A client that was cut off comes back after RETRY_MS and a random part of this: all at once would be a storm."""


_NOBODY: Final = Caller("", is_operator=False)


class Stream(StrEnum):
    """What can be followed."""

    FLAGS = "flags"
    ALERTS = "alerts"
    DECISIONS = "decisions"
    ROLLBACKS = "rollbacks"
    DEAD_LETTERS = "dead-letters"


class End(StrEnum):
    """Why a client is sent nothing more."""

    GONE = "it has hung up"
    SLOW = f"too slow: {QUEUE_EVENTS} events were waiting"
    STALLED = f"it took nothing for {SEND_S:.0f} s"
    CLOSED = "guardian ends"
    SPARED = "its place was needed for a client with fewer streams"


@dataclass(frozen=True)
class Event:
    """One event as it goes over the wire.

    Args:
        number: its place in the stream, from 1.
        data: the text.
    """

    number: int
    data: bytes


class Client:
    """What waits for one client.

    Args:
        first: what it gets before anything new.
        key: whose stream it is: what limits count by.
    """

    def __init__(self, first: list[bytes], key: str = "") -> None:
        self.key = key
        self.end: End | None = None
        self._waiting: deque[bytes] = deque(first)
        self._room = len(first) + QUEUE_EVENTS
        self._woken = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    def give(self, data: bytes) -> None:
        """Queue an event; when there is no room, the client is dropped."""
        if self.end is not None:
            return
        if len(self._waiting) >= self._room:
            self.finish(End.SLOW)
            return
        self._waiting.append(data)
        self._woken.set()

    def finish(self, why: End) -> None:
        """End it: what waits is not sent any more."""
        self.end = self.end or why
        self._waiting.clear()
        self._woken.set()
        if self._deadline is not None:
            # It hangs in a send: it may still take its last event, but not at its leisure.
            self._deadline.reschedule(asyncio.get_running_loop().time() + LAST_S)

    async def hand(self, send: Send, data: bytes) -> None:
        """Send an event.

        Raises:
            TimeoutError: the client did not take it in time.
        """
        within_s = SEND_S if self.end is None else LAST_S
        try:
            async with asyncio.timeout(within_s) as self._deadline:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self._deadline = None

    async def next(self, within_s: float) -> bytes:
        """Return the next event, or nothing when none came in time or the client is at its end.

        Args:
            within_s: seconds.
        """
        if not self._waiting and self.end is None:
            self._woken.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._woken.wait()
            except TimeoutError:
                return b""
        return self._waiting.popleft() if self._waiting else b""


class Hub:
    """All streams and their clients.

    Args:
        at_most: streams at a time.
        of_one_client: streams of one token or address.
    """

    def __init__(self, at_most: int = 200, of_one_client: int = 40) -> None:
        self._at_most, self._of_one_client = at_most, of_one_client
        # Whose streams they are, the oldest first.
        self._by_key: dict[str, dict[Client, Stream]] = {}
        self._count = 0
        # An id is good for this process only: another one has other numbers.
        self._run = uuid.uuid4().hex[:12]
        self._kept: dict[Stream, deque[Event]] = {stream: deque(maxlen=KEPT_EVENTS) for stream in Stream}
        self._numbers = dict.fromkeys(Stream, 0)
        self._clients: dict[Stream, set[Client]] = {stream: set() for stream in Stream}
        self._closed = False
        self._stands: dict[Stream, tuple[int, list[bytes]]] = {}
        for stream in Stream:
            metrics.CLIENTS.labels(stream).set(0)
            metrics.DROPPED.labels(stream)

    def publish(self, stream: Stream, value: Any) -> None:
        """Tell every client of a stream.

        Args:
            stream: which.
            value: a struct or plain values, written as JSON.
        """
        self._numbers[stream] += 1
        number = self._numbers[stream]
        event = Event(number, self._event(stream, number, value))
        self._kept[stream].append(event)
        for client in self._clients[stream]:
            client.give(event.data)

    def changed(self, stream: Stream) -> None:
        """Note that what stands has changed although there is no event to tell."""
        self._stands.pop(stream, None)

    def join(
        self,
        stream: Stream,
        last_id: str = "",
        state: Callable[[], list[Any]] = list,
        caller: Caller = _NOBODY,
    ) -> Client:
        """Return a new client.

        Args:
            stream: what it follows.
            last_id: the id of the last event that it saw, empty for none.
            state: says what stands now, for a client that cannot be told what it missed; nothing unless said.
            caller: whose stream it is.

        Raises:
            Refused: there are too many clients.
        """
        if self._closed:
            raise _no_room(str(End.CLOSED))
        if len(self._by_key.get(caller.key, ())) >= self._of_one_client:
            raise _no_room(f"{self._of_one_client} streams of this client are open already", "close one of them")
        if self._count >= self._places(stream, caller) and not self._spare(caller.key):
            raise _no_room(f"{self._count} clients follow streams already")
        retry_ms = RETRY_MS + random.randrange(RETRY_SPREAD_MS)  # noqa: S311  # no secret: it spreads who comes back
        client = Client([b"retry: %d\n\n" % retry_ms, *self._first(stream, last_id, state)], caller.key)
        self._by_key.setdefault(caller.key, {})[client] = stream
        self._count += 1
        self._clients[stream].add(client)
        metrics.CLIENTS.labels(stream).set(len(self._clients[stream]))
        return client

    def _places(self, stream: Stream, caller: Caller) -> int:
        """How many streams may be open before one more is too many."""
        reserve = max(1, self._at_most // RESERVED)
        if caller.is_operator:
            return self._at_most
        return self._at_most - (reserve if stream is Stream.ALERTS else 2 * reserve)

    def _spare(self, key: str) -> bool:
        """End the oldest stream of the client that has most, if that leaves it no fewer than this one gets."""
        heaviest = max(self._by_key.values(), key=len)
        if len(heaviest) < len(self._by_key.get(key, ())) + 2:
            return False
        client, stream = next(iter(heaviest.items()))
        client.finish(End.SPARED)
        self.leave(stream, client)
        metrics.SHED.labels("stream").inc()
        return True

    def leave(self, stream: Stream, client: Client) -> None:
        """Forget a client."""
        of_key = self._by_key.get(client.key, {})
        if of_key.pop(client, None) is not None:
            self._count -= 1
            if not of_key:
                del self._by_key[client.key]
        self._clients[stream].discard(client)
        metrics.CLIENTS.labels(stream).set(len(self._clients[stream]))

    def close(self) -> None:
        """End every client: guardian ends."""
        self._closed = True
        for clients in self._clients.values():
            for client in clients:
                client.finish(End.CLOSED)

    def _first(self, stream: Stream, last_id: str, state: Callable[[], list[Any]]) -> list[bytes]:
        """What the client missed; or, when that cannot be told any more, a word about it and what stands now."""
        run, _, text = last_id.partition("-")
        kept = self._kept[stream]
        oldest = kept[0].number if kept else self._numbers[stream] + 1
        seen = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
        if run == self._run and oldest - 1 <= seen <= self._numbers[stream]:
            return [event.data for event in kept if event.number > seen]
        first = []
        if last_id:
            missed = {"reason": "what was missed is not kept any more: read the whole anew"}
            first.append(b"event: reset\ndata: %s\n\n" % json_bytes(missed))
        return first + self._standing(stream, state)

    def _standing(self, stream: Stream, state: Callable[[], list[Any]]) -> list[bytes]:
        """What stands now, written once for all who come before the next event: a crowd of clients must not hold as
        many copies of ten thousand flags."""
        number, events = self._stands.get(stream, (-1, []))
        if number != self._numbers[stream]:
            number = self._numbers[stream]
            events = _joined(self._event(stream, number, value) for value in state())
            self._stands[stream] = number, events
        return events

    def _event(self, stream: Stream, number: int, value: Any) -> bytes:
        # JSON in one line: its line breaks are escaped, so nothing in it can end the event.
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._run.encode(), number, stream.encode(), json_bytes(value))


def _joined(events: Iterable[bytes]) -> list[bytes]:
    """Events in parts of SNAPSHOT_BYTES or a little more."""
    parts = [bytearray()]
    for event in events:
        if len(parts[-1]) >= SNAPSHOT_BYTES:
            parts.append(bytearray())
        parts[-1] += event
    return [bytes(part) for part in parts if part]


def _no_room(message: str, fix: str = "try again later") -> Refused:
    metrics.SHED.labels("stream").inc()
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no_room", message, fix, headers={"Retry-After": "5"})


class EventStream(Response):
    """The answer that never ends, for one client.

    Args:
        hub: where the client belongs.
        stream: what it follows.
        client: joined already.
        keep_alive_s: after so long without an event a comment is sent, so that nobody between takes it for dead.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, stream: Stream, client: Client, *, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        # Without Response's own constructor: it would promise a length.
        self.status_code = HTTPStatus.OK
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._hub, self._stream, self._client, self._keep_alive_s = hub, stream, client, keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client goes, is too slow, or guardian ends."""
        gone = asyncio.create_task(_hang_up(receive, self._client))
        try:
            await self._send_all(send)
        except TimeoutError:
            self._client.finish(End.STALLED)
        finally:
            gone.cancel()
            self._hub.leave(self._stream, self._client)
        if self._client.end in (End.SLOW, End.STALLED):
            metrics.DROPPED.labels(self._stream).inc()
            log.warning("a client of the stream %s is dropped: %s", self._stream, self._client.end)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._client.end is None:
            data = await self._client.next(self._keep_alive_s)
            if self._client.end is None:
                await self._client.hand(send, data or b": still here\n\n")
        if self._client.end is not End.GONE:
            await self._client.hand(send, b"event: end\ndata: %s\n\n" % json_bytes({"reason": self._client.end}))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _hang_up(receive: Receive, client: Client) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    client.finish(End.GONE)
