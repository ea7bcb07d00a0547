"""The owner follows guardian.flags and reports through the log where something else lies there than it asserts.

Compaction keeps the last record of a key, also a late one of a zombie, a stranger's document or tombstone; and a topic
that was recreated holds nothing. The watcher only reports: the fold compares when it reaches the report, when it has
folded all that its predecessor had.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from guardian.core.epochs import too_far_ahead
from guardian.core.events import BEAT_KEY
from guardian.core.inputs import FlagReport
from guardian.core.outputs import FlagState
from guardian.core.served import content_hash, everyone_gets, served_content, serves_nobody
from guardian.decide.metrics import REASSERTS
from guardian.decide.publish import Publisher
from guardian.kafka.clients import follow, read_newest
from guardian.kafka.settings import Settings
from guardian.wire.inputs import encode_payload
from guardian.wire.outputs import Message

CHECK_SECONDS: Final = 1.0
GRACE_MS: Final = 3_000
"""After a crash outputs repeat, older ones first: what heals by itself within this time is left alone."""
MAX_VERSION: Final = 2**63 - 1
MAX_SIGNATURE_CHARS: Final = 256
SERVED: Final = ("state", "variants", "defaultVariant", "targeting")
"""The fields of a document that readers serve by."""
UNREADABLE: Final = "unreadable"
"""The content of a document that readers may take although guardian cannot hash it."""
SCAN_EVERY: Final = 15
"""Every so many checks all flags that we assert are compared, not those alone of which something landed."""
MAX_AT_ONCE: Final = 200
"""Reported at one check; the others follow at the next ones."""
MAX_PAUSE_MS: Final = 300_000
"""Between two reports of one flag, which wait twice as long each time."""
MAX_KILL_PAUSE_MS: Final = 12_000
"""The same where our own document is a kill or zero, or the other one gives the same value to everybody."""
FORGET_MS: Final = 600_000
"""A flag of which nothing was reported for so long begins with GRACE_MS."""


class Found(NamedTuple):
    """What a record of guardian.flags says; epoch and version are ordered as a pair.

    Args:
        epoch, version: of the document.
        content: hash of what readers serve by it.
        everyone: hash of the one value that everybody gets; empty without one.
        signature: as it stands in the metadata.
    """

    epoch: int
    version: int
    content: str = ""
    everyone: str = ""
    signature: str = ""


GONE: Final = Found(-1, -1)
"""A tombstone, nothing at all, or what no reader takes: readers would fall back to the code's default, which may be the
candidate."""


class Asserted(NamedTuple):
    """What we assert of a flag."""

    epoch: int
    version: int
    content: str
    is_nobody: bool

    @classmethod
    def of(cls, state: FlagState) -> Asserted:
        """Return it for a flag's state."""
        return cls(state.epoch, state.version, content_hash(served_content(state)), serves_nobody(state))

    def stands(self, found: Found) -> bool:
        """Return whether this is what was found."""
        return (self.epoch, self.version, self.content) == (found.epoch, found.version, found.content)


class _Pause(NamedTuple):
    """How long a flag waits for its next report, and when it was last reported."""

    pause_ms: int
    reported_ms: int


class _Metadata(msgspec.Struct):
    epoch: int
    version: int
    signature: Any = ""


class _Document(msgspec.Struct):
    metadata: _Metadata


