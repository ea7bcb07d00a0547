"""One decide process for the kill tests: `python -m tests.decide.process <bootstrap> <prefix> <partitions>`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from guardian.decide.loop import run_decide
from guardian.kafka.settings import load_settings


async def main() -> None:
    bootstrap, prefix, partitions = sys.argv[1:4]
    settings = load_settings(environ={}, bootstrap=bootstrap, prefix=prefix, partitions=int(partitions))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_decide(settings, stop=stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    asyncio.run(main())
