"""Prometheus's own judge of metrics: `promtool`, taken out of Debian's package without installing it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.debian import unpacked


def promtool() -> Path:
    """Return the program: this machine's own, or else the one in Debian's package, unpacked into the cache.

    Raises:
        FileNotFoundError: neither promtool nor apt-get is on this machine.
        CalledProcessError: apt-get or dpkg failed.
    """
    if own := shutil.which("promtool"):
        return Path(own)
    return unpacked("prometheus", "prometheus") / "usr" / "bin" / "promtool"


def faults(metrics: str) -> str:
    """Return what `promtool check metrics` finds fault with, empty when it is content.

    Args:
        metrics: what a process answers at /metrics.
    """
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=metrics, capture_output=True, text=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).strip()
    return said or ("" if done.returncode == 0 else f"exit code {done.returncode}")
