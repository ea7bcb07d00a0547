"""The fixtures: specs in good/ and bad/, each with what is expected of it in its comment header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))
EXAMPLES = sorted((HERE.parents[1] / "examples" / "specs").glob("*.yaml"))
DOCS = HERE.parents[1] / "docs"


def text_of(path: Path) -> str:
    """The file letter by letter, line ends too."""
    return path.read_bytes().decode("utf-8")


def header_of(text: str, mark: str) -> list[str]:
    """The lines of the comment header that contain a mark."""
    header = []
    for line in text.removeprefix("\ufeff").splitlines():
        if not line.startswith("#"):
            break
        header.append(line.removeprefix("# "))
    return [line for line in header if mark in line]


def at_path(value: Any, path: str) -> Any:
    """What stands at `steps[1].gates[0]`."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
