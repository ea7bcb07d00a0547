"""Customers of the example shop: carts for shop:8000, one after the other, until the process is ended.

    customers.py URL CARTS_PER_SECOND STATE_DIRECTORY

After each answered cart the file `served` in the state directory is touched: that is the health check.
While a file `returns` lies there, one cart in ten is a returned article, on which the new pricing fails.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

CUSTOMERS = 2_000
REPORT_EVERY = 1_000
TIMEOUT_S = 5
JSON = {"content-type": "application/json"}


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def buy(url: str, number: int, returned: bool) -> bool:
    """Send one cart; return whether the shop could price it. A shop that does not answer counts as no.

    Raises:
        OSError: the shop is not there.
    """
    line = {"sku": "tea", "cents": 300, "count": -1 if returned else 3}
    cart = {"customer": f"u-{number % CUSTOMERS}", "lines": [line]}
    request = urllib.request.Request(url, json.dumps(cart).encode(), JSON)
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return False
    return True


def main(url: str, per_second: float, state: Path) -> None:
    """Buy until the process is ended."""
    failed = 0
    for number in itertools.count(1):
        returned = number % 10 == 0 and (state / "returns").exists()
        try:
            failed += not buy(url, number, returned)
            (state / "served").touch()
        except OSError as error:
            say(f"the shop does not answer: {error}")
            time.sleep(1)
        if number % REPORT_EVERY == 0:
            say(f"{number} carts, {failed} failed")
        time.sleep(1 / per_second)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
