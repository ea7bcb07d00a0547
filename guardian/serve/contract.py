"""What the API promises in OpenAPI: the structs of the topics as schemas, and how routes refer to them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import FastAPI, Path
from fastapi.openapi.utils import get_openapi

from guardian.core.outputs import Alert, Decision, Rollback, RolloutStatus
from guardian.core.words import FLAG_NAME_PATTERN
from guardian.serve.bodies import Order
from guardian.wire.dead_letters import Letter

Flag = Annotated[str, Path(pattern=f"^{FLAG_NAME_PATTERN}$", description="The flag's name.")]

_SCHEMAS: Final = "#/components/schemas/{name}"
_TYPES: Final = (RolloutStatus, Decision, Alert, Rollback, Letter, Order)

_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {
    "type": "object",
    "properties": {
        "path": _TEXT,
        "message": _TEXT,
        "fix": _TEXT,
        "line": {"type": "integer"},
        "column": {"type": "integer"},
    },
}
_FAULT: Final = {
    "type": "object",
    "required": ["ok", "reason", "message", "fix"],
    "properties": {
        "ok": {"const": False},
        "reason": {"type": "string", "description": "one word for programs"},
        "message": {"type": "string", "description": "one sentence for people"},
        "fix": {"type": "string", "description": "the way out"},
        "problems": {"type": "array", "items": _PROBLEM, "description": "everything wrong, where there is a list"},
    },
}

Responses = dict[int | str, dict[str, Any]]


def ref(kind: type[Any]) -> dict[str, Any]:
    """Return the schema that refers to a struct."""
    return {"$ref": _SCHEMAS.format(name=kind.__name__)}


def listed(name: str, kind: type[Any]) -> dict[str, Any]:
    """Return the schema of an object with one list of structs."""
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": ref(kind)}}}


def says(status: int, schema: dict[str, Any], description: str) -> Responses:
    """Return what a route documents of one answer in JSON."""
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


def fault(status: int, description: str) -> Responses:
    """Return what a route documents of one way to fail."""
    return says(status, {"$ref": _SCHEMAS.format(name="Fault")}, description)


ERRORS: Final[Responses] = {
    **fault(401, "No token, or an unknown one."),
    **fault(403, "The token's role may not do this."),
    **fault(404, "Not there."),
    **fault(422, "The request is wrong; with every problem."),
    **fault(503, "Not ready: Kafka does not answer, or the read models are not whole yet."),
}


def _structs() -> dict[str, Any]:
    """The structs of the topics as JSON Schema; a free value, as in a spec document, may be anything."""
    return msgspec.json.schema_components(
        _TYPES, schema_hook=lambda _: {"description": "any value"}, ref_template=_SCHEMAS
    )[1]


def describe(app: FastAPI) -> None:
    """Give the app its OpenAPI document, made once, when it is first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(_structs(), Fault=_FAULT)
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"token": []}, {}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
