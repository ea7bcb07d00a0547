"""What serve has said and says, as records: the past from its lists, the news from its server-sent events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from guardian.cli.door import Said, Topic

MAX_LISTED: Final = 1_000
"""Serve gives no more at a time."""
_SEEN: Final = 50_000
"""More than serve keeps of anything."""


class Past:
    """What was said of one topic, each record once.

    Args:
        topic: which.
        flag: only this flag's; empty for all.
    """

    def __init__(self, topic: Topic, flag: str) -> None:
        self.topic = topic
        self.path = f"/v1/{topic}"
        self.query: dict[str, Any] = {} if topic is Topic.FLAGS else {"flag": flag, "limit": MAX_LISTED}
        self.ended = False
        """Whether the past has been told: what comes now is new."""
        self._seen: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    def take(self, body: dict[str, Any]) -> list[Said]:
        """Return what a list of serve holds that was not seen before, the oldest first."""
        found = body.get(self.topic.replace("-", "_"), [])
        if isinstance(found, dict):
            listed = [{"flag": flag, "document": document} for flag, document in found.items()]
            listed.sort(key=lambda one: _changed_ms(one["document"]))
        else:
            listed = found[::-1]
        return [said for one in listed if (said := self.news(one)) is not None]

    def news(self, value: dict[str, Any]) -> Said | None:
        """Return one thing that serve has said, None when it was seen before."""
        known = identity(self.topic, value)
        if known in self._seen:
            return None
        self._seen[known] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        if self.topic is Topic.FLAGS:
            document = value["document"]
            return Said(value["flag"], None if document is None else msgspec.json.encode(document))
        key = value["id"] if self.topic in (Topic.ALERTS, Topic.DEAD_LETTERS) else value["flag"]
        return Said(key, msgspec.json.encode(value))


def identity(topic: Topic, value: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells one record of a topic from the others."""
    match topic:
        case Topic.FLAGS:
            metadata = (value["document"] or {}).get("metadata", {})
            return value["flag"], metadata.get("epoch"), metadata.get("version")
        case Topic.ALERTS:
            return value["id"], value["active"], value["at_ms"]
        case _:
            return (value["id"],)


class Event(NamedTuple):
    """A server-sent event: its kind, its value, and where to go on behind it."""

    kind: str
    value: dict[str, Any]
    id: str


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Yield server-sent events; comments and everything that is no JSON object are left out.

    Args:
        lines: the stream's, without their ends.
    """
    kind, data, place = "message", "", ""
    async for line in lines:
        name, _, text = line.partition(":")
        text = text.removeprefix(" ")
        if name == "event":
            kind = text
        elif name == "data":
            data += text
        elif name == "id":
            place = text
        elif not line:
            if data and isinstance(value := msgspec.json.decode(data), dict):
                yield Event(kind, value, place)
            kind, data, place = "message", "", ""


def _changed_ms(document: dict[str, Any] | None) -> int:
    metadata = (document or {}).get("metadata")
    found = metadata.get("changed_ms", 0) if isinstance(metadata, dict) else 0
    return found if isinstance(found, int) else 0
