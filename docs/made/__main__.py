"""`python -m docs.made` writes every page that is made from code, `--check` only says which are out of date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.made import commands, machine, metrics, settings, spec, topics
from guardian.spec.reference import render_reference

DOCS = Path(__file__).parents[1]

FILES: dict[str, Callable[[], str]] = {
    "spec.md": spec.render,
    "trigger-language.md": render_reference,
    "topics.md": topics.render,
    "commands.md": commands.render,
    "settings.md": settings.render,
    "metrics.md": metrics.render,
    "machine.md": machine.render,
    "machine.svg": machine.render_svg,
}
"""By name under docs/."""


def stale() -> list[str]:
    """Return the names of the files that are not what the code says now."""
    return [name for name, render in FILES.items() if _read(DOCS / name) != render()]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    """Write the files, or check them; return the exit code."""
    if "--check" in sys.argv[1:]:
        changed = stale()
        for name in changed:
            sys.stdout.write(f"docs/{name} is out of date: python -m docs.made\n")
        return 1 if changed else 0
    for name, render in FILES.items():
        text = render()
        if _read(DOCS / name) != text:
            (DOCS / name).write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
