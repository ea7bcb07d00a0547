"""The topics as an AsyncAPI 3.0 document, and the files under schemas/ that are made from code.

`python -m guardian.kafka.asyncapi schemas` writes them; a test says when they are out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from guardian.kafka.catalogue import TOPICS, Topic
from guardian.kafka.settings import Settings
from guardian.wire.cloudevents import EventType
from guardian.wire.schemas import schemas

Document = dict[str, Any]

VERSION: Final = "1.0.0"
"""Of the contract: the first number changes when a reader of today could not read tomorrow's records."""
DOCUMENT: Final = "asyncapi.json"
EXTERNAL: Final = ("telemetry", "migrations")
"""Described by hand: applications write them."""
_NOT_JSON: Final = {"inputs": "application/msgpack", "dead-letters": "application/octet-stream"}
_EVENT_TYPES: Final = {
    "commands": [EventType.COMMAND_GIVEN],
    "flags": [EventType.FLAG_CHANGED],
    "rollbacks": [EventType.ROLLBACK_MADE],
    "rollouts": [EventType.ROLLOUT_REPORTED],
    "alerts": [EventType.ALERT_RAISED, EventType.ALERT_RESOLVED],
    "decisions": [EventType.DECISION_MADE],
}


def files() -> dict[str, str]:
    """Return the text of every made file by its name under schemas/."""
    made = {schema_file(topic): schema for topic, schema in schemas().items()}
    made[DOCUMENT] = asyncapi()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in made.items()}


def schema_file(topic: str) -> str:
    """Return the name of a topic's schema, such as `telemetry.schema.json`."""
    return f"{topic}.schema.json"


def asyncapi() -> Document:
    """Return the AsyncAPI document of an installation with the settings' defaults."""
    settings = Settings.model_validate({})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "guardian",
            "version": VERSION,
            "description": "The topics by which guardian and applications meet. The prefix is a setting.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, settings) for topic in TOPICS.values()},
        "operations": _operations(),
        "components": {
            "messages": {topic.name: _message(topic) for topic in TOPICS.values()},
        },
    }


def _channel(topic: Topic, settings: Settings) -> Document:
    config = topic.config(settings)
    shown: Document = {"cleanup.policy": config["cleanup.policy"].split(",")}
    shown |= {key: int(config[key]) for key in ("retention.ms", "max.message.bytes") if key in config}
    return {
        "address": settings.topic(topic.name),
        "description": f"Written by: {topic.writers}. Read by: {topic.readers}. Timestamps: {topic.timestamp_type}.",
        "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions(settings),
                "replicas": settings.replication,
                "topicConfiguration": shown,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(topic: Topic) -> Document:
    message: Document = {"title": topic.value, "contentType": _NOT_JSON.get(topic.name, "application/json")}
    if topic.name not in _NOT_JSON:
        reference = {"$ref": f"./{schema_file(topic.name)}"}
        message["payload"] = {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": reference}
    if topic.name in _EVENT_TYPES:
        message["headers"] = _headers(_EVENT_TYPES[topic.name])
    key = {"type": "string", "description": topic.key}
    message["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    return message


def _headers(types: list[EventType]) -> Document:
    """CloudEvents 1.0, binary mode."""
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_id": text,
            "ce_source": text,
            "ce_type": {"enum": [str(item) for item in types]},
            "ce_subject": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"const": "application/json"},
        },
    }


def _operations() -> Document:
    """What an application, an operator's tool or a bridge does with each topic that is open to it."""
    operations: Document = {}
    for name in (*EXTERNAL, "commands"):
        operations[f"send-{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
    for name in ("flags", "rollbacks", "rollouts", "alerts", "decisions", "dead-letters"):
        operations[f"receive-{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}
    return operations


def write(folder: Path) -> None:
    """Write every made file.

    Args:
        folder: schemas/ of the repository.
    """
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
