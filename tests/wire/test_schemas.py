"""The schemas say what the code reads and writes: good examples pass both, bad ones fail both, with the named error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guardian.core.words import ALL_FLAGS
from guardian.errors import DecodeError, DecodeReason
from guardian.kafka.asyncapi import EXTERNAL, files, schema_file
from guardian.kafka.catalogue import TOPICS
from guardian.wire.commands import decode_command
from guardian.wire.event_fields import Fields, parse_object
from guardian.wire.events import decode_migration, decode_telemetry, migration_of, telemetry_of
from guardian.wire.flagd import document_state
from guardian.wire.outputs import decode_alert, decode_decision, decode_rollback, decode_status

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = SCHEMAS / "examples"
ARRIVAL_MS = 1_763_700_060_000


def _read_flag(value: bytes) -> object:
    document = json.loads(value)
    return document["ts"] if document.get("beat") is True else document_state("new-pricing", document)


READERS: dict[str, Callable[[bytes], object]] = {
    "telemetry": lambda value: decode_telemetry(value, ARRIVAL_MS, 60_000),
    "migrations": lambda value: decode_migration(value, ARRIVAL_MS, 60_000),
    "commands": decode_command,
    "flags": _read_flag,
    "rollbacks": decode_rollback,
    "rollouts": decode_status,
    "alerts": decode_alert,
    "decisions": decode_decision,
}


def validator(topic: str) -> Draft202012Validator:
    """The checked schema of a topic."""
    schema = json.loads((SCHEMAS / schema_file(topic)).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _examples(quality: str) -> list[Any]:
    paths = sorted(EXAMPLES.glob(f"*/{quality}/*.json"))
    return [pytest.param(path, id=f"{path.parts[-3]}-{path.stem}") for path in paths]


@pytest.mark.parametrize("path", _examples("good"))
def test_a_good_example_passes_its_schema_and_its_reader(path: Path) -> None:
    topic, text = path.parts[-3], path.read_bytes()
    assert [error.message for error in validator(topic).iter_errors(json.loads(text))] == []
    READERS[topic](text)


@pytest.mark.parametrize("path", _examples("bad"))
def test_a_bad_example_fails_its_schema_and_its_reader_with_the_error_that_it_names(path: Path) -> None:
    topic, example = path.parts[-3], json.loads(path.read_text(encoding="utf-8"))
    if "raw" in example:
        value = example["raw"].encode()
        with pytest.raises(ValueError, match="not JSON"):
            _strictly_json(example["raw"])
    else:
        value = json.dumps(example["value"]).encode()
        assert not validator(topic).is_valid(example["value"])
    with pytest.raises(DecodeError) as caught:
        READERS[topic](value)
    assert caught.value.reason == DecodeReason(example["error"]), caught.value.message


@pytest.mark.parametrize("path", _examples("odd"))
def test_B6_an_odd_example_fails_its_schema_and_is_read_without_the_field_that_it_names(path: Path) -> None:
    topic, example = path.parts[-3], json.loads(path.read_text(encoding="utf-8"))
    value = example["raw"].encode() if "raw" in example else json.dumps(example["value"]).encode()
    if "raw" not in example:
        assert not validator(topic).is_valid(example["value"])
    READERS[topic](value)
    fields = Fields(parse_object(value))
    (telemetry_of if topic == "telemetry" else migration_of)(fields, ARRIVAL_MS, 60_000)
    assert [*fields.left_out, *fields.cut] == [example["field"]]


def _strictly_json(text: str) -> Any:
    """JSON as the standard has it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(f"not JSON: {word}")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error


def test_every_json_topic_has_a_schema_with_good_and_bad_examples() -> None:
    assert set(READERS) == set(TOPICS) - {"inputs", "dead-letters"}
    for topic in READERS:
        assert (SCHEMAS / schema_file(topic)).exists()
        assert list((EXAMPLES / topic / "good").glob("*.json"))
        assert list((EXAMPLES / topic / "bad").glob("*.json"))


@pytest.mark.parametrize("name", sorted(files()))
def test_a_made_file_is_up_to_date(name: str) -> None:
    text = (SCHEMAS / name).read_text(encoding="utf-8")
    assert text == files()[name], "run: python -m guardian.kafka.asyncapi schemas"


def test_the_asyncapi_document_names_every_topic_and_refers_to_what_is_there() -> None:
    document = json.loads((SCHEMAS / "asyncapi.json").read_text(encoding="utf-8"))
    assert list(document["channels"]) == list(TOPICS)
    for reference in _references(document):
        if reference.startswith("./"):
            assert (SCHEMAS / reference).exists(), reference
        else:
            node = document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]
    assert {schema_file(topic) for topic in EXTERNAL} <= {path.name for path in SCHEMAS.glob("*.json")}


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


def test_unknown_fields_are_left_alone_where_schemas_grow() -> None:
    for topic in set(READERS) - {"flags"}:
        path = next((EXAMPLES / topic / "good").glob("*.json"))
        document = {**json.loads(path.read_text(encoding="utf-8")), "invented-later": {"a": [1]}}
        assert validator(topic).is_valid(document)
        READERS[topic](json.dumps(document).encode())


def test_a_command_for_all_flags_is_keyed_by_the_star() -> None:
    text = (EXAMPLES / "commands" / "good" / "kill-all.json").read_bytes()
    assert decode_command(text).flag == ALL_FLAGS
