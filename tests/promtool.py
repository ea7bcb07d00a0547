"""Prometheus's own judge of metrics: `promtool`, taken out of Debian's package without installing it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.brokers import CACHE

HOME: Final = CACHE.with_name("promtool")
"""Where it stays between test runs."""
PACKAGE: Final = "prometheus"
FETCH_WITHIN_S: Final = 300


def promtool() -> Path:
    """Return the program: this machine's own, or else the one in Debian's package, unpacked into the cache.

    Nothing of the machine changes, and no server is started: apt-get keeps its lists in the cache, too.

    Raises:
        FileNotFoundError: neither promtool nor apt-get is on this machine.
        CalledProcessError: apt-get or dpkg failed.
    """
    if own := shutil.which("promtool"):
        return Path(own)
    if not shutil.which("apt-get"):
        raise FileNotFoundError("no promtool here, and no apt-get to fetch it with: install Prometheus's promtool")
    program = HOME / "promtool"
    if not program.exists():
        HOME.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=HOME) as folder:
            # The file appears whole or not at all, also when two test runs fetch it at once.
            _fetch(Path(folder)).replace(program)
    return program


def _fetch(folder: Path) -> Path:
    """Download the package into a folder, unpack it there, and return the program."""
    lists, archives = folder / "lists", folder / "archives"
    for place in (lists, archives):
        (place / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
    _run(folder, *apt, "update")
    _run(folder, *apt, "download", PACKAGE)
    (package,) = folder.glob("*.deb")
    _run(folder, "dpkg", "--extract", str(package), str(folder / "unpacked"))
    return folder / "unpacked" / "usr" / "bin" / "promtool"


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=FETCH_WITHIN_S)


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
