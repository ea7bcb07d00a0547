"""A flag document as it stands on guardian.flags: checked once, so that evaluating it cannot fail on its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from guardian.core.events import SPLIT_VARIABLE
from guardian.core.override_names import override_name
from guardian.errors import DecodeError, DecodeReason
from guardian.sdk.rules import Rule, RuleError, compile_rule

MAX_DOCUMENT_BYTES: Final = 262_144
MAX_FLAG_CHARS: Final = 128
_ROLLED_BACK: Final = "rolled_back"
"""The phase, as documents say it."""
_MAX_PAIR: Final = 2**63

Scalar = bool | int | float | str
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FlagDocument:
    """What guardian says about one flag.

    Args:
        flag: its name.
        epoch, version: ordered as a pair; only a newer document replaces an older one.
        enabled: false for a flag whose state is DISABLED: the application's own default holds.
        variants: name to value.
        default_variant: who is not targeted gets it; empty for the application's own default.
        rule: the targeting; None without one, or when this version cannot run it.
        rule_fault: why the targeting cannot be run; empty when it can, or when there is none.
        split_only: the targeting looks at nothing but the split.
        control, candidate: the two arms; candidate is empty in a document that is not guardian's.
        salt: what the split is salted with.
        killed: the kill switch is on.
        rolled_back: the rollout was rolled back and not started again: nobody may opt in.
        override_name: the environment variable that overrides this flag.
        raw: the value as it came.
        base: of a document whose own pair is too far ahead to be believed: the pair that a newer one must exceed;
            None for every other.
        stamp: what an evaluation says of the document, but for the assignment.
    """

    flag: str
    epoch: int
    version: int
    enabled: bool
    variants: dict[str, Any]
    default_variant: str
    rule: Rule | None
    rule_fault: str
    split_only: bool
    control: str
    candidate: str
    salt: str
    killed: bool
    rolled_back: bool
    override_name: str
    raw: bytes
    stamp: dict[str, Scalar]
    base: Pair | None = None

    @property
    def pair(self) -> Pair:
        """(epoch, version), by which documents are ordered."""
        return self.base or (self.epoch, self.version)

    @property
    def serves_nobody(self) -> bool:
        """Whether everybody gets control by it: no reader refuses such a document."""
        return self.enabled and self.rule is None and not self.rule_fault and self.default_variant == self.control != ""

    def metadata(self, assignment: str) -> dict[str, Scalar]:
        """Return what an evaluation says beside the value; the caller may change it."""
        return {**self.stamp, "assignment": str(assignment)}


def parse_document(flag: str, value: bytes) -> FlagDocument:
    """Return the document that a record carries.

    Args:
        flag: the record's key.
        value: the record's value, JSON.

    Raises:
        DecodeError: not a flag document. Targeting that is well formed but beyond this version is not an error: the
            document is newer and holds, and everyone gets its default variant (control).
    """
    if not flag or len(flag) > MAX_FLAG_CHARS:
        raise DecodeError(DecodeReason.BAD_FLAG_NAME, "a flag document whose key is no flag name")
    if len(value) > MAX_DOCUMENT_BYTES:
        raise DecodeError(DecodeReason.TOO_LARGE, f"flag document of {flag}: {len(value)} bytes")
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"flag document of {flag}: {error}") from error
    part = _Part(flag, found)
    return _document(part, _Part(flag, part.take("metadata", dict)), value)


class _Part:
    """A JSON object of the document, whose fields are taken with their types checked."""

    def __init__(self, flag: str, found: Any) -> None:
        self.flag = flag
        if not isinstance(found, dict):
            raise DecodeError(DecodeReason.WRONG_TYPE, f"flag document of {flag}: not an object")
        self.found: dict[str, Any] = found

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        value = self.found.get(name, default)
        if value is None:
            raise DecodeError(DecodeReason.MISSING_FIELD, f"flag document of {self.flag}: no {name}")
        # bool is an int to Python, not to JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.bad(f"{name} is a {type(value).__name__}", DecodeReason.WRONG_TYPE)
        return value

    def number(self, name: str, default: int | None = None) -> int:
        value: int = self.take(name, int, default)
        if not 0 <= value < _MAX_PAIR:
            raise self.bad(f"{name} is out of range")
        return value

    def bad(self, what: str, reason: DecodeReason = DecodeReason.BAD_VALUE) -> DecodeError:
        return DecodeError(reason, f"flag document of {self.flag}: {what}")


def _document(part: _Part, metadata: _Part, raw: bytes) -> FlagDocument:
    variants: dict[str, Any] = part.take("variants", dict)
    state = part.take("state", str)
    default_variant: str = part.take("defaultVariant", str, "")
    control: str = metadata.take("control", str, default_variant)
    candidate: str = metadata.take("candidate", str, "")
    if state not in ("ENABLED", "DISABLED"):
        raise part.bad(f"state is {state[:32]!r}")
    for name in (default_variant, control, candidate):
        if name and name not in variants:
            raise part.bad(f"{name[:64]!r} is not a variant")
    rule, rule_fault = _targeting(part)
    epoch, version = metadata.number("epoch"), metadata.number("version")
    stamp: dict[str, Scalar] = {
        "flag_version": version,
        "epoch": epoch,
        "step": metadata.take("step", str, ""),
        "weight_bp": metadata.number("weight_bp", 0),
    }
    if "dual_run_bp" in metadata.found:
        stamp["dual_run_bp"] = metadata.number("dual_run_bp")
    return FlagDocument(
        flag=part.flag,
        epoch=epoch,
        version=version,
        enabled=state == "ENABLED",
        variants=variants,
        default_variant=default_variant,
        rule=rule,
        rule_fault=rule_fault,
        split_only=rule is not None and rule.variables == {SPLIT_VARIABLE},
        control=control,
        candidate=candidate,
        salt=metadata.take("salt", str, part.flag),
        killed=metadata.take("killed", bool, False),
        rolled_back=metadata.take("phase", str, "") == _ROLLED_BACK,
        override_name=override_name(part.flag, metadata.take("env_prefix", str, "")),
        raw=raw,
        stamp=stamp,
    )


def _targeting(part: _Part) -> tuple[Rule | None, str]:
    targeting: dict[str, Any] = part.take("targeting", dict, {})
    if not targeting:
        return None, ""
    try:
        return compile_rule(targeting), ""
    except RuleError as error:
        return None, error.message
