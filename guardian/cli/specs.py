"""Spec files as the commands read them: from a path or stdin, with every problem kept rather than raised."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardian.core.rollout import RolloutSpec
from guardian.errors import Problem, SpecError

_STDIN = "-"
_SUFFIXES = (".yaml", ".yml")
_MAX_HINT_BYTES = 1_000_000


@dataclass(frozen=True)
class Found:
    """What stands in one file.

    Args:
        source: the file's name as given, `<stdin>` for `-`.
        spec: the checked rollout; None when there are problems.
        document: its JSON document, as it goes into the log.
        problems: everything wrong.
        advice: everything legal but unwise.
        meaning: what it says, in plain words; empty when there are problems.
        traffic: the traffic that its rules need, line by line.
    """

    source: str
    spec: RolloutSpec | None = None
    document: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    advice: list[Problem] = field(default_factory=list)
    meaning: str = ""
    traffic: list[str] = field(default_factory=list)


def examine(path: Path, per_second: float | None = None) -> Found:
    """Read and check one file.

    Args:
        path: of the file, `-` for stdin.
        per_second: requests to the flag for which to say which rules cannot judge; None when nobody has said.

    Raises:
        OSError: it cannot be read.
    """
    from guardian.spec.advice import advice  # noqa: PLC0415 (see `demand`)
    from guardian.spec.describe import describe  # noqa: PLC0415
    from guardian.spec.traffic import needs_text  # noqa: PLC0415

    try:
        spec, document = demand(path)
    except SpecError as error:
        return Found(error.source, problems=error.problems)
    needs = needs_text(spec) if per_second is None else []
    return Found(_name(path), spec, document, advice=advice(spec, per_second), meaning=describe(spec), traffic=needs)


def demand(path: Path) -> tuple[RolloutSpec, dict[str, Any]]:
    """Read one file that must be right.

    Raises:
        SpecError: it is not; with every problem.
        OSError: it cannot be read.
    """
    from guardian.spec.load import load_spec  # noqa: PLC0415 (YAML and numpy: `guardian kill` must not wait for them)

    return load_spec(_text(path), _name(path))


def file_hint(name: str) -> str:
    """Return what to say when somebody gave a file where a flag's name is wanted; empty when it looks like none.

    Args:
        name: what was given. A flag may be named like a file, so this is for names that turned out to be unknown.
    """
    path = Path(name)
    try:
        size = path.stat().st_size if path.is_file() else -1
    except (OSError, ValueError):
        size = -1
    if size < 0 and path.suffix not in _SUFFIXES:
        return ""
    wanted = "a flag's name is wanted here, not a file's"
    if not 0 <= size <= _MAX_HINT_BYTES:
        return f"{wanted}: guardian list shows the flags that are there"
    try:
        spec, _ = demand(path)
    except (SpecError, OSError):
        return f"{wanted}: guardian check {name} says what the file declares"
    return f"{wanted}: {name} declares {spec.flag}"


def _name(path: Path) -> str:
    """The name to show."""
    return "<stdin>" if str(path) == _STDIN else str(path)


def _text(path: Path) -> str:
    """What stands in the file."""
    if str(path) == _STDIN:
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError([Problem("", f"not UTF-8 text: {error.reason}", "save it as UTF-8")], str(path)) from error
