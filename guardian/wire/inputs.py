"""The value of a record on guardian.inputs: one byte of format, then msgpack, checked whole before anything counts it.

What guardian's own ingest writes always passes. The checks are for everything else that may stand in the log: a record
of a stranger, of a damaged disk, of a future build. It takes its offset and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from guardian.core.histogram import BIN_COUNT
from guardian.core.inputs import INPUT_FORMAT, Batch, Bucket, Gauge, Heartbeat, Payload, Watermarks
from guardian.errors import DecodeError, DecodeReason

MAX_SECOND: Final = 10**11
"""As Unix seconds the year 5138."""
MAX_COUNT: Final = 2**53
"""Whole numbers up to here are exact as doubles, in which sums of bins are made."""
MAX_FIGURE: Final = 1e60
"""Far beyond a sum of 2^53 squares of 10^15, the largest figure that passes ingest's door."""

MAX_PARTITIONS: Final = 16_384
"""Of all source topics together; each of them is looked at once a second."""

_PREFIX = bytes([INPUT_FORMAT])
_FIGURES: Final = 4
_MIGRATIONS: Final = (0, 3)
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Payload] = msgspec.msgpack.Decoder(Payload)


def encode_payload(payload: Payload) -> bytes:
    """Return the record's value."""
    return _PREFIX + _encoder.encode(payload)


def decode_payload(value: bytes | None) -> Payload:
    """Return what the record says.

    Raises:
        DecodeError: another format, or not what guardian writes. The offset is taken, nothing changes.
    """
    if not value or value[:1] != _PREFIX:
        found = "nothing" if not value else f"format {value[0]}"
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"input record has {found}, this version reads {INPUT_FORMAT}")
    try:
        payload = _decoder.decode(value[1:])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(DecodeReason.WRONG_TYPE, f"input record: {error}") from error
    if isinstance(payload, Batch):
        _check_batch(payload)
    elif isinstance(payload, Watermarks):
        _check_marks(payload)
    return payload


def _check_batch(batch: Batch) -> None:
    _insist(0 <= batch.start <= batch.end, "its range")
    for cell in batch.cells:
        _insist(cell.flag_version >= 0, "a version")
        for bucket in cell.buckets:
            _check_bucket(bucket)
    for heartbeat in batch.heartbeats:
        _check_sign(heartbeat)
    for gauge in batch.gauges:
        _check_sign(gauge)


def _check_bucket(bucket: Bucket) -> None:
    counts = (
        bucket.n, bucket.ok, bucket.error, bucket.timeout, bucket.crash, bucket.hang, bucket.latency_n,
        bucket.latency_sum_us, bucket.exposures, *bucket.migrations, *bucket.pairs, *bucket.bin_counts,
        *bucket.feedback.values(), *bucket.signatures.values(),
    )  # fmt: skip
    _insist(0 <= bucket.second <= MAX_SECOND, "a second")
    _insist(min(counts) >= 0 and max(counts) <= MAX_COUNT, "a count")
    _insist(len(bucket.bins) == len(bucket.bin_counts), "a histogram")
    _insist(not bucket.bins or (min(bucket.bins) >= 0 and max(bucket.bins) < BIN_COUNT), "a bin")
    _insist(len(bucket.migrations) in _MIGRATIONS and len(bucket.pairs) in (0, 5), "migrations")
    _insist(all(len(figures) >= _FIGURES for figures in bucket.metrics.values()), "a figure")
    _insist(_are_finite((bucket.deviation_sum, *(x for figures in bucket.metrics.values() for x in figures))), "a sum")


def _check_sign(sign: Heartbeat | Gauge) -> None:
    _insist(0 <= sign.at_ms <= MAX_SECOND * 1_000 and _are_finite(sign.metrics.values()), "a gauge")


def _check_marks(marks: Watermarks) -> None:
    _insist(all(0 <= count <= MAX_PARTITIONS for count in marks.expected.values()), "expected partitions")
    _insist(sum(marks.expected.values()) <= MAX_PARTITIONS, "expected partitions")
    _insist(all(0 <= mark.watermark_ms <= MAX_SECOND * 1_000 for mark in marks.marks), "a watermark")


def _are_finite(figures: Iterable[float]) -> bool:
    return all(math.isfinite(figure) and abs(figure) <= MAX_FIGURE for figure in figures)


def _insist(holds: bool, what: str) -> None:
    if not holds:
        raise DecodeError(DecodeReason.BAD_VALUE, f"input record: {what} is not one that ingest writes")
