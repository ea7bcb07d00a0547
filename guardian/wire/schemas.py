"""JSON Schemas (2020-12) of what guardian itself writes, made from the types that write it.

What applications send (telemetry, migrations) is described by hand in schemas/: there the code follows the description.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

import msgspec

from guardian.core.events import SPLIT_VARIABLE
from guardian.core.inputs import Command
from guardian.core.outputs import Alert, Decision, Rollback, RolloutStatus
from guardian.core.served import ENABLED
from guardian.core.words import ALL_FLAGS, FLAG_NAME_PATTERN, WEIGHT_FULL_BP
from guardian.wire.commands import (
    COMMANDS,
    FIGURE_NAME_PATTERN,
    FREEZE_PATTERN,
    MAX_EPOCH,
    MAX_ID_BYTES,
    MAX_NAME_BYTES,
    MAX_REASON_BYTES,
)
from guardian.wire.flagd import Metadata

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REF: Final = "#/$defs/{name}"
_ARGUMENT: Final = re.compile(r"^\s{4,8}([a-z_][a-z_, ]*): (.+)$")
_SCALAR: Final = {"type": ["boolean", "integer", "number", "string"]}
_WEIGHT: Final = {"type": "integer", "minimum": 0, "maximum": WEIGHT_FULL_BP}


def schemas() -> dict[str, Schema]:
    """Return the schema of each topic that guardian writes, by the topic's short name."""
    return {
        "commands": _commands(),
        "flags": _flags(),
        "rollbacks": _of_type("rollbacks", Rollback),
        "rollouts": _of_type("rollouts", RolloutStatus),
        "alerts": _of_type("alerts", Alert),
        "decisions": _of_type("decisions", Decision),
    }


def _of_type(topic: str, kind: type[msgspec.Struct]) -> Schema:
    """The schema of a Struct and of all that it holds; unknown fields are allowed, for schemas only grow."""
    _, parts = msgspec.json.schema_components([kind], schema_hook=_any_value, ref_template=_REF)
    for name, part in parts.items():
        _describe(part, _types_of(kind)[name])
    top = parts.pop(kind.__name__)
    if "weight_bp" in parts.get("FlagState", {}).get("properties", {}):
        parts["FlagState"]["properties"]["weight_bp"].update(_WEIGHT)
    head = {"$schema": DIALECT, "$id": f"urn:guardian:{topic}"}
    return {**head, **top, "$defs": dict(sorted(parts.items()))} if parts else {**head, **top}


def _any_value(kind: type) -> Schema:
    if kind is object:
        return {"description": "any JSON value"}
    raise TypeError(f"{kind} has no JSON form")


def _types_of(kind: type) -> dict[str, type]:
    """Every Struct and enum within a type, by name."""
    found: dict[str, type] = {}
    waiting: list[Any] = [msgspec.inspect.type_info(kind)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType | msgspec.inspect.EnumType):
            if info.cls.__name__ in found:
                continue
            found[info.cls.__name__] = info.cls
        waiting += [field.type for field in getattr(info, "fields", ())]
        waiting += getattr(info, "types", ())
        waiting += getattr(info, "item_types", ())
        waiting += [part for name in ("item_type", "value_type") if (part := getattr(info, name, None))]
    return found


def _describe(part: Schema, kind: type) -> None:
    """Move what a docstring says of each field to the field."""
    text = inspect.getdoc(kind) or ""
    summary, _, arguments = text.partition("\n\nArgs:")
    part["description"] = " ".join(summary.split())
    fields: Schema = part.get("properties", {})
    named: list[str] = []
    for line in arguments.splitlines():
        if match := _ARGUMENT.match(line):
            named = [name.strip() for name in match[1].split(",")]
            for name in named:
                if name in fields:
                    fields[name]["description"] = match[2]
        elif line.strip() and named:
            for name in named:
                if name in fields:
                    fields[name]["description"] += f" {line.strip()}"


