"""Programs out of Debian's packages, unpacked into the cache: nothing of the machine changes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.brokers import CACHE

FETCH_WITHIN_S: Final = 300


def unpacked(name: str, *packages: str) -> Path:
    """Return the folder into which packages are unpacked, as if it were the root of a file system.

    apt-get keeps its lists in the cache, too.

    Args:
        name: of the folder in the cache.
        packages: the packages; what they depend on is not fetched.

    Raises:
        FileNotFoundError: apt-get is not on this machine.
        CalledProcessError: apt-get or dpkg failed.
    """
    home = CACHE.with_name(name)
    if home.exists():
        return home
    if not shutil.which("apt-get"):
        raise FileNotFoundError(f"no apt-get to fetch {', '.join(packages)} with: install {name}")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        found = _fetch(Path(folder), packages)
        try:
            found.replace(home)  # whole or not at all, also when two test runs fetch it at once
        except OSError:
            if not home.exists():
                raise
    return home


def _fetch(folder: Path, packages: tuple[str, ...]) -> Path:
    """Download packages into a folder, unpack them there, and return where."""
    lists, archives, root = folder / "lists", folder / "archives", folder / "root"
    for place in (lists, archives):
        (place / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
    _run(folder, *apt, "update")
    _run(folder, *apt, "download", *packages)
    for package in folder.glob("*.deb"):
        _run(folder, "dpkg", "--extract", str(package), str(root))
    return root


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=FETCH_WITHIN_S)
