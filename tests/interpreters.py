"""The Python versions that the SDK promises to run on, as far as this machine has them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

PROMISED: Final = ("3.11", "3.12", "3.13")
NEEDED: Final = "3.11"
"""Without this one the tests fail; the others are tested where they are installed."""


@cache
def interpreters() -> dict[str, Path]:
    """Return the promised versions that are installed here, and where: from PATH, pyenv or uv; nothing is fetched."""
    found = {version: _find(version) for version in PROMISED}
    return {version: path for version, path in found.items() if path is not None}


def report() -> str:
    """Return in a line what is tested and what is not."""
    absent = [version for version in PROMISED if version not in interpreters()]
    tested = f"the SDK is tested on Python {', '.join(interpreters())}"
    return f"{tested}; not installed here: {', '.join(absent)}" if absent else tested


def _find(version: str) -> Path | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uv = Path(sys.executable).parent / "uv"
    command = [uv, "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    candidates = [Path(told.stdout.strip())] if told.returncode == 0 else []
    candidates += [each / "bin" / "python" for each in sorted(pyenv.glob(f"{version}.*"), reverse=True)]
    return next((path for path in candidates if _version(path) == version), None)


def _version(python: Path) -> str:
    """Of an interpreter; empty when it does not run."""
    words = [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
