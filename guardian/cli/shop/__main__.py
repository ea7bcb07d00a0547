"""`python -m guardian.cli.shop`: the shop in a process of its own; reports to stdout, words from stdin till it ends."""

from __future__ import annotations

import argparse
import queue
import sys
import threading

import msgspec
from openfeature import api

from guardian.cli.shop.report import Report
from guardian.cli.shop.service import Shop
from guardian.sdk import GuardianProvider, Telemetry


def main() -> None:
    """Open the shop, serve until stdin ends, and close."""
    words = argparse.ArgumentParser(prog="guardian.cli.shop", description=__doc__)
    words.add_argument("--bootstrap", required=True)
    words.add_argument("--prefix", required=True)
    words.add_argument("--flag", required=True)
    words.add_argument("--rate", type=int, required=True, help="requests a second")
    given = words.parse_args()
    provider = GuardianProvider(given.bootstrap, given.prefix)
    api.set_provider(provider)
    telemetry = Telemetry("shop", provider, given.bootstrap, given.prefix)
    try:
        Shop(api.get_client(), telemetry, given.flag, given.rate, _say).serve(_listen())
    finally:
        telemetry.close()
        api.shutdown()


def _say(report: Report) -> None:
    """One line of JSON."""
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()


def _listen() -> queue.SimpleQueue[str]:
    """Words from stdin as they come; `close` when it ends."""
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            heard.put(line.strip())
        heard.put("close")

    threading.Thread(target=listen, name="shopkeeper", daemon=True).start()
    return heard


if __name__ == "__main__":
    main()
