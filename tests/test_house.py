"""The house keeps its order: rooms, bans, sizes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.errors import Exit

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def run(*command: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)


def test_the_rooms_keep_their_import_order() -> None:
    result = run(str(BIN / "lint-imports"))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", ["time", "datetime", "random", "uuid", "asyncio", "logging", "os"])
def test_core_may_not_reach_for_clock_chance_or_world(module: str) -> None:
    result = run(str(BIN / "ruff"), "check", "--stdin-filename", "guardian/core/new.py", "-", text=f"import {module}\n")
    assert result.returncode == 1
    assert f"TID251 `{module}` is banned" in result.stdout


def test_other_rooms_may_read_a_clock() -> None:
    source = "import time\n\nNOW = time.time()\n"
    result = run(str(BIN / "ruff"), "check", "--stdin-filename", "guardian/ingest/new.py", "-", text=source)
    assert result.returncode == 0, result.stdout


def test_no_file_of_the_package_grows_beyond_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "guardian").rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_every_target_of_the_makefile_says_what_it_is_for() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    targets = [line for line in lines if line and line[0].isalpha() and ":" in line and "=" not in line.split(":")[0]]
    rules = [line for line in targets if ":=" not in line and "?=" not in line]
    assert rules
    assert [line for line in rules if "## " not in line] == []


def test_a_stranger_of_the_same_name_over_the_package_is_refused_with_a_way_out(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "guardian", tmp_path / "guardian", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "guardian" / "shortcuts.py").touch()
    command = [sys.executable, "-c", "from guardian.cli.main import run; run()", "list"]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == Exit.USAGE
    assert "django-guardian is installed in the same environment: shortcuts.py" in result.stderr
    assert "an environment of its own" in result.stderr
