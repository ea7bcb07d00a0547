"""The suite runs like this too: no terminal, SIGINT ignored (`nohup make test &`), and it says where it hangs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.kafka.free_ports import free_ports
from tests.docs.pages import Run, Save, all_pages

ROOT = Path(__file__).parents[1]
CHILD = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
STARTER = f"""
import subprocess, sys
{{imports}}
sys.exit(subprocess.run([sys.executable, "-c", {CHILD!r}]).returncode)
"""
HANGS = "import asyncio\n\ndef test_hangs():\n    asyncio.run(asyncio.sleep(3600))\n"


def ignoring_sigint(code: str) -> str:
    """What a Python prints that was started as in the background of a script."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    return done.stdout.strip()


def test_children_of_tests_take_sigint_although_the_suite_was_started_with_it_ignored() -> None:
    assert ignoring_sigint(STARTER.format(imports="")) == "False"
    assert ignoring_sigint(STARTER.format(imports="import tests.conftest")) == "True"


def test_a_test_that_hangs_is_ended_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGS, encoding="utf-8")
    settings = ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-o", "timeout=1", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, tmp_path], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Timeout" in done.stdout
    assert "test_hanging.py:4" in done.stdout


def test_every_port_of_a_page_that_is_followed_is_one_that_the_test_replaces() -> None:
    named = re.compile(r"(?:localhost|127\.0\.0\.1|--port|--http-port|_PORT)[:= ](\d{4,5})\b")
    for page in all_pages():
        texts = [deed.text for deed in page.deeds if isinstance(deed, Save)]
        texts += [command.text for deed in page.deeds if isinstance(deed, Run) for command in deed.commands]
        found = {port for text in texts for port in named.findall(text)}
        assert found <= {*page.ports, "8620"}, page.path


def test_free_ports_differ_and_are_none_that_clients_are_given() -> None:
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < first_of_clients

    async def listen() -> None:
        for port in ports:
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
            server.close()

    asyncio.run(listen())


def needs(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "tests" / "needs.sh"), *words]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def programs(folder: Path, **scripts: str) -> Path:
    """A folder with programs: each is a script, or the machine's own when its text is empty."""
    for name, text in scripts.items():
        own = shutil.which(name.replace("_", "-"))
        if text:
            (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        elif own:
            (folder / name.replace("_", "-")).symlink_to(own)
    return folder


BARE = dict.fromkeys(
    ["sh", "sed", "head", "bash", "curl", "openssl", "promtool", "taskset", "mvn", "node", "npm"], "true"
)
BARE |= {"sh": "", "sed": "", "head": "", "java": "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2"}


def test_what_this_machine_has_is_enough_for_the_tests() -> None:
    done = needs(Path(os.environ["PATH"]), sys.executable)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_missing_is_named_at_once_with_the_package_that_brings_it(tmp_path: Path) -> None:
    without = {name: text for name, text in BARE.items() if name not in ("java", "mvn", "node")}
    done = needs(programs(tmp_path, **without), sys.executable, "kafka")
    assert done.returncode == 1
    for line in ("java is not installed", "mvn is not installed", "node is not installed", "make test-fast"):
        assert line in done.stderr
    assert "apt-get install maven nodejs openjdk-17-jre-headless" in done.stderr
    assert needs(tmp_path, sys.executable).returncode == 0, "the fast suite needs none of them"


@pytest.mark.parametrize(("said", "code"), [("1.8.0_392", 1), ("11.0.21", 1), ("17", 0), ("21.0.1", 0), ("25-ea", 0)])
def test_an_old_java_is_refused(tmp_path: Path, said: str, code: int) -> None:
    java = f"echo 'openjdk version \"{said}\" 2023-10-17' >&2"
    done = needs(programs(tmp_path, **{**BARE, "java": java}), sys.executable, "kafka")
    assert (done.returncode, "needs 17 or later" in done.stderr) == (code, bool(code)), done.stderr


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('case "$*" in *version_info*) exit 1;; *) echo Python 3.10.13;; esac', "3.10.13, guardian needs 3.11"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "python3-venv"),
        ("", "is not installed"),
    ],
)
def test_a_python_that_cannot_make_the_environment_is_refused(tmp_path: Path, script: str, message: str) -> None:
    found = programs(tmp_path, **BARE, **({"python9": script} if script else {}))
    done = needs(found, "python9")
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
