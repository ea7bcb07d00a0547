"""What strangers have written, reasons and names of services, moves no cursor and makes no line of its own."""

from __future__ import annotations

import io
import logging

import pytest
from rich.table import Table
from rich.text import Text

from guardian.cli.asking import decision_line
from guardian.cli.door import Said, Topic
from guardian.cli.logs import log_to_stderr
from guardian.cli.sayings import line_markup, read
from guardian.cli.screen import TamedConsole, answers, one_line
from guardian.cli.views import status_line
from guardian.wire.outputs import encode_output
from tests.cli.samples import status
from tests.serve.samples import decision

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\rfake\x08\x00\u202e"


@pytest.mark.parametrize("terminal", [True, False])
def test_no_control_character_of_a_text_reaches_the_screen(terminal: bool) -> None:
    file = io.StringIO()
    console = TamedConsole(file=file, force_terminal=terminal, color_system=None, width=200)
    table = Table()
    table.add_column("name")
    table.add_row(Text(EVIL))
    for what in (EVIL, Text(EVIL), f"[bold]{EVIL}[/]", table):
        console.print(what)
    shown = file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert [char for char in shown if not char.isprintable() and char != "\n"] == []
    assert shown.count("\\x1b]0;owned") == 4


def test_colours_of_our_own_and_line_ends_stay() -> None:
    file = io.StringIO()
    TamedConsole(file=file, force_terminal=True, color_system="standard").print("[red]one[/]\ntwo")
    assert file.getvalue() == "\x1b[31mone\x1b[0m\ntwo\n"


def test_the_consoles_of_the_commands_are_tamed(capsys: pytest.CaptureFixture[str]) -> None:
    answers().print(EVIL, soft_wrap=True)
    assert "\x1b" not in capsys.readouterr().out


def test_a_text_in_one_line_shows_its_line_ends() -> None:
    assert one_line("a\nb\tc\r\x7f é ✓ 日本") == "a\\nb\\tc\\r\\x7f é ✓ 日本"


def test_a_reason_with_line_ends_forges_no_line() -> None:
    forged = decision(text="paused by ann: ok\n2025-11-21 04:40:00Z other-flag PASS")
    said = Said(forged.flag, encode_output(forged).value)
    line = read(Topic.DECISIONS, said)
    assert line is not None
    assert "\n" not in line_markup(line)
    assert "\n" not in decision_line(forged)
    assert "\n" not in status_line(status(text="a\nb")).plain


def test_a_line_of_the_log_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log_to_stderr("info")
        logging.getLogger("guardian.test").warning("said %s", EVIL + "\nforged")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "\\x1b]0;owned" in line
