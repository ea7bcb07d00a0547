"""Record batches that cannot be read are stepped over: aiokafka would raise at the same batch for ever.

A batch cannot be read when its codec is unknown or not installed, when its checksum or its structure is wrong, or when
it is larger than a fetch. Waiting heals none of these. aiokafka 0.14 raises out of `getmany` for all partitions, keeps
the position, and raises again at the next call. Used by guardian's own clients and by the SDK.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, RecordTooLargeError

LOG_EVERY_S: Final = 60.0
"""One line in this time for each partition; every batch is counted."""


class Unreadable(NamedTuple):
    """What stands at offsets that cannot be read.

    Args:
        partition: of which topic.
        offset, end: the half-open range of offsets.
        timestamp: the batch's, Unix milliseconds; 0 when it cannot be trusted.
        why: the error, in words.
    """

    partition: TopicPartition
    offset: int
    end: int
    timestamp: int
    why: str

    @property
    def text(self) -> str:
        """One sentence for the log."""
        return f"{self.partition.topic}/{self.partition.partition} [{self.offset}, {self.end}): {self.why}"


StandIns = Callable[[Unreadable], Sequence[Any] | None]
"""What the consumer returns in place of an unreadable batch: nothing, records of its own, or None to raise."""


def nothing(_: Unreadable) -> Sequence[Any]:
    """Stand in for an unreadable batch with no records: the consumer goes on behind it."""
    return ()


class Teller:
    """Counts what is stepped over, and logs it at a bounded rate.

    Args:
        log: where to.
        count: called with the topic and the number of offsets.
        clock: a steady clock, in seconds.
    """

    def __init__(
        self, log: logging.Logger, count: Callable[[str, int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._count, self._clock = log, count, clock
        self._said_s: dict[TopicPartition, float] = {}

    def __call__(self, found: Unreadable) -> None:
        """Take note of one batch."""
        self._count(found.partition.topic, found.end - found.offset)
        now_s = self._clock()
        if now_s - self._said_s.get(found.partition, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._said_s[found.partition] = now_s
            self._log.error("stepped over records that cannot be read: %s", found.text)


def step_over_unreadable(
    consumer: AIOKafkaConsumer, tell: Callable[[Unreadable], None], stand_ins: StandIns = nothing
) -> None:
    """Make a consumer go on behind batches that it cannot read.

    A batch's stand-ins come in a list of their own: `getmany` never mixes them with other records of the partition.

    Args:
        consumer: started, with nothing fetched yet.
        tell: called once for each batch that is stepped over, before its stand-ins are returned.
        stand_ins: what the consumer returns in its place.
    """
    # aiokafka has no hook. This replaces one private method of one object, not of the class: an application's own
    # consumers stay as they are.
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def fetch_readable(assignment: Any, node_id: int, request: Any) -> bool:
        woken: bool = await fetch(assignment, node_id, request)
        # No await between aiokafka's storing of the results and this: nobody can have taken one.
        for partition, result in fetcher._records.items():
            if type(result) is FetchResult and type(result._partition_records) is PartitionRecords:
                _Readable.adopt(result, tell, stand_ins)
            elif type(result) is FetchError and isinstance(result._error, RecordTooLargeError):
                fetcher._records[partition] = _too_large(partition, result, assignment, tell, stand_ins)
        return woken

    fetcher._proc_fetch_request = fetch_readable


class _Batches:
    """aiokafka's batches of one fetch; the one that was returned last is remembered."""

    def __init__(self, batches: Any) -> None:
        self.last: Any = None
        self._batches = batches

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        self.last = None
        self.last = self._batches.next_batch()
        return self.last


class _Readable(PartitionRecords):  # type: ignore[misc]  # aiokafka is untyped here
    """aiokafka's records of one partition and fetch, up to the first batch that cannot be read; or its stand-ins."""

    next_fetch_offset: int
    _records_iterator: Iterator[Any]
    _records: _Batches
    _tell: Callable[[Unreadable], None]
    _stand_ins: StandIns
    _began_at: int
    _highwater: int | None

    @classmethod
    def adopt(cls, result: FetchResult, tell: Callable[[Unreadable], None], stand_ins: StandIns) -> None:
        """Change what aiokafka made, before its first record is taken."""
        records = result._partition_records
        records.__class__ = cls
        records._records = _Batches(records._records)
        records._tell, records._stand_ins = tell, stand_ins
        records._began_at = records.next_fetch_offset
        records._highwater = result._assignment.state_value(result._topic_partition).highwater

    def __next__(self) -> ConsumerRecord:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = iter(())
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic inside a codec's Rust is no Exception
            self._records_iterator = self._instead(error)
            return next(self._records_iterator)

    def _instead(self, error: BaseException) -> Iterator[Any]:
        """What is returned from here on."""
        if self.next_fetch_offset != self._began_at:
            return iter(())  # what came before it goes first; the batch is fetched once more, and is then the first
        found = self._measured(error)
        made = self._stand_ins(found)
        if made is None:
            raise error
        self._tell(found)
        self.next_fetch_offset = found.end
        return iter(made)

    def _measured(self, error: BaseException) -> Unreadable:
        """How far the batch reaches. Its own header may be what is broken: it is believed within bounds."""
        start, batch = self.next_fetch_offset, self._records.last
        end = start + 1
        if batch is not None:
            end = max(end, batch.next_offset)
            if self._highwater is not None:
                end = max(start + 1, min(end, self._highwater))
            if (following := self._following_offset()) is not None and following > start:
                end = min(end, following)
        sound = batch is not None and not isinstance(error, CorruptRecordException)
        why = f"{type(error).__name__}: {error}"[:500]
        return Unreadable(self._tp, start, end, batch.max_timestamp if sound else 0, why)

    def _following_offset(self) -> int | None:
        try:
            return int(self._records.next_batch().base_offset) if self._records.has_next() else None
        except CorruptRecordException:
            return None


class _Given:
    """Stand-ins in the place of aiokafka's records."""

    def __init__(self, made: Sequence[Any], next_fetch_offset: int) -> None:
        self.next_fetch_offset = next_fetch_offset
        self._made = iter(made)

    def __iter__(self) -> Iterator[Any]:
        return self._made

    def __next__(self) -> Any:
        return next(self._made)


def _too_large(
    partition: TopicPartition,
    result: FetchError,
    assignment: Any,
    tell: Callable[[Unreadable], None],
    stand_ins: StandIns,
) -> FetchError | FetchResult:
    """Stand-ins for a record that is larger than a fetch; aiokafka has moved the position behind it already."""
    end = assignment.state_value(partition).position
    found = Unreadable(partition, end - 1, end, 0, f"RecordTooLargeError: {result._error}"[:500])
    made = stand_ins(found)
    if made is None:
        return result
    tell(found)
    return FetchResult(partition, assignment=assignment, partition_records=_Given(made, end), backoff=result._backoff)
