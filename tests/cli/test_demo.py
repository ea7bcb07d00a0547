"""`guardian demo` as everybody runs it: a process, a shop in another one, and a rollback that really happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.brokers import CACHE
from tests.cli.servers import GUARDIAN


def play(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [GUARDIAN, "demo", "--once", "--json", *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=folder,
        env={**os.environ, "GUARDIAN_STATE_DIR": str(CACHE.parent)},
    )


def check(done: subprocess.CompletedProcess[str]) -> None:
    """Hold the demo to what it promises."""
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rolled_back"] is True
    assert result["events"] > 1_000
    # That it is quick is what bench/latency.py measures; here the machine may be busy with other tests.
    assert 0 < result["bad_to_decision_ms"] < result["bad_to_sdk_flip_ms"], done.stderr
    assert result["trigger"] == "failing"
    assert result["reason"] == "TRIGGER_FIRED"
    assert result["failed_requests"] > 10
    assert result["promotions"] >= 1
    assert "KeyError" in result["first_error"]
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"status page: {result['status_page']}")


def test_the_demo_ends_by_itself_after_a_real_rollback_and_says_how_long_it_took(tmp_path: Path) -> None:
    done = play("--bad-after", "8", folder=tmp_path)
    check(done)
    assert json.loads(done.stdout.splitlines()[-1])["seconds"] > 8
    for words in ("the new pricing begins to fail", "TRIGGER_FIRED", "every customer gets the old price again"):
        assert words in done.stderr


def test_ctrl_c_ends_the_demo_and_its_shop_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [GUARDIAN, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    page = next(lines).split()[2]
    assert any("the shop is open" in line for line in lines)
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert b"<title>guardian" in answer.read()
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints


@pytest.mark.kafka
def test_the_demo_on_a_real_kafka(tmp_path: Path) -> None:
    check(play("--broker", "kafka", "--bad-after", "8", folder=tmp_path))
