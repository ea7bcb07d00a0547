"""The base install is the SDK and no more: proved in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.wire.events import decode_migration, decode_telemetry
from tests.brokers import settings_for
from tests.interpreters import NEEDED, PROMISED, interpreters, report
from tests.sdk.documents import written
from tests.sdk.scenes import arrived, guardian

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is released."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # A copy: building leaves files behind.
    shutil.copytree(ROOT / "guardian", source / "guardian", ignore=shutil.ignore_patterns("__pycache__"))
    run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, interpreter: Path, folder: Path) -> Path:
    """An environment with the base install; returns its Python."""
    python = folder / "clean" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", interpreter, folder / "clean", cwd=folder)
    lock = ROOT / "requirements.lock"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", lock, wheel, cwd=folder)
    return python


def test_the_oldest_python_that_is_promised_is_here() -> None:
    assert NEEDED in interpreters(), report()


def test_what_is_promised_is_what_the_package_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        (name,) = [name for name in content.namelist() if name.endswith(".dist-info/METADATA")]
        said = content.read(name).decode().splitlines()
        licences = [name for name in content.namelist() if name.endswith("/licenses/LICENSE")]
    versions = [line.rpartition(" ")[2] for line in said if re.fullmatch(r"Classifier: .* :: 3\.\d+", line)]
    assert versions == list(PROMISED)
    assert "Requires-Python: >=3.11" in said
    assert "License-Expression: Apache-2.0" in said
    assert len(licences) == 1


@pytest.mark.parametrize("version", interpreters())
def test_the_base_install_brings_the_sdk_and_nothing_of_the_server(
    embedded: EmbeddedBroker, wheel: Path, tmp_path: Path, version: str
) -> None:
    settings = settings_for(embedded, f"clean-{version}")

    async def scene() -> None:
        await create_topics(settings)
        async with guardian(settings) as writer:
            await writer.write(written(weight_bp=10_000))

    asyncio.run(scene())
    python = install(wheel, interpreters()[version], tmp_path)
    assert run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])", cwd=tmp_path).strip() == version
    program = Path(__file__).parent / "clean_program.py"
    said = json.loads(run(python, "-I", program, settings.bootstrap, settings.prefix, cwd=tmp_path))
    assert (said["value"], said["variant"], said["flushed"], said["dropped"]) == (True, "on", True, 0)
    assert (said["installed"], said["imported"]) == ([], [])
    assert said["rooms"] == [
        "guardian",
        "guardian.core",
        "guardian.core.epochs",
        "guardian.core.events",
        "guardian.core.override_names",
        "guardian.core.split",
        "guardian.errors",
        "guardian.record_batches",
    ]
    assert said["codecs"] == ["gzip", "lz4", "snappy", "zstd"], "a kill is obeyed in whatever codec it comes"
    values = asyncio.run(arrived(settings, 1))
    assert {decode_telemetry(value).service for value in values} == {"clean"}
    (migration,) = asyncio.run(arrived(settings, 1, topic="migrations"))
    assert decode_migration(migration).component == "pricing_engine"
