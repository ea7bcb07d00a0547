"""The shop's process as the demo sees it: opened, told what to do, listened to, and closed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from guardian.cli.shop.report import Report
from guardian.errors import GuardianError
from guardian.kafka.settings import Settings

_CLOSE_S = 10.0
_STDERR_LINES = 20


class Shopkeeper:
    """A running shop.

    Args:
        process: `python -m guardian.cli.shop`, with pipes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._complaints: list[str] = []

    def tell(self, word: str) -> None:
        """Give the shop one line, such as `campaign 1763700000.0` or `repair`."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{word}\n".encode())

    async def reports(self) -> AsyncIterator[Report]:
        """Yield what the shop says about itself.

        Raises:
            GuardianError: the shop ended although nobody closed it.
        """
        if self._process.stdout is None:
            return
        async for line in self._process.stdout:
            yield msgspec.json.decode(line, type=Report)
        await self._process.wait()
        raise GuardianError(
            f"the shop ended: {' | '.join(self._complaints) or 'it said nothing'}", "run the demo again"
        )

    async def listen_to_complaints(self) -> None:
        """Keep the last lines of the shop's stderr, which would otherwise fill its pipe."""
        if self._process.stderr is None:
            return
        async for line in self._process.stderr:
            self._complaints.append(line.decode(errors="replace").rstrip())
            del self._complaints[:-_STDERR_LINES]

    async def close(self) -> None:
        """Let the shop end by itself, which it does when its stdin ends; by force after a while."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def open_shop(settings: Settings, flag: str, per_second: int) -> AsyncIterator[Shopkeeper]:
    """Open the shop in a process of its own, as any application would be.

    Args:
        settings: where Kafka is.
        flag: what it asks its provider for.
        per_second: requests a second.
    """
    words = ["--bootstrap", settings.bootstrap, "--prefix", settings.prefix, "--flag", flag, "--rate", str(per_second)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "guardian.cli.shop",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # The demo's own broker has neither TLS nor SASL, whatever the shell says of another.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "GUARDIAN_SECURITY_PROTOCOL": "PLAINTEXT"},
        start_new_session=True,  # Ctrl-C is for the demo, which closes the shop
    )
    shop = Shopkeeper(process)
    complaints = asyncio.create_task(shop.listen_to_complaints())
    try:
        yield shop
    finally:
        await shop.close()
        await complaints
