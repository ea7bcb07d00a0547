"""settings.md: every setting with its environment variable, its default and its bounds, from the settings' own type."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from docs.made.markdown import block, code, page, table
from guardian.kafka.settings import ENV_PREFIX, FILE_NAME, Role, Settings, Token

_INTRO = f"""\
Three places, the later beats the earlier: the file `{FILE_NAME}` in the working directory (or `--settings FILE`),
the environment (`{ENV_PREFIX}<NAME>`), the options of a command.

- An unknown name or a value out of its range is an error that names both.
- `prefix` names the environment. One installation each for staging and production: two prefixes, or two clusters.
- `partitions` is fixed for life: the flag's partition follows from it. Choose it for the decide workers you may want.
- `source_partitions` may be as large as your traffic asks for. It bounds how many ingest processes share the work.
- The SDK reads `GUARDIAN_BOOTSTRAP` and `GUARDIAN_PREFIX`, and unless it is given arguments of aiokafka,
  `GUARDIAN_SECURITY_PROTOCOL`, `GUARDIAN_SASL_*` and `GUARDIAN_SSL_*`.
- `sasl_password` and `sasl_password_file` are one setting with two names. [Operations](operations.md) has the example.
"""
_EXAMPLE = """\
bootstrap = "kafka-1:9092,kafka-2:9092,kafka-3:9092"
prefix = "shop-production"
partitions = 8
source_partitions = 16
replication = 3
metrics_port = 9464
"""
_ROLES = {
    Role.VIEWER: "read",
    Role.SENDER: "send events",
    Role.OPERATOR: "read, and give commands",
    Role.ADMIN: "everything",
}


def render() -> str:
    """Return the page."""
    rows = [
        [code(name), code(ENV_PREFIX + name.upper()), _default(field), _bounds(field), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]
    parts = [block("toml", _EXAMPLE), "## All of them"]
    parts.append(table(["setting", "environment", "unless said", "bounds", "what it is"], rows))
    return page("Settings", _INTRO, *parts, _tokens(), _signing())


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, Path | Enum | str):
        return code(str(value))
    return "none" if value in ((), None, {}) else code(str(value).lower() if isinstance(value, bool) else f"{value}")


def _bounds(field: FieldInfo) -> str:
    found = {type(item).__name__.lower(): item for item in field.metadata}
    low, high = getattr(found.get("ge"), "ge", None), getattr(found.get("le"), "le", None)
    if low is not None:
        return f"{low:,} to {high:,}" if high is not None else f"at least {low:,}"
    return ""


def _tokens() -> str:
    fields = [[code(name), field.description or ""] for name, field in Token.model_fields.items()]
    roles = [[code(str(role)), _ROLES[role]] for role in Role]
    example = '[[tokens]]\nname = "anna"\nsha256 = "' + "0123456789abcdef" * 4 + '"\nrole = "operator"'
    how = (
        "`guardian token new NAME --role ROLE` makes one, shows it once, and says what belongs into the file: "
        "its hash. The token itself stands nowhere. Of one that you have already, "
        '`printf %s "$TOKEN" | sha256sum` gives the hash.'
    )
    where = (
        'In the environment they are one JSON list: `GUARDIAN_TOKENS=\'[{"name": ..., "sha256": ..., "role": ...}]\'`.'
    )
    without = "Without any token everybody reads, and only programs on the same machine write."
    parts = ["## Tokens", f"Who may use serve. {how} {where} {without}", block("toml", example)]
    return "\n\n".join([*parts, table(["field", "what it is"], fields), table(["role", "may"], roles)])


def _signing() -> str:
    example = (
        '[signing]\nkeys = {k1 = "' + "0123456789abcdef" * 4 + '", k2 = "/etc/guardian/signing-k2"}\ncurrent = "k2"'
    )
    text = (
        "What serve signs commands with, and ingest verifies. "
        "`guardian signing new` makes a key and says what goes where. "
        "A key is at least 64 hex digits, or the path of a file that holds them; several verify, `current` signs. "
        'In the environment: `GUARDIAN_SIGNING_KEYS=\'{"k1": "..."}\'` and `GUARDIAN_SIGNING_CURRENT=k1`. '
        "[Operations](operations.md#signing) says what it proves."
    )
    return "\n\n".join(["## Signing", text, block("toml", example)])
