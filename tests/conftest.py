"""The fixtures that every room may use, and what holds for every test process."""

from __future__ import annotations

import signal

from tests import interpreters
from tests.brokers import broker, embedded, kafka

__all__ = ["broker", "embedded", "kafka"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Under `nohup` or in the background of a script SIGINT is ignored, and what is ignored stays so in every child:
    # commands that tests end with Ctrl-C would not end. What is caught does not; nothing is done with it here.
    signal.signal(signal.SIGINT, lambda number, frame: None)


def pytest_report_header() -> str:
    """What stands above the results."""
    return interpreters.report()
