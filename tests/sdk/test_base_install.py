"""The base install is the SDK and no more: proved in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.wire.events import decode_migration, decode_telemetry
from tests.brokers import settings_for
from tests.sdk.documents import written
from tests.sdk.scenes import arrived, guardian

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def install(folder: Path) -> Path:
    """An environment with the base install of this repository; returns its Python."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    # A copy: building leaves files behind.
    shutil.copytree(ROOT / "guardian", source / "guardian", ignore=shutil.ignore_patterns("__pycache__"))
    python = folder / "clean" / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    run(sys.executable, "-m", "venv", "--without-pip", folder / "clean", cwd=folder)
    lock = ROOT / "requirements.lock"
    run(uv, "pip", "install", "--quiet", "--python", python, "--constraint", lock, source, cwd=folder)
    return python


def test_the_base_install_brings_the_sdk_and_nothing_of_the_server(embedded: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_for(embedded, "clean")

    async def scene() -> None:
        await create_topics(settings)
        async with guardian(settings) as writer:
            await writer.write(written(weight_bp=10_000))

    asyncio.run(scene())
    python = install(tmp_path)
    program = Path(__file__).parent / "clean_program.py"
    said = json.loads(run(python, "-I", program, settings.bootstrap, settings.prefix, cwd=tmp_path))
    assert (said["value"], said["variant"], said["flushed"], said["dropped"]) == (True, "on", True, 0)
    assert (said["installed"], said["imported"]) == ([], [])
    assert said["rooms"] == [
        "guardian",
        "guardian.core",
        "guardian.core.epochs",
        "guardian.core.events",
        "guardian.core.split",
        "guardian.errors",
    ]
    values = asyncio.run(arrived(settings, 1))
    assert {decode_telemetry(value).service for value in values} == {"clean"}
    (migration,) = asyncio.run(arrived(settings, 1, topic="migrations"))
    assert decode_migration(migration).component == "pricing_engine"
