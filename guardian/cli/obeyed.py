"""What SDKs obey now, read from guardian.flags alone and folded by the SDK's own store."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiokafka import ConsumerRecord

from guardian.cli.reading import reached, reaching
from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.errors import DecodeError
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, require_topics
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.sdk.document import FlagDocument
from guardian.sdk.freshness import SILENT_BEATS
from guardian.sdk.store import Store
from guardian.wire.cloudevents import SOURCE_DECIDE
from guardian.wire.emergency import SOURCE
from guardian.wire.flagd import document_state

GUARDIAN: Final = "guardian"
EMERGENCY: Final = "emergency"
SOMEBODY_ELSE: Final = "somebody else"
SILENT_S: Final = SILENT_BEATS * BEAT_SECONDS
_POLL_MS: Final = 100


@dataclass(frozen=True)
class Obeyed:
    """The document of one flag that SDKs obey.

    Args:
        document: it.
        written_ms: the record's timestamp.
        writer: who wrote it, by what it says of itself: nothing proves it.
    """

    document: FlagDocument
    written_ms: int
    writer: str

    @property
    def share_bp(self) -> int | None:
        """The candidate's share in basis points; None for a targeting that is not guardian's own."""
        if self.document.killed or self.document.serves_nobody:
            return 0
        return int(self.document.stamp["weight_bp"]) if self.writer == GUARDIAN else None


@dataclass
class Flags:
    """What stands on guardian.flags.

    Args:
        obeyed: by flag, in alphabetical order.
        refused: flags with a document that serves the candidate and whose pair is too far ahead: SDKs do not obey it.
        greatest_epoch: of every document that is not too far ahead.
        newest_ms: the newest timestamp of any record; 0 without one.
        beats_ms: when each partition last gave a sign of life.
        partitions: how many the topic has.
    """

    obeyed: dict[str, Obeyed] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    greatest_epoch: int = 0
    newest_ms: int = 0
    beats_ms: dict[int, int] = field(default_factory=dict)
    partitions: int = 0

    def silent(self, now_ms: int) -> list[int]:
        """Return the partitions whose decide has given no sign of life for too long."""
        silent_ms = SILENT_S * 1_000
        return [number for number in range(self.partitions) if now_ms - self.beats_ms.get(number, 0) > silent_ms]


async def read_flags(settings: Settings, flag: str = "") -> Flags:
    """Read guardian.flags to the end that it has now.

    Args:
        settings: where Kafka is.
        flag: only the partition of this flag is read; empty for all.

    Raises:
        TransportError: the topic is not there, or Kafka did not answer in time.
    """
    name = settings.topic(TOPICS["flags"].name)
    async with reaching(settings):
        await require_topics(settings, [name])
    async with (
        reached(consumer(settings, name, auto_offset_reset="earliest"), settings) as reader,
        reaching(settings),
    ):
        places = sorted(reader.assignment(), key=lambda place: place.partition)
        count = len(places)
        if flag:
            places = [place for place in places if place.partition == partition_of(flag, count)]
        ends = await reader.end_offsets(places)
        await reader.seek_to_beginning(*places)
        records: list[ConsumerRecord] = []
        # The end may be a record that compaction took: so the position tells, not the last record that was seen.
        while behind := [place for place in places if await reader.position(place) < ends[place]]:
            for found in (await reader.getmany(*behind, timeout_ms=_POLL_MS)).values():
                records += found
    return fold_flags(records, count, int(time.time() * 1_000))


def fold_flags(records: Iterable[ConsumerRecord], partitions: int, now_ms: int) -> Flags:
    """Return what SDKs obey after these records, in the order of each partition.

    Args:
        records: of guardian.flags.
        partitions: how many the topic has.
        now_ms: this machine's Unix milliseconds.
    """
    records = list(records)
    found, store = Flags(partitions=partitions), Store()
    sources: dict[str, ConsumerRecord] = {}
    for record in records:
        found.newest_ms = max(found.newest_ms, record.timestamp)
        if record.key == BEAT_KEY.encode():
            found.beats_ms[record.partition] = record.timestamp
    now_ms = max(now_ms, *found.beats_ms.values(), 0)
    for record in records:
        if record.key != BEAT_KEY.encode() and (flag := store.apply(record.key, record.value, now_ms)):
            sources[flag] = record
    for flag in sorted(store.documents):
        record = sources[flag]
        found.obeyed[flag] = Obeyed(store.documents[flag], record.timestamp, _writer(flag, record))
    found.refused = sorted(store.ahead)
    pairs = [document.pair for document in store.documents.values()] + list(store.graves.values())
    found.greatest_epoch = max((epoch for epoch, _ in pairs), default=0)
    return found


def _writer(flag: str, record: ConsumerRecord) -> str:
    source = next((value for name, value in record.headers if name == "ce_source"), b"").decode(errors="replace")
    writer = {SOURCE_DECIDE: GUARDIAN, SOURCE: EMERGENCY}.get(source)
    try:
        document_state(flag, orjson.loads(record.value or b""))
    except (DecodeError, orjson.JSONDecodeError, KeyError, TypeError):
        return SOMEBODY_ELSE
    return writer or SOMEBODY_ELSE