def _commands() -> Schema:
    """A command, with what `decode_command` looks at beyond the types."""
    schema = _of_type("commands", Command)
    fields = schema["properties"]
    fields["id"].update(minLength=1, maxLength=MAX_ID_BYTES)
    fields["command"]["enum"] = list(COMMANDS)
    fields["flag"]["pattern"] = f"^({re.escape(ALL_FLAGS)}|{FLAG_NAME_PATTERN})$"
    fields["reason"]["maxLength"] = MAX_REASON_BYTES
    fields["to"]["maxLength"] = MAX_NAME_BYTES
    fields["ts"]["minimum"] = 0
    fields["epoch"].update(minimum=0, maximum=MAX_EPOCH)
    fields["seen_turn"].update(minimum=0, maximum=MAX_EPOCH)
    fields["seen_revision"].update(maxLength=MAX_NAME_BYTES)
    actor = schema["$defs"]["Actor"]["properties"]
    actor["name"].update(minLength=1, maxLength=MAX_NAME_BYTES)
    actor["via"].update(minLength=1, maxLength=MAX_NAME_BYTES)
    one_flag = {"pattern": f"^{FLAG_NAME_PATTERN}$"}
    schema["allOf"] = [
        {
            "if": _command_is("apply"),
            "then": {"required": ["spec"], "properties": {"spec": {"type": "object"}, "flag": one_flag}},
            "else": {"properties": {"spec": {"type": "null"}}},
        },
        {"if": _command_is("rollback", "dismiss"), "else": {"properties": {"to": {"const": ""}}}},
        {
            "if": _command_is("dismiss"),
            "then": {"required": ["to"], "properties": {"to": {"minLength": 1}, "flag": one_flag}},
        },
        {"if": _command_is("promote"), "else": {"properties": {"force": {"const": False}}}},
        {
            "if": _command_is("metric"),
            "then": {
                "required": ["name", "value"],
                "properties": {
                    "name": {"pattern": f"^{FIGURE_NAME_PATTERN}$"},
                    "value": {"type": "number"},
                    "flag": one_flag,
                },
            },
            "else": {"properties": {"name": {"const": ""}, "value": {"type": "null"}}},
        },
        {"if": _command_is("bug"), "then": {"properties": {"flag": one_flag}}},
        {
            "if": _command_is("release"),
            "then": {
                "required": ["freeze"],
                "properties": {"freeze": {"pattern": f"^{FREEZE_PATTERN}$"}, "flag": {"const": ALL_FLAGS}},
            },
            "else": {"properties": {"freeze": {"const": ""}}},
        },
    ]
    return schema


def _command_is(*words: str) -> Schema:
    is_one = {"const": words[0]} if len(words) == 1 else {"enum": list(words)}
    return {"required": ["command"], "properties": {"command": is_one}}


def _flags() -> Schema:
    """A flagd v0 flag definition as guardian writes it, or the record that says guardian is alive."""
    metadata = _of_type("flags", Metadata)
    parts = metadata.pop("$defs")
    for name in ("$schema", "$id"):
        del metadata[name]
    fields = metadata["properties"]
    fields["weight_bp"].update(_WEIGHT)
    fields["dual_run_bp"] = {"description": fields["dual_run_bp"]["description"], **_WEIGHT}
    split = {"const": {"var": [SPLIT_VARIABLE, WEIGHT_FULL_BP]}}
    below = {
        "type": "array",
        "prefixItems": [split, {"type": "integer", "minimum": 1, "maximum": WEIGHT_FULL_BP}],
        "minItems": 2,
        "maxItems": 2,
    }
    inside = {"type": "object", "properties": {"<": below}, "required": ["<"], "additionalProperties": False}
    arms = [inside, {"type": "string"}, {"type": "string"}]
    targeting = {"type": "array", "prefixItems": arms, "minItems": 3, "maxItems": 3}
    document = {
        "title": "Flag",
        "description": "A flagd v0 flag definition. Guardian's own data stands in metadata, flat.",
        "type": "object",
        "properties": {
            "state": {"const": ENABLED},
            "variants": {"type": "object", "additionalProperties": _SCALAR, "minProperties": 1},
            "defaultVariant": {"type": "string"},
            "targeting": {
                "description": "Absent when the weight is 0 or the flag is killed: then everyone gets control.",
                "type": "object",
                "properties": {"if": targeting},
                "required": ["if"],
                "additionalProperties": False,
            },
            "metadata": metadata,
        },
        "required": ["state", "variants", "defaultVariant", "metadata"],
        # A reader of flagd refuses the whole document for a field that it does not know.
        "additionalProperties": False,
    }
    beat = {
        "title": "Beat",
        "description": "Guardian is alive: the record of the key _beat, in every partition, every 5 seconds.",
        "type": "object",
        "properties": {
            "beat": {"const": True},
            "partition": {"type": "integer", "minimum": 0},
            "ts": {"type": "number", "minimum": 0, "description": "Unix seconds of the log."},
            "lag_ms": {
                "type": "integer",
                "minimum": -1,
                "description": "Log time less watermark in milliseconds; -1 when guardian is blind.",
            },
            "blind": {"type": "string", "description": "Why the evidence is stale; absent when it is fresh."},
        },
        "required": ["beat", "partition", "ts"],
    }
    head = {"$schema": DIALECT, "$id": "urn:guardian:flags", "title": "Flags"}
    return {
        **head,
        "oneOf": [{"$ref": "#/$defs/Flag"}, {"$ref": "#/$defs/Beat"}],
        "$defs": {"Beat": beat, "Flag": document, **parts},
    }