class Landed:
    """What lies on top for each flag, what readers obey of it, and since when it is not what we assert.

    The two differ: a document of ours that lands on a newer one of somebody else hides it, and no reader obeys ours.
    """

    def __init__(self) -> None:
        self._last: dict[str, Found] = {}
        self._obeyed: dict[str, Found] = {}
        self._due_ms: dict[str, int] = {}
        self._disputed: dict[str, Found] = {}
        self._pauses: dict[str, _Pause] = {}
        self.touched: set[str] = set()
        """Flags of which something has landed since this was emptied."""

    def see(self, flag: str, found: Found, now_ms: int) -> None:
        """Note a record in the order of the topic.

        Args:
            flag: its key.
            found: what it says.
            now_ms: Unix milliseconds; readers refuse a pair too far ahead of it.
        """
        self._last[flag] = found
        is_newer = (found.epoch, found.version) > _pair(self._obeyed.get(flag, GONE))
        if is_newer and not too_far_ahead(found.epoch, found.version, now_ms):
            self._obeyed[flag] = found
        self.touched.add(flag)

    def has_seen(self, flag: str) -> bool:
        """Whether anything of this flag has landed, or is known to be missing."""
        return flag in self._last

    def miss(self, flag: str) -> None:
        """Note that the topic, read to its end, holds nothing of this flag."""
        if flag not in self._last:
            self.see(flag, GONE, 0)

    @property
    def disputed(self) -> set[str]:
        """The flags on which something else lay than we assert when they were last compared."""
        return set(self._due_ms)

    def compare(self, flag: str, ours: Asserted, now_ms: int) -> None:
        """Compare what lies there with what we assert; a flag of which nothing has landed yet is not judged."""
        found = self._found(flag, ours)
        if found is None or ours.stands(found):
            self._due_ms.pop(flag, None)
            self._disputed.pop(flag, None)
            return
        self._disputed[flag] = found
        if flag not in self._due_ms:
            self._due_ms[flag] = now_ms + self._pause_ms(flag, ours, now_ms)
        elif ours.is_nobody or found.everyone:
            # It may have become urgent while it waited.
            self._due_ms[flag] = min(self._due_ms[flag], now_ms + MAX_KILL_PAUSE_MS)

    def due(self, now_ms: int) -> list[tuple[str, Found]]:
        """Return the flags whose time of grace is over, with what lies there; then their time begins again, doubled.

        At most MAX_AT_ONCE, those that have waited longest first.
        """
        due = sorted((due_ms, flag) for flag, due_ms in self._due_ms.items() if due_ms <= now_ms)
        flags = [flag for _, flag in due[:MAX_AT_ONCE]]
        for flag in flags:
            pause = self._pauses.get(flag, _Pause(GRACE_MS, now_ms))
            fresh = now_ms - pause.reported_ms > FORGET_MS
            doubled = min(2 * (GRACE_MS if fresh else pause.pause_ms), MAX_PAUSE_MS)
            self._pauses[flag] = _Pause(doubled, now_ms)
            self._due_ms[flag] = now_ms + doubled
        return [(flag, self._disputed[flag]) for flag in flags]

    def _found(self, flag: str, ours: Asserted) -> Found | None:
        """What is to be compared: what readers obey where it is newer than ours, else what lies on top."""
        obeyed = self._obeyed.get(flag)
        if obeyed is not None and _pair(obeyed) > (ours.epoch, ours.version):
            return obeyed
        return self._last.get(flag)

    def _pause_ms(self, flag: str, ours: Asserted, now_ms: int) -> int:
        pause = self._pauses.get(flag)
        if pause is None or now_ms - pause.reported_ms > FORGET_MS:
            self._pauses.pop(flag, None)
            return GRACE_MS
        urgent = ours.is_nobody or bool(self._disputed[flag].everyone)
        return min(pause.pause_ms, MAX_KILL_PAUSE_MS) if urgent else pause.pause_ms


def _pair(found: Found) -> tuple[int, int]:
    return found.epoch, found.version


def read_found(value: bytes | None) -> Found:
    """Return what a record says; GONE for one that no reader takes."""
    try:
        metadata = msgspec.json.decode(value or b"", type=_Document).metadata
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return GONE
    if not (0 <= metadata.epoch <= MAX_VERSION and 0 <= metadata.version <= MAX_VERSION):
        return GONE
    signature = metadata.signature[:MAX_SIGNATURE_CHARS] if isinstance(metadata.signature, str) else ""
    try:
        document = msgspec.json.decode(value or b"")
        content = {name: document[name] for name in SERVED if document.get(name)}
        return Found(metadata.epoch, metadata.version, content_hash(content), everyone_gets(content), signature)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError, TypeError, ValueError):
        return Found(metadata.epoch, metadata.version, UNREADABLE, "", signature)


