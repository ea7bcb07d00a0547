"""The compose file and the Dockerfile as data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass
class Stage:
    """One stage of the Dockerfile.

    Args:
        base: what stands after FROM.
        name: what stands after AS.
        steps: (instruction, the rest) in order.
    """

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def said(self, instruction: str) -> list[str]:
        """Every step of one kind."""
        return [rest for word, rest in self.steps if word == instruction]


def compose(environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Read the compose file as Docker does: merged, variables put in, `$$` as `$`.

    Args:
        environment: the variables; those that are absent take their defaults.
    """
    loader = YAML(typ="safe", pure=True)
    document: dict[str, Any] = json.loads(json.dumps(loader.load(COMPOSE.read_text(encoding="utf-8"))))
    filled: dict[str, Any] = _filled(document, environment or {})
    return filled


def _filled(value: Any, environment: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], value)
    return text.replace("$$", "$")


def stages() -> list[Stage]:
    """Read the Dockerfile."""
    text = "\n".join(line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif word:
            found[-1].steps.append((word, rest.strip()))
    return found


def lineage(target: str) -> list[Stage]:
    """Return a target's own stages, the base first: what the finished image is made of."""
    by_name = {stage.name: stage for stage in stages()}
    line = [by_name[target]]
    while line[0].base in by_name:
        line.insert(0, by_name[line[0].base])
    return line


def last_said(target: str, instruction: str) -> str:
    """Return what holds for a target: the last word of its kind."""
    return [rest for stage in lineage(target) for rest in stage.said(instruction)][-1]


def copies(target: str) -> dict[str, str]:
    """Return where files of the repository lie in a target's image: path there to path here."""
    found: dict[str, str] = {}
    for stage in lineage(target):
        for rest in stage.said("COPY"):
            words = [word for word in rest.split() if not word.startswith("--")]
            if "--from=" not in rest:
                found[words[-1]] = words[0]
    return found
