"""Who runs the flag: which instance serves which version of its document, who has fallen silent, and what was lost.

When an instance was last heard of belongs to the partition, for one heartbeat speaks for many flags;
what it serves belongs to the rollout, and changes seldom.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final

from msgspec import Struct, field

from guardian.core.outputs import Alert, Lost, UnknownInstance

Heard = dict[str, int]
"""`service` SEPARATOR `instance` -> event time of its newest heartbeat, in milliseconds."""

SEPARATOR: Final = "\x1f"
GONE_MS: Final = 60_000
"""An instance that has been silent for this long is not waited for."""
MAX_HEARD: Final = 4_096
"""Instances in one partition; beyond it those that are gone make room, or the newcomer is not followed."""
MAX_SERVED: Final = 768
"""Instances of one flag that are followed by name; an instance beyond it is counted as unknown."""
MAX_SERVED_BYTES: Final = 24_576
"""Of the keys of one flag's instances together: 192 of the longest names, or 768 usual ones (32 bytes)."""
_RETRY_MS: Final = GONE_MS // 2
"""After so much event time a full fleet looks again for instances that are gone."""
UNTRACKED_BITS: Final = 4_096
"""Size of the bitmap that counts distinct instances beyond these bounds: 1 % error at 1,000 of them."""
Published = tuple[int, int]
"""Versions of a flag's document that say what was published last: the oldest and the newest of them."""
MAX_KEY_BYTES: Final = 128
"""Of service and instance together; what is longer is cut, so that a checkpoint has room for all of them."""
_SERVICE_BYTES: Final = 63
_MARK_CHARS: Final = 8
MAX_SERVICES: Final = 32
"""Services of one flag whose events came from an older document."""
MAX_LOSSES: Final = 64
"""Instances of one flag that have lost something; beyond it those that are gone make room."""
LOST_MS: Final = 86_400_000
"""What an instance lost is told for so long."""
_MAX_LOST: Final = 10**15
"""Who lies about what he lost must not outgrow the numbers of a checkpoint."""
ALL_INSTANCES: Final = "*"
"""What a command names that is meant for every unknown instance."""
MAX_NAMED: Final = 20
"""Instances and services that a text or a status names."""


class Served(Struct):
    """What one instance serves.

    Args:
        version: of the flag's document.
        since_ms: event time of the first heartbeat that said so.
        excused: the instance was silent already when the present document was published, so that its silence is not
            held against it; it may still serve an older one.
    """

    version: int
    since_ms: int
    excused: bool = False


class Loss(Struct):
    """What one instance could not tell or evaluate, over all its restarts.

    Args:
        dropped, evaluation_errors: in all.
        told: both as its last heartbeat gave them; they begin at 0 with each of its starts.
        since_ms, at_ms: event time of the heartbeats that told of the first and of the newest.
    """

    dropped: int
    evaluation_errors: int
    told: tuple[int, int]
    since_ms: int
    at_ms: int


class Propagation(Struct, frozen=True):
    """How far the published document has come, at one moment; keys are sorted.

    Args:
        following: live instances that serve it.
        behind: live instances that serve another one.
        unknown: instances that fell silent before they served it, without a goodbye.
        untracked: how many instances were beyond the bounds, at least.
    """

    following: list[str]
    behind: list[str]
    unknown: list[str]
    untracked: int

    @property
    def is_proved(self) -> bool:
        """Whether every instance is known to follow."""
        return not self.behind and not self.unknown and not self.untracked


