"""The long fuzz (`make fuzz`): so many hostile inputs on every topic, in several seeds, with progress and a verdict.

A failure names the seed: the same seed fails again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.fuzz.fold import Fold
from tests.fuzz.readers import Readers
from tests.fuzz.way import Way

PER_SEED: Final = 5_000
SHARES: Final = {"events": 0.6, "inputs": 0.2, "readers": 0.2}
"""Of all inputs: events and commands are cheap, and come from everybody."""


def _events(seed: int, count: int) -> None:
    Way(seed).run(count)


def _inputs(seed: int, count: int) -> None:
    for _ in Fold(seed).run(count):
        pass


def _readers(seed: int, count: int) -> None:
    Readers(seed).run(count)


TARGETS: Final[dict[str, Callable[[int, int], None]]] = {
    "events": _events,
    "inputs": _inputs,
    "readers": _readers,
}


def rounds(inputs: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """Return target, seed and count of each round."""
    for target, share in SHARES.items():
        left = round(inputs * share)
        while left > 0:
            count = min(left, PER_SEED)
            yield target, seed, count
            left, seed = left - count, seed + 1


def main() -> int:
    """Run all rounds; the exit code is 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many hostile inputs in all")
    parser.add_argument("--seed", type=int, default=20_261_127, help="of the first round")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began_s, done, failed = time.monotonic(), 0, 0
    for target, seed, count in rounds(chosen.inputs, chosen.seed):
        try:
            TARGETS[target](seed, count)
        except Exception as error:
            failed += 1
            sys.stdout.write(f"FAILED {target} seed {seed}: {type(error).__name__}: {str(error)[:500]}\n")
        done += count
        took_s = time.monotonic() - began_s
        sys.stdout.write(
            f"{done:>9,} of {chosen.inputs:,} inputs, {took_s:6.0f} s, {failed} rounds failed ({target})\n"
        )
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
