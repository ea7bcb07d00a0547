"""Who runs the flag: which instance serves which version of its document, who has fallen silent, and what was lost.

When an instance was last heard of belongs to the partition, for one heartbeat speaks for many flags;
what it serves belongs to the rollout, and changes seldom.
"""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import Struct, field

from guardian.core.outputs import Alert, Lost

Heard = dict[str, int]
"""`service` SEPARATOR `instance` -> event time of its newest heartbeat, in milliseconds."""

SEPARATOR: Final = "\x1f"
GONE_MS: Final = 60_000
"""An instance that has been silent for this long is not waited for."""
MAX_HEARD: Final = 4_096
"""Instances in one partition; beyond it those that are gone make room, or the newcomer is not followed."""
MAX_SERVED: Final = 256
"""Instances of one flag; the same."""
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
MAX_NAMED: Final = 20
"""Instances and services that a text or a status names."""


class Served(Struct):
    """What one instance serves.

    Args:
        version: of the flag's document.
        since_ms: event time of the first heartbeat that said so.
    """

    version: int
    since_ms: int


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
    """

    served: dict[str, Served] = field(default_factory=dict)
    older: dict[str, list[int]] = field(default_factory=dict)
    awaited: bool = False
    settled: bool = True
    alert: Alert | None = None
    losses: dict[str, Loss] = field(default_factory=dict)

    def take(self, key: str, version: int, at_ms: int, heard: Heard) -> bool:
        """Take what a heartbeat says of this flag.

        Returns:
            True when it was not known.
        """
        known = self.served.get(key)
        if known is not None and known.version == version:
            return False
        if known is None and len(self.served) >= MAX_SERVED and not self._make_room(at_ms, heard):
            return False
        self.served[key] = Served(version, at_ms)
        self.settled = False
        return True

    def _make_room(self, at_ms: int, heard: Heard) -> bool:
        for gone in [key for key in self.served if heard.get(key, 0) < at_ms - GONE_MS]:
            del self.served[gone]
        return len(self.served) < MAX_SERVED

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

    def begin(self, watermark_ms: int, heard: Heard, *, is_rollback: bool) -> None:
        """A new document is out, which everybody is expected to follow.

        Who is silent already is forgotten: that is not the next step's fault. After a rollback he is not: if the
        candidate has silenced him, and he stays silent, the rollback did not go far enough.
        """
        if not is_rollback:
            self.served = {key: s for key, s in self.served.items() if heard.get(key, 0) >= watermark_ms - GONE_MS}
        self.older.clear()
        self.awaited, self.settled = True, False

    def live(self, now_ms: int, heard: Heard) -> list[str]:
        """Return the instances that were heard of in the last minute, sorted."""
        return sorted(key for key in self.served if heard.get(key, 0) >= now_ms - GONE_MS)

    def quietest(self, at_ms: int, heard: Heard, since_ms: int) -> list[tuple[int, str, list[str]]]:
        """Return the services that have sent heartbeats, the most silent first.

        Args:
            since_ms: silence before this does not count: the flag changed then.

        Returns:
            for how long a service has been silent (milliseconds), its name, its instances.
        """
        services: dict[str, list[str]] = {}
        for key in sorted(self.served):
            if key in heard:
                services.setdefault(key.partition(SEPARATOR)[0], []).append(key)
        last_ms = {name: max(since_ms, *(heard[key] for key in keys)) for name, keys in services.items()}
        silent = [(at_ms - last_ms[name], name, keys) for name, keys in services.items()]
        return sorted(((max(0, ms), name, keys) for ms, name, keys in silent), key=lambda item: (-item[0], item[1]))


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
