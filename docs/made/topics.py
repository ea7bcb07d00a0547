"""topics.md: every topic, its settings, its schema and an example, from the catalogue and schemas/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs.made.markdown import block, code, page, table
from guardian.kafka.catalogue import DAY_MS, TOPICS, Topic
from guardian.kafka.settings import Settings

_SCHEMAS = Path(__file__).parents[2] / "schemas"
_INTRO = """\
Guardian and your applications meet in Kafka and nowhere else.
The prefix (`guardian` unless said) is a setting and names the environment: one prefix, one installation.

- What people and programs read is JSON. Kafka's console consumer or `kcat` can follow it.
- A topic with "by flag" has its partition from Kafka's murmur2 of the flag's name. The number is fixed for life.
- Commands, alerts and decisions carry CloudEvents 1.0 headers (binary mode). Commands that serve has signed carry
  `guardian-signature` too: [what it proves](operations.md#signing).
- `guardian topics create` makes what is missing, `guardian topics check` names what is wrong. Neither changes a topic.
- The JSON Schemas stand in `schemas/`, with good and bad examples, and an AsyncAPI document beside them.
- Schemas only grow. Ignore fields that you do not know.
"""
_NOTES = {
    "telemetry": "How to send it, by HTTP or from Python, and what to send for what: [Telling guardian](telemetry.md).",
    "migrations": "How to send it: [Telling guardian](telemetry.md), or in Python [`@dual_run`](sdk.md).",
    "dead-letters": "Headers: `guardian-reason` (one word), `guardian-detail` (a sentence),"
    " `guardian-source` (topic/partition/offset). `guardian tail dead-letters` shows"
    " them, `guardian doctor` tells of the newest.",
}
"""By topic: one more line."""


def render() -> str:
    """Return the page."""
    settings = Settings.model_validate({})
    rows = [
        [f"[{settings.topic(topic.name)}](#{topic.name})", topic.key, topic.value, topic.writers, topic.readers]
        for topic in TOPICS.values()
    ]
    overview = "## All of them\n\n" + table(["topic", "key", "value", "written by", "read by"], rows)
    return page("Topics and schemas", _INTRO, overview, *(_topic(topic, settings) for topic in TOPICS.values()))


def _topic(topic: Topic, settings: Settings) -> str:
    config = topic.config(settings)
    kept = "the newest of each key" if topic.compacted else f"{(topic.retention_ms or 0) // DAY_MS} days"
    if topic.compacted and topic.retention_ms is not None:
        kept += f", {topic.retention_ms // DAY_MS} days at most"
    count = "`partitions`, by flag" if topic.by_flag else "`source_partitions`"
    lines = [
        f"## {topic.name}",
        "",
        f"{topic.value}. Key: {topic.key}. Written by {topic.writers}, read by {topic.readers}.",
        *(["", note] if (note := _NOTES.get(topic.name)) else []),
        "",
        f"- Kept: {kept}.",
        f"- Partitions: {count}.",
        f"- Settings that `guardian topics check` insists on: {', '.join(f'`{k}={v}`' for k, v in config.items())}.",
    ]
    path = _SCHEMAS / f"{topic.name}.schema.json"
    if path.exists():
        schema = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", *_schema(schema, path), "", *_examples(topic.name)]
    return "\n".join(lines)


def _schema(schema: dict[str, Any], path: Path) -> list[str]:
    parts = dict(schema.get("$defs", {}))
    lines = [f"Schema: `schemas/{path.name}`.", ""]
    if "properties" in schema:
        lines += [_fields(schema), ""]
    for name, part in parts.items():
        if "properties" in part:
            lines += [f"**{name}**: {part.get('description', '')}", "", _fields(part), ""]
        elif "enum" in part:
            lines += [f"**{name}**: {_type(part)}.", ""]
    return lines


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = [
        [code(name), _type(field), "yes" if name in required else "", field.get("description", "")]
        for name, field in schema.get("properties", {}).items()
    ]
    return table(["field", "type", "required", "meaning"], rows)


def _type(field: dict[str, Any]) -> str:
    """The type of a field in a few words."""
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if "const" in field:
        return code(json.dumps(field["const"]))
    if "enum" in field:
        return ", ".join(code(str(value)) for value in field["enum"] if value is not None)
    for word in ("anyOf", "oneOf"):
        if word in field:
            return " or ".join(dict.fromkeys(_type(one) for one in field[word]))
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _examples(name: str) -> list[str]:
    """Every good example of what applications write, one line each; of guardian's own the first."""
    found = sorted((_SCHEMAS / "examples" / name / "good").glob("*.json"))
    if not found:
        return []
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    if TOPICS[name].writers == "applications":
        text = "\n".join(json.dumps(document, ensure_ascii=False) for document in documents)
    else:
        text = json.dumps(documents[0], indent=2, ensure_ascii=False)
    return [f"Examples, from `schemas/examples/{name}/good/`:", "", block("json", text)]
