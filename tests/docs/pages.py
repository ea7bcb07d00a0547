"""A page as a list of what its reader does: save a file, run a block, copy lines from one terminal to another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "first-rollout.md"
"""The longest page."""
MAIN = "main"
_COMMENT = re.compile(r"^<!-- (.*) -->$")
_FENCE = re.compile(r"^(```+)(\w*)$")
_RUN = re.compile(r"run(?: in (?P<terminal>\w+))?(?P<options>(?:, [\w -]+)*)")
_COPY = re.compile(r"copy from (?P<source>\w+)(?:, in (?P<terminal>\w+))?")
_OPTION = re.compile(r"again|stays|after Ctrl-C|exit (\d+)")


@dataclass
class Command:
    """One command and the lines that the page shows below it."""

    text: str
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Save:
    """The reader saves a block as a file."""

    name: str
    text: str


@dataclass(frozen=True)
class Run:
    """The reader types commands."""

    line: int
    commands: list[Command]
    terminal: str = MAIN
    options: frozenset[str] = frozenset()
    exit_code: int = 0


@dataclass(frozen=True)
class Copy:
    """The reader copies the export lines of one terminal into another."""

    source: str
    terminal: str


@dataclass
class Page:
    """What the reader of one page does, from top to bottom."""

    path: Path
    deeds: list[Save | Run | Copy] = field(default_factory=list)
    needs_dev: bool = False
    needs_kafka: bool = False
    ports: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return any(isinstance(deed, Run) for deed in self.deeds)


def all_pages() -> list[Page]:
    """Read README.md and every page under docs/."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [read_page(path, path.read_text(encoding="utf-8")) for path in paths]


def read_page(path: Path, text: str) -> Page:
    """Take a page apart.

    Args:
        path: where it is, for messages.
        text: its Markdown.
    """
    page = Page(path)
    comment = ""
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if found := _COMMENT.match(line):
            comment = found[1]
            _note_page(page, comment)
        elif fence := _FENCE.match(line):
            body: list[str] = []
            for _, inner in lines:
                if inner == fence[1]:
                    break
                body.append(inner)
            _take_block(page, number, fence[2], comment, body)
            comment = ""
        elif line.strip():
            comment = ""
    return page


def _note_page(page: Page, comment: str) -> None:
    if comment == "page: guardian dev runs":
        page.needs_dev = True
    elif comment == "page: needs Kafka":
        page.needs_kafka = True
    elif found := re.fullmatch(r"page: port (\d+)", comment):
        page.ports.append(found[1])


def _take_block(page: Page, number: int, language: str, comment: str, body: list[str]) -> None:
    if found := re.fullmatch(r"file: ([\w./-]+)", comment):
        page.deeds.append(Save(found[1], "\n".join(body) + "\n"))
    elif language == "console":
        _take_console(page, number, comment, body)
    elif comment.startswith(("run", "copy")):
        page.faults.append(f"{page.path.name}:{number}: only a console block can be run")


def _take_console(page: Page, number: int, comment: str, body: list[str]) -> None:
    if re.fullmatch(r"not run: .{10,}", comment):
        return
    if found := _COPY.fullmatch(comment):
        page.deeds.append(Copy(found["source"], found["terminal"] or MAIN))
        return
    found = _RUN.fullmatch(comment)
    options = found["options"].split(", ")[1:] if found else []
    commands = _commands(body)
    if found is None or not all(_OPTION.fullmatch(option) for option in options):
        page.faults.append(f"{page.path.name}:{number}: what is done with this block? The comment is {comment!r}")
    elif not commands:
        page.faults.append(f"{page.path.name}:{number}: no line of this block begins with '$ '")
    else:
        codes = [int(option.split()[1]) for option in options if option.startswith("exit ")]
        page.deeds.append(
            Run(number, commands, found["terminal"] or MAIN, frozenset(options), codes[0] if codes else 0)
        )


def _commands(body: list[str]) -> list[Command]:
    commands: list[Command] = []
    for line in body:
        if line.startswith("$ "):
            commands.append(Command(line[2:]))
        elif commands and line.startswith("> ") and not commands[-1].shown:
            commands[-1].text += "\n" + line[2:]
        elif commands:
            commands[-1].shown.append(line.rstrip())
    for command in commands:
        while command.shown and not command.shown[-1]:
            command.shown.pop()
    return commands


def pattern_of(shown: list[str]) -> re.Pattern[str]:
    """Return what the output must match: `...` is anything in a line, alone on a line any lines."""
    parts = []
    for line in shown:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.split("...")) + r"[ ]*\n")
    return re.compile("".join(parts))
