"""What the port holds Faust to: a recovery that a new rebalance has overtaken settles nothing."""

from __future__ import annotations

from guardian.decide.faust_port import FaustPort
from guardian.kafka.settings import load_settings
from tests.decide.feeding import run


def test_the_end_of_a_recovery_is_believed_only_when_no_other_rebalance_has_begun() -> None:
    async def test() -> None:
        app = FaustPort(load_settings(environ={}, prefix="overtaken"))._app
        recovery = app.tables.recovery
        # Revoked: the end of the recovery before this rebalance may still come.
        app.on_rebalance_start()
        app.on_rebalance_end()
        assert app.rebalancing, "the end of the old recovery was taken for that of the new rebalance"
        # Assigned, and its recovery not asked for yet.
        app._assigned_count, app.consumer_generation_id = app.rebalancing_count, 7
        app.on_rebalance_end()
        assert app.rebalancing
        # Asked for, and not begun yet.
        await recovery.on_rebalance(set(), set(), set(), 7)
        app.on_rebalance_end()
        assert app.rebalancing
        # Begun: the next end is its own.
        recovery.signal_recovery_start.clear()
        assert not app._is_overtaken()

    run(test)
