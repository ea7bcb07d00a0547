"""`guardian status --watch`: a screen where there is one, else a line whenever something has changed."""

from __future__ import annotations

import json
import os
import pty
import signal
from pathlib import Path

import pytest

from tests.cli.servers import Server, apply


@pytest.mark.parametrize("through", ["serve", "kafka"])
def test_without_a_terminal_there_is_a_line_for_every_change_and_ctrl_c_is_no_failure(
    server: Server, tmp_path: Path, through: str
) -> None:
    flag = f"watched-{through}"
    apply(server, tmp_path, flag)
    way = ["--server", server.url] if through == "serve" else []
    process = server.start("status", flag, "--watch", *way)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert f"{flag} draft -, 0%: APPLIED" in next(lines)
    assert server.guardian("start", flag).exit_code == 0
    assert any("progressing canary, 5%" in line for line in lines)
    assert server.guardian("pause", flag, "--reason", "lunch").exit_code == 0
    assert any("paused canary, 5%" in line and "lunch" in line for line in lines)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints


def test_with_json_every_change_is_a_record(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "watched-json")
    process = server.start("status", "watched-json", "--watch", "--json")
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    first = json.loads(next(lines))
    assert first.get("state", first)["phase"] == "draft", first
    assert server.guardian("start", "watched-json").exit_code == 0
    assert any(json.loads(line)["state"]["phase"] == "progressing" for line in lines)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("words", [["watched-screen"], ["watched-screen", "watched-too"]], ids=["page", "table"])
def test_on_a_terminal_there_is_one_screen_that_is_kept_up_to_date(
    server: Server, tmp_path: Path, words: list[str]
) -> None:
    apply(server, tmp_path, "watched-screen")
    apply(server, tmp_path, "watched-too")
    mine, its = pty.openpty()
    process = server.start("status", *words, "--watch", stdout=its)
    os.close(its)
    shown = ""
    while "APPLIED" not in shown:
        shown += os.read(mine, 65_536).decode(errors="replace")
    assert "Ctrl-C ends it" in shown
    process.send_signal(signal.SIGINT)
    while True:
        try:
            if not os.read(mine, 65_536):
                break
        except OSError:  # nobody holds the other end any more
            break
    os.close(mine)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints


def test_an_unknown_flag_is_not_waited_for(server: Server) -> None:
    result = server.guardian("status", "nobody-watches-this", "--watch")
    assert result.exit_code == 1
    assert "known flags" in result.stderr
