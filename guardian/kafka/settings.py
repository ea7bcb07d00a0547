"""The settings of one installation: guardian.toml, then GUARDIAN_*, then options; one prefix is one environment."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from guardian.errors import SettingsError

ENV_PREFIX = "GUARDIAN_"
FILE_NAME = "guardian.toml"
EMBEDDED_PARTITIONS = 4
"""What librdkafka's mock cluster gives every topic."""


MAX_TOKEN_NAME_CHARS = 128


def digest_of(token: str) -> str:
    """Return what is kept of a token: its SHA-256 as 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Role(StrEnum):
    """What the bearer of a token may do."""

    VIEWER = "viewer"  # read
    SENDER = "sender"  # send events
    OPERATOR = "operator"  # read, and give commands
    ADMIN = "admin"  # everything


class Token(BaseModel):
    """Who may use serve; the token itself stands nowhere, only its SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(
        min_length=1, max_length=MAX_TOKEN_NAME_CHARS, description="who it is: the actor of every command"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False, description="SHA-256 of the token, 64 hex digits")
    role: Role = Field(description="viewer, sender, operator or admin")


class Settings(BaseModel):
    """Where Kafka is and how guardian behaves; every field can be set in guardian.toml or as GUARDIAN_<NAME>."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = Field("127.0.0.1:9092", description="Kafka's bootstrap servers, comma separated")
    prefix: str = Field("guardian", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="prefix of the topics")
    partitions: int = Field(4, ge=1, le=1024, description="partitions of the topics keyed by flag, fixed for life")
    source_partitions: int = Field(4, ge=1, le=4096, description="partitions of telemetry and migrations")
    replication: int = Field(1, ge=1, le=10, description="replication factor of every topic")
    embedded: bool = Field(False, description="the broker is the embedded one: no topic creation, 4 partitions")
    tick_ms: int = Field(100, ge=10, le=1_000, description="how often ingest writes at the latest")
    disorder_ms: int = Field(2_000, ge=0, le=600_000, description="how late an event may be and still be in order")
    future_ms: int = Field(60_000, ge=1_000, description="an event further ahead of its arrival is a dead letter")
    metrics_port: int = Field(0, ge=0, le=65_535, description="Prometheus port; 0 for none")
    state_dir: Path = Field(Path(".guardian"), description="where guardian dev keeps its files")
    log_level: str = Field("info", pattern=r"^(debug|info|warning|error)$", description="debug, info, warning, error")
    serve_host: str = Field("127.0.0.1", description="the address that serve listens on; 0.0.0.0 for every network")
    serve_port: int = Field(8620, ge=0, le=65_535, description="the port that serve listens on; 0 for any free one")
    serve_body_bytes: int = Field(4_194_304, ge=65_536, le=67_108_864, description="the largest body that serve takes")
    tokens: tuple[Token, ...] = Field((), max_length=1_000, repr=False, description="who may use serve: [[tokens]]")

    @model_validator(mode="after")
    def _embedded_has_its_own_partitions(self) -> Settings:
        """The embedded broker cannot be told how many partitions a topic has."""
        if self.embedded and (self.partitions, self.source_partitions) != (EMBEDDED_PARTITIONS,) * 2:
            raise ValueError(
                f"the embedded broker has {EMBEDDED_PARTITIONS} partitions in every topic, no other number"
            )
        return self

    @field_validator("tokens", mode="before")
    @classmethod
    def _tokens_of_the_environment_are_json(cls, value: Any) -> Any:
        """GUARDIAN_TOKENS is text; guardian.toml gives a list."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("GUARDIAN_TOKENS is a JSON list of {name, sha256, role}") from None

    @field_validator("tokens")
    @classmethod
    def _tokens_are_told_apart(cls, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        """Two names, or two bearers of one token, could not be told apart in the audit."""
        for what in ("name", "sha256"):
            if len({getattr(token, what) for token in tokens}) < len(tokens):
                raise ValueError(f"two tokens have the same {what}")
        return tokens

    def topic(self, name: str) -> str:
        """Return a topic's full name, such as `guardian.flags` for `flags`."""
        return f"{self.prefix}.{name}"

    def group(self, name: str) -> str:
        """Return a consumer group's full name, such as `guardian.ingest` for `ingest`."""
        return f"{self.prefix}.{name}"


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
    """Read the settings.

    Args:
        file: the settings file; None looks for guardian.toml in the working directory and takes none if absent.
        environ: the environment; None takes the process's.
        options: what the command line says; None values are left out.

    Raises:
        SettingsError: a file that is not there or not TOML, an unknown name, or a value out of its range.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    path = file or Path(FILE_NAME)
    if file is not None or path.exists():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}", "correct the file or leave it out") from error
    for name in Settings.model_fields:
        if (text := environ.get(ENV_PREFIX + name.upper())) is not None:
            values[name] = text
    values.update({name: value for name, value in options.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise SettingsError("; ".join(lines), f"see the settings in {path}, {ENV_PREFIX}* and the options") from error
