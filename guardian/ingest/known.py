"""Which flags have a rollout, and whose components are whose: followed from guardian.rollouts."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord

from guardian.kafka.clients import follow, read_compacted
from guardian.kafka.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arms:
    """The two variants of a rollout by name."""

    control: str = "off"
    candidate: str = "on"


class _State(msgspec.Struct):
    flag: str
    control: str
    candidate: str


class _Status(msgspec.Struct):
    """As much of a status as ingest needs: a newer decide may say more, and in words that are not known here."""

    state: _State
    spec: dict[str, Any]


_decoder: Final = msgspec.json.Decoder(_Status)


@dataclass
class Rollouts:
    """What ingest needs to know of the rollouts.

    Args:
        arms: the variants by flag; a flag without a rollout is absent.
        components: the flags by component of their migration events.
    """

    arms: dict[str, Arms] = field(default_factory=dict)
    components: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _of_flag: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def put(self, flag: str, arms: Arms, components: tuple[str, ...] = ()) -> None:
        """Learn of a rollout, or of a change of it."""
        self.arms[flag] = arms
        if self._of_flag.get(flag, ()) != components:
            self._set_components(flag, components)

    def remove(self, flag: str) -> None:
        """Forget a rollout."""
        self.arms.pop(flag, None)
        self._set_components(flag, ())

    def take(self, record: ConsumerRecord) -> None:
        """Take a record of guardian.rollouts; one that cannot be read changes nothing."""
        if record.value is None:
            self.remove((record.key or b"").decode(errors="replace"))
            return
        try:
            status = _decoder.decode(record.value)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            log.warning("guardian.rollouts offset %d cannot be read: %s", record.offset, error)
            return
        state = status.state
        self.put(state.flag, Arms(state.control, state.candidate), _components_of(status))

    def _set_components(self, flag: str, components: tuple[str, ...]) -> None:
        for component in self._of_flag.pop(flag, ()):
            left = tuple(name for name in self.components[component] if name != flag)
            if left:
                self.components[component] = left
            else:
                del self.components[component]
        for component in components:
            self.components[component] = (*self.components.get(component, ()), flag)
        if components:
            self._of_flag[flag] = components


def _components_of(status: _Status) -> tuple[str, ...]:
    """The components whose migration events belong to a rollout."""
    found = status.spec.get("components")
    if not isinstance(found, list | tuple):
        return ()
    return tuple(sorted({name for name in found if isinstance(name, str)}))


async def load_rollouts(settings: Settings) -> Rollouts:
    """Read guardian.rollouts to its end: whatever has a rollout now is known before the first event is folded."""
    rollouts = Rollouts()
    for record in (await read_compacted(settings, "rollouts")).values():
        rollouts.take(record)
    return rollouts


async def follow_rollouts(settings: Settings, rollouts: Rollouts, retry_s: float = 1.0) -> None:
    """Keep `rollouts` up to date until cancelled; when Kafka is away, try again.

    Args:
        settings: where Kafka is.
        rollouts: what load_rollouts returned.
        retry_s: the pause before another try.
    """
    while True:
        try:
            async for record in follow(settings, ["rollouts"], from_beginning=True):
                rollouts.take(record)
        except Exception:
            log.warning("guardian.rollouts cannot be followed, trying again", exc_info=True)
        await asyncio.sleep(retry_s)