class FlagWatch:
    """Follows guardian.flags for one process; of guardian.rollouts it asks whether it has a status of each flag.

    Args:
        settings: the installation.
        publisher: what writes.
        owner_of: the partition of a flag if it is ours, else None.
        asserted: the flags that we assert now.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        owner_of: Callable[[str], int | None],
        asserted: Callable[[], Iterable[FlagState]],
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._owner_of = owner_of
        self._asserted = asserted
        self._landed = Landed()
        self._known: dict[str, Asserted] = {}
        self._checks = 0
        self._looked_up: set[str] = set()
        self._unsaid: deque[str] = deque()

    async def follow(self) -> None:
        """Note what lands, until cancelled.

        Raises:
            TransportError: the topic is not there.
        """
        async for record in follow(self._settings, ["flags"], from_beginning=True):
            flag = (record.key or b"").decode(errors="replace")
            if flag != BEAT_KEY:
                self._landed.see(flag, read_found(record.value), max(int(time.time() * 1_000), record.timestamp))

    def look_again(self) -> None:
        """Compare all flags at the next check: partitions have become ours."""
        self._checks = 0

    async def check(self) -> None:
        """Report what is not as we assert it, until cancelled.

        Raises:
            TransportError: Kafka did not answer.
        """
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self._checks += 1
            if self._checks == 1:
                await self._scan_statuses()
            is_scan = self._checks % SCAN_EVERY == 1
            if is_scan:
                await self._look_for_missing()
            self._compare(all_flags=is_scan)

    def _compare(self, *, all_flags: bool) -> None:
        wanted, self._landed.touched = self._landed.touched | self._landed.disputed, set()
        if not (all_flags or wanted or self._unsaid):
            return
        now_ms = _now_ms()
        states = {state.flag: state for state in self._asserted()}
        for flag in states if all_flags else wanted & states.keys():
            self._landed.compare(flag, self._ours(states[flag]), now_ms)
        due = self._landed.due(now_ms)
        for flag, found in due:
            if flag in states:
                self._report(flag, found, self._ours(states[flag]))
        for flag in [self._unsaid.popleft() for _ in range(min(len(self._unsaid), MAX_AT_ONCE - len(due)))]:
            if flag in states:
                # Found as it should be: it is the status that is written again.
                ours = self._ours(states[flag])
                self._report(flag, Found(ours.epoch, ours.version, ours.content), ours)

    def _ours(self, state: FlagState) -> Asserted:
        """What we assert; hashed once for each version."""
        known = self._known.get(state.flag)
        if known is None or (known.epoch, known.version) != (state.epoch, state.version):
            known = self._known[state.flag] = Asserted.of(state)
        return known

    def _report(self, flag: str, found: Found, ours: Asserted) -> None:
        if (partition := self._owner_of(flag)) is not None:
            REASSERTS.inc()
            payload = encode_payload(FlagReport(flag, *found, ours.epoch, ours.version))
            self._publisher.write(Message("inputs", b"", payload, [], partition), partition)

    async def _look_for_missing(self) -> None:
        if any(not self._landed.has_seen(state.flag) for state in self._asserted()):
            # Whether the follower has come to the end nobody knows: so the topic is read once more, up to its end.
            there = await _flags_in(self._settings, "flags")
            for state in self._asserted():
                if state.flag not in there:
                    self._landed.miss(state.flag)

    async def _scan_statuses(self) -> None:
        """Note which statuses are missing; once for each flag that has become ours."""
        fresh = {state.flag for state in self._asserted()} - self._looked_up
        if fresh:
            self._looked_up |= fresh
            self._unsaid.extend(sorted(fresh - await _flags_in(self._settings, "rollouts")))


async def _flags_in(settings: Settings, topic: str) -> set[str]:
    """The keys of a compacted topic, as it is at this moment, that hold something."""
    return {key.decode(errors="replace") for key, _ in await read_newest(settings, topic)}


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1_000)
