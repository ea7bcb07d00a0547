"""The settings of one installation: guardian.toml, then GUARDIAN_*, then options; one prefix is one environment."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from guardian.errors import SettingsError

ENV_PREFIX = "GUARDIAN_"
FILE_NAME = "guardian.toml"
EMBEDDED_PARTITIONS = 4
"""What librdkafka's mock cluster gives every topic."""


MAX_TOKEN_NAME_CHARS = 128
SIGNING_KEY_BYTES = 32
MAX_SIGNING_KEYS = 16
KEY_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
_KEY_PATTERN = rf"[0-9a-fA-F]{{{2 * SIGNING_KEY_BYTES},}}"


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


class SecurityProtocol(StrEnum):
    """What a port of the brokers speaks, by Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.endswith("SSL")

    @property
    def has_users(self) -> bool:
        """Whether a client says by SASL who it is."""
        return self.startswith("SASL")


class SaslMechanism(StrEnum):
    """How a user proves who he is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


_TLS_NAMES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password")
_SASL_NAMES = ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file")
SECURITY_NAMES = frozenset({"security_protocol", *_TLS_NAMES, *_SASL_NAMES})
"""The settings that say how a client may enter."""
_PASSWORD_NAMES = frozenset({"sasl_password", "sasl_password_file"})


