"""One tick a second to each partition that this process owns, through the log like everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from guardian.core.inputs import Tick
from guardian.decide.publish import Acked, Publisher
from guardian.wire.inputs import encode_payload
from guardian.wire.outputs import Message

TICK_SECONDS: Final = 1.0


def write_tick(publisher: Publisher, process: str, partition: int, landed: Callable[[int, int], None]) -> Acked:
    """Write one tick.

    Args:
        publisher: what writes.
        process: the name of this process; shown.
        partition: of guardian.inputs.
        landed: told partition and offset when it is acked.

    Returns:
        done when it is acked.
    """
    acked = publisher.write(Message("inputs", b"", encode_payload(Tick(process)), [], partition), partition)
    acked.add_done_callback(partial(_tell, partition, landed))
    return acked


async def write_ticks(
    publisher: Publisher, process: str, owned: Callable[[], Iterable[int]], landed: Callable[[int, int], None]
) -> None:
    """Write ticks for ever.

    Args:
        publisher: what writes.
        process: the name of this process; shown.
        owned: the partitions at this moment.
        landed: told partition and offset of each tick that is acked.
    """
    under_way: dict[int, Acked] = {}
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        # Spread over the second: what one partition has to say at its tick does not pile up on another's.
        for partition in (partitions := sorted(owned())) or (None,):
            last = under_way.get(partition) if partition is not None else None
            # While the broker is slow or away, ticks do not pile up.
            if partition is not None and (last is None or last.done()):
                under_way[partition] = write_tick(publisher, process, partition, landed)
            due = max(due + TICK_SECONDS / max(1, len(partitions)), clock())
            await asyncio.sleep(due - clock())


def _tell(partition: int, landed: Callable[[int, int], None], done: Acked) -> None:
    if not done.cancelled() and done.exception() is None and (metadata := done.result()) is not None:
        landed(partition, metadata.offset)
