"""What is made from code says what the code says now, and leaves nothing out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from docs.made import metrics
from docs.made.__main__ import DOCS, FILES
from guardian.cli.main import app
from guardian.core.machine import TABLE
from guardian.core.words import Phase
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.settings import Settings
from guardian.spec.vocabulary import SECTIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", FILES)
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == FILES[name](), f"docs/{name} is stale: make docs"


def test_the_check_says_that_all_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.made", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_word_of_the_spec_is_on_the_page_with_its_meaning() -> None:
    text = FILES["spec.md"]()
    for words in SECTIONS.values():
        for name, word in words.items():
            assert f"| `{name}` | {word.takes} | {word.meaning} |" in text, name


def test_every_command_and_option_is_on_the_page() -> None:
    text = FILES["commands.md"]()
    root = get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        for inner, one in getattr(command, "commands", {"": command}).items():
            section = text.split(f"\n## guardian {name} {inner}".rstrip() + "\n")
            assert len(section) == 2, name
            for parameter in one.params:
                for word in [word for word in parameter.opts if word.startswith("--") and word != "--help"]:
                    assert f"`{word}`" in section[1].split("\n## ")[0], f"{name} {word}"


def test_every_topic_and_setting_is_on_its_page() -> None:
    topics, settings = FILES["topics.md"](), FILES["settings.md"]()
    assert [name for name in TOPICS if f"\n## {name}\n" not in topics] == []
    assert [name for name in Settings.model_fields if f"| `{name}` | `GUARDIAN_{name.upper()}` |" not in settings] == []


def test_operations_speaks_only_of_metrics_that_exist() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    named = {word for word in text.replace("`", " ").replace("(", " ").split() if word.startswith("guardian_")}
    known = metrics.names()
    assert named
    assert {name for name in named if name.partition("{")[0] not in known} == set()


def test_the_picture_of_the_machine_has_every_phase_and_an_arrow_for_every_pair() -> None:
    picture = ElementTree.fromstring(FILES["machine.svg"]())
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in picture.iter(f"{space}text")]
    arrows = [path for path in picture.iter(f"{space}path") if path.get("marker-end")]
    assert {str(phase) for phase in Phase} <= set(words)
    assert len(arrows) == len({(phase, following) for (phase, _), following in TABLE.items()})
