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
    publisher: Publisher,
    process: str,
    owned: Callable[[], Iterable[int]],
    landed: Callable[[int, int], None],
    spread: Callable[[], bool],
) -> None:
    """Write ticks for ever.

    Args:
        publisher: what writes.
        process: the name of this process; shown.
        owned: the partitions at this moment.
        landed: told partition and offset of each tick that is acked.
        spread: whether the partitions have so much to say that their ticks are written one by one over the second;
            otherwise together, which costs one fetch instead of one each.
    """
    under_way: dict[int, Acked] = {}
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        partitions = sorted(owned())
        # Spread over the second, what one partition has to say at its tick does not pile up on another's.
        portions = [[each] for each in partitions] if partitions and spread() else [partitions]
        for portion in portions:
            for partition in portion:
                last = under_way.get(partition)
                # While the broker is slow or away, ticks do not pile up.
                if last is None or last.done():
                    under_way[partition] = write_tick(publisher, process, partition, landed)
            due = max(due + TICK_SECONDS / len(portions), clock())
            await asyncio.sleep(due - clock())


def _tell(partition: int, landed: Callable[[int, int], None], done: Acked) -> None:
    if not done.cancelled() and done.exception() is None and (metadata := done.result()) is not None:
        landed(partition, metadata.offset)
