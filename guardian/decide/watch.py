"""The owner follows guardian.flags: where an older document or none lies on top, it asserts its own again.

Compaction keeps the last record of a key, also a late one of a zombie, or a stranger's tombstone; and a topic that was
made anew holds nothing. The answer goes through the log as a Reassert.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from guardian.core.events import BEAT_KEY
from guardian.core.inputs import Reassert
from guardian.core.outputs import FlagState
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
SCAN_EVERY: Final = 15
"""Every so many checks all flags that we assert are compared, not those alone that were seen going back."""
MAX_AT_ONCE: Final = 200
"""Written at one check; the others follow at the next ones."""
MAX_PAUSE_MS: Final = 300_000
"""Between two reassertions of one flag, which wait twice as long each time that they changed nothing."""


class Version(NamedTuple):
    """Ordered as a pair."""

    epoch: int
    version: int


GONE: Final = Version(-1, -1)
"""A tombstone or nothing at all, older than any document: readers would fall back to the code's default, which may be
the candidate."""


class _Metadata(msgspec.Struct):
    epoch: int
    version: int


class _Document(msgspec.Struct):
    metadata: _Metadata


class _Behind(NamedTuple):
    """A flag whose newest document is covered: when it is asserted again, and how long it was waited for."""

    due_ms: int
    pause_ms: int


class Landed:
    """What lies on top for each flag, and what should."""

    def __init__(self) -> None:
        self._last: dict[str, Version] = {}
        self._greatest: dict[str, Version] = {}
        self._behind: dict[str, _Behind] = {}

    def see(self, flag: str, version: Version, now_ms: int) -> None:
        """Note a record in the order of the topic."""
        self._last[flag] = version
        self.expect(flag, version, now_ms)

    def expect(self, flag: str, version: Version, now_ms: int) -> None:
        """Note that this version was asserted; a flag of which nothing has landed yet is not judged."""
        greatest = self._greatest[flag] = max(self._greatest.get(flag, version), version)
        if flag in self._last and self._last[flag] < greatest:
            self._behind.setdefault(flag, _Behind(now_ms + GRACE_MS, GRACE_MS))
        else:
            self._behind.pop(flag, None)

    def has_seen(self, flag: str) -> bool:
        """Whether anything of this flag has landed, or is known to be missing."""
        return flag in self._last

    def miss(self, flag: str, now_ms: int) -> None:
        """Note that the topic, read to its end, holds nothing of this flag."""
        if flag not in self._last:
            self.see(flag, GONE, now_ms)

    def covered(self, now_ms: int) -> list[tuple[str, Version]]:
        """Return the flags whose newest document has been covered for the time of grace, and what covers it.

        At most MAX_AT_ONCE, those that have waited longest first. Then their time begins anew, twice as long.
        """
        due = sorted((behind.due_ms, flag) for flag, behind in self._behind.items() if behind.due_ms <= now_ms)
        flags = [flag for _, flag in due[:MAX_AT_ONCE]]
        for flag in flags:
            pause_ms = min(2 * self._behind[flag].pause_ms, MAX_PAUSE_MS)
            self._behind[flag] = _Behind(now_ms + pause_ms, pause_ms)
        return [(flag, self._last[flag]) for flag in flags]


def read_version(value: bytes | None) -> Version | None:
    """Return the version of a flag document, None when it has none that guardian can have written."""
    try:
        metadata = msgspec.json.decode(value or b"", type=_Document).metadata
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    # The log has no greater numbers: a reassertion over such a version could not be written.
    if max(metadata.epoch, metadata.version) > MAX_VERSION:
        return None
    return Version(metadata.epoch, metadata.version)


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
        self._checks = 0
        self._looked_up: set[str] = set()
        self._unsaid: deque[str] = deque()

    async def follow(self) -> None:
        """Note what lands, for ever.

        Raises:
            TransportError: the topic is not there.
        """
        async for record in follow(self._settings, ["flags"], from_beginning=True):
            flag = (record.key or b"").decode(errors="replace")
            if flag != BEAT_KEY:
                # Rubbish is as good as nothing: no reader takes it.
                self._landed.see(flag, read_version(record.value) or GONE, _now_ms())

    def look_again(self) -> None:
        """Compare all flags at the next check: partitions have become ours."""
        self._checks = 0

    async def check(self) -> None:
        """Write a Reassert for what is covered, for ever.

        Raises:
            TransportError: Kafka did not answer.
        """
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self._checks += 1
            if self._checks == 1:
                await self._scan_statuses()
            if self._checks % SCAN_EVERY == 1:
                await self._scan()
            self._reassert()

    def _reassert(self) -> None:
        covered = self._landed.covered(_now_ms())
        unsaid = [self._unsaid.popleft() for _ in range(min(len(self._unsaid), MAX_AT_ONCE - len(covered)))]
        if not covered and not unsaid:
            return
        ours = {state.flag: Version(state.epoch, state.version) for state in self._asserted()}
        # With the version as it should be it is the status that is written again.
        for flag, version in [*covered, *((flag, ours[flag]) for flag in unsaid if flag in ours)]:
            if flag in ours and (partition := self._owner_of(flag)) is not None:
                REASSERTS.inc()
                payload = encode_payload(Reassert(flag, version.epoch, version.version))
                self._publisher.write(Message("inputs", b"", payload, [], partition), partition)

    async def _scan(self) -> None:
        if any(not self._landed.has_seen(state.flag) for state in self._asserted()):
            # Whether the follower has come to the end nobody knows: so the topic is read once more, up to its end.
            there = await _flags_in(self._settings, "flags")
            for state in self._asserted():
                if state.flag not in there:
                    self._landed.miss(state.flag, _now_ms())
        for state in self._asserted():
            self._landed.expect(state.flag, Version(state.epoch, state.version), _now_ms())

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
