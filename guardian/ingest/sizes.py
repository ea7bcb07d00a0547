"""How many bytes of msgpack the parts of an input record take at the most, so that a range is closed in time.

Each bound is proved by the encoding. A text of n bytes takes n and at most 2 more (n < 256: every name is cut to 128
bytes of UTF-8, flags have 128 ASCII characters). A float takes 9 bytes. A whole number takes 1 byte below 128, and
never more than 9. An array or map takes 1 byte up to 15 items, 3 up to 65,535.

Counters grow with what they count, so most of their bytes are charged to the events: a counter of v takes at most
1 + v / 64 bytes (2 from 128, 3 from 256, 5 from 65,536, 9 from 4,294,967,296), and so does a sum of counters.
An event raises at most 36 counters (4, and one for each of 32 metrics), which is 0.6 bytes, and one class of the
histogram: 3 bytes for its index, 1 for its count, and a quarter for the two arrays' headers, which take 2 bytes more
each from 16 classes on. That is less than 5 bytes.

tests/ingest/test_sizes.py holds the bounds against what is encoded, over random hostile ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from guardian.core.inputs import OTHER

REQUEST: Final = 5
"""An event: what it adds to counters and to the histogram of its bucket."""
BUCKET: Final = 56
"""A bucket with no event in it: 3 for the array, 9 for the second, the sum of latencies and that of deviations each,
3 for the map of metrics, 2 for each of two sketches, 1 for each of 14 others."""
OTHER_KINDS: Final = 52
"""What feedback (three words and their counts: 25), migrations (3) and dual runs (3 and two sums of 9) add to it."""
METRIC: Final = 36
"""A named figure beside its name: 2 for the name, 1 for the array, 3 floats, 1 for a counter, and some."""
_CELL: Final = 48
"""A cell beside its names: 1 for the array, 3 times 2 for these, 9 for the version, 13 for the assignment, 6 for a
segment, 1 for the overlap, 5 for the buckets."""
_HEARTBEAT: Final = 96
"""Beside names: 3 numbers of 9, 3 of the later fields with 19, 2 for maps of 3, and memory and processor with 40."""
_GAUGE: Final = 24
ENVELOPE: Final = 512
"""The batch: its source's topic (249) and id (32), and the headers of its lists."""
LARGEST_REQUEST: Final = 640
"""The most that one plain request adds: a cell of 48 + 384 bytes, its bucket, a signature of 136."""
LARGEST_EVENT: Final = 380_000
"""The most that any event adds: a request of 64 flags and 32 metrics, every name 128 bytes long, makes 64 cells of
48 + 384 bytes, a bucket of 108, a signature of 136, 32 metrics of 164, and REQUEST: 379,456 bytes. A heartbeat of 1,024
flags takes 148,000."""

_OTHER_BYTES: Final = len(OTHER)


def text(value: str) -> int:
    """Return the bytes of a text, without its header."""
    return len(value) if value.isascii() else len(value.encode())


def cell(key: tuple[str, int, str, str, str]) -> int:
    """Return a bound for a cell without its buckets, also when it becomes `other`."""
    flag, _, variant, _, service = key
    return _CELL + text(flag) + max(text(variant), _OTHER_BYTES) + max(text(service), _OTHER_BYTES)


def signature(value: str) -> int:
    """Return a bound for an error signature with its count."""
    return 8 + text(value)


def metric(name: str) -> int:
    """Return a bound for a named figure of a bucket."""
    return METRIC + text(name)


def heartbeat(service: str, instance: str, flags: Iterable[str], metrics: Mapping[str, float]) -> int:
    """Return a bound for a heartbeat."""
    named = sum(12 + text(name) for name in flags) + sum(12 + text(name) for name in metrics)
    return _HEARTBEAT + 4 + text(service) + text(instance) + named


def gauge(flag: str, service: str, instance: str, metrics: Mapping[str, float]) -> int:
    """Return a bound for the gauges of one instance and flag."""
    named = sum(12 + text(name) for name in metrics)
    return _GAUGE + 6 + text(flag) + text(service) + text(instance) + named
