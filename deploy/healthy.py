"""Health of a role by its own metrics: exit code 0 when they answer and keep within the limits, 1 with the reason.

    healthy.py http://127.0.0.1:9464/metrics "guardian_decide_input_age_seconds<30"

A limit holds for every sample of its metric; a metric without samples keeps it (a worker without partitions is well).
Needs nothing but Python: it runs in the image and on any machine.
"""

from __future__ import annotations

import re
import sys
import urllib.request

TIMEOUT_S = 4
LIMIT = re.compile(r"(\w+)<([0-9.]+)")
SAMPLE = re.compile(r"(\w+)(?:\{[^}]*\})? (\S+)")


def broken(page: str, limit: str) -> list[str]:
    """Return the samples of a page that break a limit such as `name<30`.

    Raises:
        ValueError: not a limit.
    """
    wanted = LIMIT.fullmatch(limit)
    if wanted is None:
        raise ValueError(f"{limit!r} is not a limit; write name<number")
    samples = [found for line in page.splitlines() if (found := SAMPLE.fullmatch(line)) and found[1] == wanted[1]]
    return [f"{sample[0]} is not < {wanted[2]}" for sample in samples if not float(sample[2]) < float(wanted[2])]


def main(words: list[str]) -> int:
    """Ask once; print what is wrong."""
    try:
        with urllib.request.urlopen(words[0], timeout=TIMEOUT_S) as answer:
            page = answer.read().decode()
        faults = [fault for limit in words[1:] for fault in broken(page, limit)]
    except (OSError, ValueError, IndexError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
