"""The owner follows guardian.flags: where an older document lies on top of a newer one, it asserts its own again.

Compaction keeps the last record of a key, also a late one of a zombie, or a stranger's tombstone. The answer goes
through the log as a Reassert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from guardian.core.events import BEAT_KEY
from guardian.core.inputs import Reassert
from guardian.core.outputs import FlagState
from guardian.decide.metrics import REASSERTS
from guardian.decide.publish import Publisher
from guardian.kafka.clients import follow
from guardian.kafka.settings import Settings
from guardian.wire.inputs import encode_payload
from guardian.wire.outputs import Message

CHECK_SECONDS: Final = 1.0
GRACE_MS: Final = 3_000
"""After a crash outputs repeat, older ones first: what heals by itself within this time is left alone."""
MAX_VERSION: Final = 2**63 - 1
SCAN_EVERY: Final = 15
"""Every so many checks all flags that we assert are compared, not those alone that were seen going back."""


class Version(NamedTuple):
    """Ordered as a pair."""

    epoch: int
    version: int


GONE: Final = Version(-1, -1)
"""A tombstone, older than any document: readers would fall back to the code's default, which may be the candidate."""


class _Metadata(msgspec.Struct):
    epoch: int
    version: int


class _Document(msgspec.Struct):
    metadata: _Metadata


class Landed:
    """What lies on top for each flag, and what should."""

    def __init__(self) -> None:
        self._last: dict[str, Version] = {}
        self._greatest: dict[str, Version] = {}
        self._behind_since_ms: dict[str, int] = {}

    def see(self, flag: str, version: Version, now_ms: int) -> None:
        """Note a record in the order of the topic."""
        self._last[flag] = version
        self.expect(flag, version, now_ms)

    def expect(self, flag: str, version: Version, now_ms: int) -> None:
        """Note that this version was asserted; a flag of which nothing has landed yet is not judged."""
        greatest = self._greatest[flag] = max(self._greatest.get(flag, version), version)
        if flag in self._last and self._last[flag] < greatest:
            self._behind_since_ms.setdefault(flag, now_ms)
        else:
            self._behind_since_ms.pop(flag, None)

    def covered(self, now_ms: int) -> list[tuple[str, Version]]:
        """Return the flags whose newest document has been covered for the time of grace, and what covers it.

        Each is returned once; then its time begins anew.
        """
        due = [flag for flag, since in self._behind_since_ms.items() if now_ms - since >= GRACE_MS]
        for flag in due:
            self._behind_since_ms[flag] = now_ms
        return [(flag, self._last[flag]) for flag in due]


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
    """Follows guardian.flags for one process.

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

    async def follow(self) -> None:
        """Note what lands, for ever.

        Raises:
            TransportError: the topic is not there.
        """
        async for record in follow(self._settings, ["flags"], from_beginning=True):
            flag = (record.key or b"").decode(errors="replace")
            version = GONE if record.value is None else read_version(record.value)
            if flag != BEAT_KEY and version is not None:
                self._landed.see(flag, version, _now_ms())

    async def check(self) -> None:
        """Write a Reassert for what is covered, for ever."""
        checks = 0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            checks += 1
            if checks % SCAN_EVERY == 0:
                for state in self._asserted():
                    self._landed.expect(state.flag, Version(state.epoch, state.version), _now_ms())
            covered = self._landed.covered(_now_ms())
            ours = {state.flag for state in self._asserted()} if covered else set()
            for flag, version in covered:
                if flag in ours and (partition := self._owner_of(flag)) is not None:
                    REASSERTS.inc()
                    payload = encode_payload(Reassert(flag, version.epoch, version.version))
                    self._publisher.write(Message("inputs", b"", payload, [], partition), partition)


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1_000)
