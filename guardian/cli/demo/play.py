"""The demo's plot: a rollout begins, goes bad and is taken back; then the shop mends its candidate and tries again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from guardian.cli.demo.rollout import FLAG, demo_spec
from guardian.cli.demo.scene import Scene
from guardian.cli.demo.screen import Teller, decision_text, shop_text
from guardian.cli.demo.shopkeeper import Shopkeeper
from guardian.cli.kafka_door import KafkaDoor
from guardian.core.inputs import Actor, Command
from guardian.core.text import duration_text
from guardian.errors import GuardianError
from guardian.kafka.clients import follow
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_decision, decode_status

_ANSWER_S = 20.0
_TURN_S = 0.05
_REST_S = 10.0
"""How long the shop looks at the broken pricing before it mends it."""
_SHOP_LINE_S = 5.0


@dataclass(frozen=True)
class Plot:
    """How the play goes.

    Args:
        bad_after_s: seconds from the start of the rollout to the moment when the candidate goes bad.
        once: end after the rollback.
        patience_s: seconds to wait for the rollback in all.
    """

    bad_after_s: float
    once: bool
    patience_s: float = 50.0


class Play:
    """One performance.

    Args:
        settings: where Kafka is.
        shop: the open shop.
        scene: what has happened; filled.
        teller: who tells it.
        plot: how it goes.
    """

    def __init__(self, settings: Settings, shop: Shopkeeper, scene: Scene, teller: Teller, plot: Plot) -> None:
        self._settings = settings
        self._shop = shop
        self._scene = scene
        self._teller = teller
        self._plot = plot

    async def watch_decisions(self) -> None:
        """Follow guardian.decisions."""
        async for record in follow(self._settings, ["decisions"], from_beginning=True):
            if record.value is None:
                continue
            decision = decode_decision(record.value)
            if decision.flag == FLAG:
                self._scene.decided(decision)
                self._teller.mention(f"guardian: {decision.reason} {decision_text(decision)}")

    async def watch_status(self) -> None:
        """Follow guardian.rollouts."""
        async for record in follow(self._settings, ["rollouts"], from_beginning=True):
            if record.value is not None and record.key == FLAG.encode():
                self._scene.status = decode_status(record.value)

    async def watch_shop(self) -> None:
        """Follow what the shop says."""
        said_at = 0.0
        async for report in self._shop.reports():
            had_failed, had_flipped = self._scene.first_failure_ms, self._scene.flipped_ms
            self._scene.reported(report)
            if report.first_failure_s and not had_failed:
                self._teller.say(f"shop: the new pricing begins to fail: {report.first_error}")
            if report.flipped_s and not had_flipped:
                self._teller.say("shop: every customer gets the old price again")
            if time.monotonic() - said_at > _SHOP_LINE_S:
                said_at = time.monotonic()
                self._teller.mention(f"shop: {shop_text(report)}")

    async def direct(self) -> None:
        """Run the plot to its end, or for ever."""
        await self._first_act()
        if self._plot.once:
            return
        await self._second_act()
        self._teller.say("the shop goes on selling; Ctrl-C ends it")
        await asyncio.Event().wait()

    async def _first_act(self) -> None:
        """The rollout that goes bad."""
        if not await self._until(lambda: self._scene.shop is not None and self._scene.shop.events > 0):
            raise GuardianError("the shop did not open in time", "run the demo again; is the machine very busy?")
        self._teller.say(f"the shop is open; the rollout of {FLAG} begins")
        _, document = demo_spec()
        await self._order("apply", spec=document)
        await self._order("start")
        bad_at_s = time.time() + self._plot.bad_after_s
        self._shop.tell(f"campaign {bad_at_s}")
        last = duration_text(round(self._plot.bad_after_s * 1_000))
        self._teller.say(f"in {last} a campaign ends, which the new pricing was never tested with")
        if await self._until(lambda: self._scene.is_over):
            self._teller.mention(self._scene.sentence())
        else:
            self._teller.say("guardian did not take it back in time")

    async def _second_act(self) -> None:
        """The shop mends its pricing; a person resolves the rollback and starts a second attempt."""
        self._teller.say(f"in {duration_text(round(_REST_S * 1_000))} the shop mends its pricing and tries again")
        await asyncio.sleep(_REST_S)
        self._shop.tell("repair")
        await self._order("resolve", reason="the rewritten pricing falls back to the standard rate")
        self._scene.begin_attempt()
        await self._order("start", reason="a second attempt with the mended pricing")

    async def _order(self, word: str, *, reason: str = "the demo", spec: dict[str, object] | None = None) -> None:
        """Give guardian a command as the shop's people would, and insist on a yes."""
        given = Command(uuid.uuid4().hex, word, FLAG, Actor("demo"), reason, time.time(), spec)
        result = await KafkaDoor(self._settings).ask(given, _ANSWER_S)
        if result.silent:
            raise GuardianError(f"guardian did not answer to {word!r} in {_ANSWER_S:.0f}s", "run the demo again")
        for decision in result.decisions:
            if not decision.accepted:
                raise GuardianError(f"guardian refused {word!r}: {decision.text}", "this is a fault of the demo")

    async def _until(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition at most as long as the plot's patience; return whether it came about."""
        deadline = time.monotonic() + self._plot.patience_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_TURN_S)
        return True
