"""One ingest process of its own, for tests that take its life: `python -m tests.ingest.process BOOTSTRAP PREFIX`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from guardian.ingest.loop import run_ingest
from guardian.kafka.settings import load_settings


async def run() -> None:
    """Ingest telemetry until SIGTERM."""
    settings = load_settings(environ={}, bootstrap=sys.argv[1], prefix=sys.argv[2])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_ingest(settings, kind="telemetry", stop=stop)


if __name__ == "__main__":
    logging.basicConfig(level="WARNING", format="%(asctime)s %(process)d %(name)s %(message)s")
    logging.getLogger("guardian").setLevel("INFO")
    asyncio.run(run())