class Fleet(Struct):
    """The instances that have sent heartbeats for a flag.

    Args:
        served: by instance, as in Heard.
        older: services whose events still came from an older document -> [event time of the newest such event,
            log time of its arrival], in milliseconds.
        awaited: a flag change is not yet followed by everybody.
        settled: nobody is behind, so there is nothing to look at.
        alert: the alert on those who stay behind, None for none.
        losses: by instance, what it lost.
        untracked: a bitmap of the instances beyond the bounds, by hash; empty for none.
        untracked_ms: event time of the last heartbeat of such an instance, up to _RETRY_MS before it.
        lost_ms: log time when a part of the log was lost; who spoke in it is not known, so silence counts from here.
        named: a hash of the instances and services that the alert names; empty for none.
        key_bytes: how long the keys of `served` are together.
    """

    served: dict[str, Served] = field(default_factory=dict)
    older: dict[str, list[int]] = field(default_factory=dict)
    awaited: bool = False
    settled: bool = True
    alert: Alert | None = None
    losses: dict[str, Loss] = field(default_factory=dict)
    untracked: bytes = b""
    untracked_ms: int = 0
    lost_ms: int = 0
    named: str = ""
    key_bytes: int = 0

    def take(self, key: str, version: int, at_ms: int, heard: Heard, published: Published) -> bool:
        """Take what a heartbeat says of this flag.

        Returns:
            True when it was not known.
        """
        known = self.served.get(key)
        if known is not None and known.version == version:
            was_excused, known.excused = known.excused, False
            return was_excused
        if known is None and not self._has_room(key) and not self._make_room(key, at_ms, heard, published):
            return self.miss(key, at_ms)
        self.key_bytes += 0 if known else len(key.encode())
        self.served[key] = Served(version, at_ms)
        self.settled = False
        return True

    def _has_room(self, key: str) -> bool:
        return len(self.served) < MAX_SERVED and self.key_bytes + len(key.encode()) <= MAX_SERVED_BYTES

    def _make_room(self, key: str, at_ms: int, heard: Heard, published: Published) -> bool:
        """Forget instances that are gone, but none that fell silent on another document: those stay unknown.

        Not for each of a flood of newcomers: after a search in vain the next one waits.
        """
        if at_ms < self.untracked_ms + _RETRY_MS:
            return False
        for gone in [each for each in self.served if self._last_ms(each, heard) < at_ms - GONE_MS]:
            if follows(self.served[gone].version, published):
                self._forget(gone)
        return self._has_room(key)

    def _forget(self, key: str) -> None:
        del self.served[key]
        self.key_bytes -= len(key.encode())

    def miss(self, key: str, at_ms: int) -> bool:
        """Count an instance that there is no room to follow.

        Returns:
            True when the state has changed: a heartbeat that says nothing new should not cost a snapshot.
        """
        place = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()[:4], "big") % UNTRACKED_BITS
        is_over = at_ms > self.untracked_ms + GONE_MS + _RETRY_MS
        bits = bytearray(UNTRACKED_BITS // 8 if is_over or not self.untracked else self.untracked)
        is_new = not bits[place // 8] >> (place % 8) & 1
        if not is_new and at_ms < self.untracked_ms + _RETRY_MS:
            return False
        bits[place // 8] |= 1 << (place % 8)
        self.untracked, self.settled = bytes(bits), False
        if at_ms >= self.untracked_ms + _RETRY_MS:
            self.untracked_ms = at_ms
        return True

    def leave(self, key: str) -> bool:
        """Take a goodbye, or that a person dismisses an instance; False when it was not known."""
        if key not in self.served:
            return False
        self._forget(key)
        self.settled = False
        return True

    def propagation(self, now_ms: int, heard: Heard, published: Published) -> Propagation:
        """Return how far the published document has come.

        Args:
            now_ms: event time up to which heartbeats are in.
            heard: of the partition.
            published: the versions that count as following.
        """
        following: list[str] = []
        behind: list[str] = []
        unknown: list[str] = []
        for key in sorted(self.served):
            is_live = self._last_ms(key, heard) >= now_ms - GONE_MS
            if not follows(self.served[key].version, published):
                (behind if is_live else unknown).append(key)
            elif is_live:
                following.append(key)
        return Propagation(following, behind, unknown, self._untracked_count(now_ms))

    def unknown(self, keys: list[str], heard: Heard) -> list[UnknownInstance]:
        """Return what is known of silent instances, the first MAX_NAMED."""
        return [
            UnknownInstance(name_of(key), self.served[key].version, self._last_ms(key, heard))
            for key in keys[:MAX_NAMED]
        ]

    def _last_ms(self, key: str, heard: Heard) -> int:
        """When an instance was last heard of, as far as it is known."""
        return heard.get(key) or max(self.served[key].since_ms, self.lost_ms)

    def _untracked_count(self, now_ms: int) -> int:
        """How many distinct instances are beyond the bounds: linear counting (Whang and others, 1990)."""
        if not self.untracked or self.untracked_ms < now_ms - GONE_MS - _RETRY_MS:
            return 0
        empty = UNTRACKED_BITS - sum(byte.bit_count() for byte in self.untracked)
        return round(UNTRACKED_BITS * math.log(UNTRACKED_BITS / max(empty, 1)))

    def take_loss(self, key: str, told: tuple[int, int], at_ms: int, heard: Heard) -> bool:
        """Take what a heartbeat says of dropped events and failed evaluations.

        Args:
            told: both, since the instance was started.

        Returns:
            True when it was not known.
        """
        loss = self.losses.get(key)
        if at_ms < heard.get(key, 0) or told == (loss.told if loss else (0, 0)):
            return False
        if loss is None:
            if len(self.losses) >= MAX_LOSSES and not self._make_room_for_loss(at_ms, heard):
                return False
            loss = self.losses[key] = Loss(0, 0, (0, 0), at_ms, at_ms)
        # A count that fell has begun anew.
        dropped, errors = (now - then if now >= then else now for now, then in zip(told, loss.told, strict=True))
        loss.dropped = min(loss.dropped + dropped, _MAX_LOST)
        loss.evaluation_errors = min(loss.evaluation_errors + errors, _MAX_LOST)
        loss.told = told
        loss.at_ms = at_ms if dropped or errors else loss.at_ms
        return True

    def _make_room_for_loss(self, at_ms: int, heard: Heard) -> bool:
        for gone in [key for key in self.losses if heard.get(key, 0) < at_ms - GONE_MS]:
            del self.losses[gone]
        return len(self.losses) < MAX_LOSSES

    def lost(self, now_ms: int) -> list[Lost]:
        """Return what instances have lost within the last day, the most first, at most MAX_NAMED."""
        found = [
            Lost(name_of(key), one.dropped, one.evaluation_errors, one.since_ms, one.at_ms)
            for key, one in self.losses.items()
            if one.at_ms >= now_ms - LOST_MS
        ]
        return sorted(found, key=lambda one: (-one.dropped - one.evaluation_errors, one.instance))[:MAX_NAMED]

    def take_older(self, service: str, event_ms: int, log_ms: int) -> None:
        """Take note that an event came from an older document."""
        if service in self.older or len(self.older) < MAX_SERVICES:
            newest_ms = self.older.get(service, [0, 0])[0]
            self.older[service] = [max(newest_ms, event_ms), log_ms]
            self.settled = False

    def begin(self, watermark_ms: int, heard: Heard, before: Published, *, protects: bool, is_rollback: bool) -> None:
        """A new document is out, which every instance is expected to follow.

        An instance that is silent already is forgotten when it followed the document before: its silence is not the
        next step's fault. A document that protects is expected of silent instances too: one that is cut off may go on
        serving the candidate. After a rollback the silence counts as well: if the candidate has silenced an instance
        that stays silent, the rollback did not go far enough.

        Args:
            watermark_ms: event time of the change.
            heard: of the partition.
            before: the versions that counted as following until now.
            protects: the document gives the candidate to fewer.
            is_rollback: it is that of a rollback.
        """
        for key in [key for key in self.served if self._last_ms(key, heard) < watermark_ms - GONE_MS]:
            if not protects and follows(self.served[key].version, before):
                self._forget(key)
            elif not is_rollback:
                self.served[key].excused = True
        self.older.clear()
        self.untracked = b""
        self.awaited, self.settled = True, False

    def live(self, now_ms: int, heard: Heard) -> list[str]:
        """Return the instances that were heard of in the last minute, sorted."""
        return sorted(key for key in self.served if self._last_ms(key, heard) >= now_ms - GONE_MS)

    def quietest(self, at_ms: int, heard: Heard, since_ms: int) -> list[tuple[int, str, list[str]]]:
        """Return the services that have sent heartbeats, the most silent first.

        Args:
            since_ms: silence before this does not count: the flag changed then.

        Returns:
            for how long a service has been silent (milliseconds), its name, its instances.
        """
        services: dict[str, list[str]] = {}
        for key in sorted(self.served):
            if key in heard and not self.served[key].excused:
                services.setdefault(key.partition(SEPARATOR)[0], []).append(key)
        last_ms = {name: max(since_ms, *(heard[key] for key in keys)) for name, keys in services.items()}
        silent = [(at_ms - last_ms[name], name, keys) for name, keys in services.items()]
        return sorted(((max(0, ms), name, keys) for ms, name, keys in silent), key=lambda item: (-item[0], item[1]))


def follows(version: int, published: Published) -> bool:
    """Return whether a version is of the published document: neither older, nor one that guardian has not written."""
    return published[0] <= version <= published[1]


def key_of(service: str, instance: str) -> str:
    """Return the key of an instance in Heard; of names that are too long, cut, with a mark that tells them apart."""
    key = f"{service}{SEPARATOR}{instance}"
    if len(key.encode()) <= MAX_KEY_BYTES:
        return key
    mark = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:_MARK_CHARS]
    rest_bytes = MAX_KEY_BYTES - _SERVICE_BYTES - len(SEPARATOR) - _MARK_CHARS - 1
    return f"{_cut(service, _SERVICE_BYTES)}{SEPARATOR}{_cut(instance, rest_bytes)}~{mark}"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")


def name_of(key: str) -> str:
    """Return an instance as people read it: `checkout/checkout-7f9`."""
    return key.replace(SEPARATOR, "/", 1)


def hear(heard: Heard, key: str, at_ms: int) -> bool:
    """Take note of a heartbeat; false when there are too many instances to take note of one more.

    `heard` is kept in the order in which instances were last heard of. So who is gone stands in front, and a flood of
    newcomers costs one look each: a search through all of them would hold up every decision.
    """
    last_ms = heard.pop(key, None)
    if last_ms is None and len(heard) >= MAX_HEARD:
        oldest = next(iter(heard))
        if heard[oldest] >= at_ms - GONE_MS:
            return False
        del heard[oldest]
    heard[key] = max(last_ms or 0, at_ms)
    return True