class Settings(BaseModel):
    """Where Kafka is and how guardian behaves; every field can be set in guardian.toml or as GUARDIAN_<NAME>."""

    # What was given stands in no error: it may be a password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

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
    signing_keys: dict[str, SecretStr] = Field(
        default_factory=dict,
        max_length=MAX_SIGNING_KEYS,
        repr=False,
        description="what proves who gave a command: [signing] keys, by id: hex, or a file that holds it",
    )
    signing_current: str = Field("", description="[signing] current: the id of the key that serve signs with")
    security_protocol: SecurityProtocol = Field(
        SecurityProtocol.PLAINTEXT,
        description="what the brokers' port speaks: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    )
    sasl_mechanism: SaslMechanism | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    sasl_username: str | None = Field(None, min_length=1, description="who guardian is for the brokers")
    sasl_password: SecretStr | None = Field(None, min_length=1, repr=False, description="its password; shown nowhere")
    sasl_password_file: Path | None = Field(None, description="a file that holds the password, instead of it")
    ssl_cafile: Path | None = Field(None, description="PEM of whom to trust; unless said, whom the machine trusts")
    ssl_certfile: Path | None = Field(None, description="PEM of guardian's own certificate, if the brokers want one")
    ssl_keyfile: Path | None = Field(None, description="PEM of its key, unless it stands in ssl_certfile")
    ssl_keyfile_password: SecretStr | None = Field(None, repr=False, description="the key's password; shown nowhere")

    @model_validator(mode="after")
    def _embedded_has_its_own_partitions(self) -> Settings:
        """The embedded broker cannot be told how many partitions a topic has."""
        if self.embedded and (self.partitions, self.source_partitions) != (EMBEDDED_PARTITIONS,) * 2:
            raise ValueError(
                f"the embedded broker has {EMBEDDED_PARTITIONS} partitions in every topic, no other number"
            )
        return self

    @model_validator(mode="after")
    def _security_is_whole(self) -> Settings:
        """A half-said security is none: the first contradiction is told, with the way out."""
        if (fault := _security_fault(self)) is not None:
            raise SettingsError(*fault)
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

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _signing_keys_are_read(cls, value: Any) -> Any:
        """GUARDIAN_SIGNING_KEYS is JSON; a key that is no hex is the path of a file that holds it."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise ValueError("GUARDIAN_SIGNING_KEYS is a JSON object of ids and keys") from None
        if not isinstance(value, dict):
            raise ValueError("an object of ids and keys")
        return {name: _signing_key(str(name), key) for name, key in value.items()}

    @model_validator(mode="after")
    def _signing_is_whole(self) -> Settings:
        """The key that signs is one of those that verify."""
        if self.signing_current and self.signing_current not in self.signing_keys:
            raise SettingsError(
                f"[signing] current is {self.signing_current!r}, which is not one of keys",
                "guardian signing new makes a key, and says what goes where",
            )
        return self

    def topic(self, name: str) -> str:
        """Return a topic's full name, such as `guardian.flags` for `flags`."""
        return f"{self.prefix}.{name}"

    def group(self, name: str) -> str:
        """Return a consumer group's full name, such as `guardian.ingest` for `ingest`."""
        return f"{self.prefix}.{name}"


def _signing_key(name: str, given: Any) -> str:
    """The key in hex."""
    if re.fullmatch(KEY_ID_PATTERN, name) is None:
        raise ValueError("a key id has letters, digits, '_' and '-', 32 at most")
    text = given.get_secret_value() if isinstance(given, SecretStr) else str(given)
    if re.fullmatch(_KEY_PATTERN, text) is None:
        try:
            text = Path(text).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            # What was given stands in no error: it may be a key that was copied in part.
            raise ValueError(f"key {name}: neither {2 * SIGNING_KEY_BYTES} hex digits nor a file") from None
    if re.fullmatch(_KEY_PATTERN, text) is None or len(text) % 2:
        raise ValueError(f"key {name}: its file does not hold {2 * SIGNING_KEY_BYTES} hex digits or more")
    return text.lower()


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """The table `[signing]` as settings of their own."""
    table = values.pop("signing", None)
    if isinstance(table, dict):
        values |= {f"signing_{name}": value for name, value in table.items()}
    elif table is not None:
        raise SettingsError("signing is a table", "write it as guardian signing new shows it")
    return values


def _security_fault(given: Settings) -> tuple[str, str] | None:
    """What is wrong with TLS and SASL, and the way out; None if nothing is."""
    said = {name for name in (*_TLS_NAMES, *_SASL_NAMES) if getattr(given, name) is not None}
    if (fault := _idle(given, said) or _missing(given, said)) is not None:
        return fault
    for name in ("sasl_password_file", "ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if name in said and not getattr(given, name).is_file():
            return f"{name}: there is no file {getattr(given, name)}", f"correct {name}, or put the file there"
    return None


def _idle(given: Settings, said: set[str]) -> tuple[str, str] | None:
    """What is said and would have no effect."""
    protocol = given.security_protocol
    if given.embedded and protocol is not SecurityProtocol.PLAINTEXT:
        found = f"the embedded broker has neither TLS nor SASL, and security_protocol is {protocol}"
        return found, "leave out embedded, or security_protocol and what belongs to it"
    tls = [] if protocol.has_tls else [name for name in _TLS_NAMES if name in said]
    users = [] if protocol.has_users else [name for name in _SASL_NAMES if name in said]
    if idle := tls + users:
        names = ", ".join(idle)
        wanted = "SASL_SSL" if users else "SSL or SASL_SSL"
        wanted = "SASL_SSL or SASL_PLAINTEXT" if users and not tls else wanted
        found = f"{names}: of no use while security_protocol is {protocol}"
        return found, f"set security_protocol to {wanted}, or leave out {names}"
    return None


def _missing(given: Settings, said: set[str]) -> tuple[str, str] | None:
    """What is not said and must be."""
    if given.security_protocol.has_users:
        for name, fix in (
            ("sasl_mechanism", f"set sasl_mechanism to one of {', '.join(SaslMechanism)}"),
            ("sasl_username", "set sasl_username to the user that the brokers know"),
        ):
            if name not in said:
                return f"security_protocol is {given.security_protocol}, but {name} is not set", fix
        if len(ways := said & _PASSWORD_NAMES) != 1:
            found = "are both set" if ways else "are both not set"
            return f"sasl_password and sasl_password_file {found}", "set one of them"
    lonely = said & {"ssl_keyfile", "ssl_keyfile_password"}
    if lonely and "ssl_certfile" not in said:
        return f"{min(lonely)} is set, but ssl_certfile is not", "set ssl_certfile to the certificate of this key"
    return None


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
            values.update(_flat(tomllib.loads(path.read_text(encoding="utf-8"))))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}", "correct the file or leave it out") from error
    said = {name: environ.get(ENV_PREFIX + name.upper()) for name in Settings.model_fields}
    if any(said[name] is not None for name in _PASSWORD_NAMES):
        # The password is one setting with two names: the later place beats the earlier whichever name it uses.
        values = {name: value for name, value in values.items() if name not in _PASSWORD_NAMES}
    values.update({name: text for name, text in said.items() if text is not None})
    values.update({name: value for name, value in options.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise SettingsError("; ".join(lines), f"see the settings in {path}, {ENV_PREFIX}* and the options") from error
