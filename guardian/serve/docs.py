"""The API's page, made from its OpenAPI document, without anything from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from guardian.serve.page import document


def docs_page(openapi: dict[str, Any]) -> str:
    """Return every route with what it takes and answers.

    Args:
        openapi: the document.
    """
    info = openapi["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
        '<p>For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>',
    ]
    for path, methods in openapi["paths"].items():
        parts += [_route(path, method, route) for method, route in methods.items()]
    return document(info["title"], "".join(parts))


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    what = escape(route.get("description") or route.get("summary", ""))
    inputs = [
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for one in route.get("parameters", [])
    ]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        inputs.append(f"<tr><td>body</td><td>{escape(kind)}</td><td>{_schema(body.get('schema', {}))}</td></tr>")
    answers = [
        f"<tr><td>{escape(status)}</td><td>{_kinds(answer)}</td><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in sorted(route.get("responses", {}).items())
    ]
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{what}</p>"
        f"<table>{''.join(inputs)}</table><h3>Answers</h3><table>{''.join(answers)}</table></section>"
    )


def _kinds(answer: dict[str, Any]) -> str:
    """The media types of an answer with their schemas."""
    return ", ".join(
        f"{escape(kind)} {_schema(content.get('schema', {}))}" for kind, content in answer.get("content", {}).items()
    )


def _schema(schema: dict[str, Any]) -> str:
    """A schema in a few words: its name, or the names of its fields."""
    if "$ref" in schema:
        return f"<code>{escape(schema['$ref'].rpartition('/')[2])}</code>"
    if fields := schema.get("properties"):
        return "<code>{" + escape(", ".join(fields)) + "}</code>"
    return escape(schema.get("description", ""))
