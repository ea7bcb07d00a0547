"""Signing keys: read from the settings whole or refused with a reason, rotated without a gap, shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardian.errors import SettingsError
from guardian.kafka.settings import Settings, load_settings
from guardian.kafka.signing import SIGNATURE_HEADER, SigningKeys

OLD, NEW = "01" * 32, "ab" * 32
VALUE = b'{"command":"kill"}'


def settings(file: Path, text: str = "", **environ: str) -> Settings:
    file.write_text(text)
    return load_settings(file, environ=environ)


def keys(current: str = "k2") -> SigningKeys:
    given = {"signing_keys": {"k1": OLD, "k2": NEW}, "signing_current": current}
    return SigningKeys.of(load_settings(environ={}, **given))


def test_B10_a_signature_is_of_the_exact_bytes() -> None:
    (header,) = keys().sign(VALUE)
    assert header[0] == SIGNATURE_HEADER
    assert header[1].startswith(b"k2:")
    assert keys().verify(VALUE, [("ce_id", b"x"), header])
    assert not keys().verify(VALUE + b" ", [header])


@pytest.mark.parametrize(
    "signature", [b"", b"k2", b"k2:", b"k9:ab", b"\xff:\xff", b"k2:" + b"0" * 64, b":" + b"0" * 64]
)
def test_B10_anything_else_proves_nothing(signature: bytes) -> None:
    assert not keys().verify(VALUE, [(SIGNATURE_HEADER, signature)])
    assert not keys().verify(VALUE, [])


def test_a_key_is_replaced_without_a_moment_in_which_nothing_is_proved() -> None:
    old, new = keys("k1").sign(VALUE), keys("k2").sign(VALUE)
    assert old != new
    assert keys().verify(VALUE, old)
    assert keys().verify(VALUE, new)
    only_new = SigningKeys({"k2": bytes.fromhex(NEW)}, "k2")
    assert not only_new.verify(VALUE, old)
    assert SigningKeys({"k2": bytes.fromhex(NEW)}).sign(VALUE) == []


def test_the_file_and_the_environment_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(NEW.upper() + "\n")
    text = f'[signing]\nkeys = {{k1 = "{OLD}", k2 = "{tmp_path / "key"}"}}\ncurrent = "k2"\n'
    of_file = SigningKeys.of(settings(tmp_path / "guardian.toml", text))
    given = json.dumps({"k1": OLD, "k2": NEW})
    of_environ = SigningKeys.of(
        settings(tmp_path / "empty.toml", GUARDIAN_SIGNING_KEYS=given, GUARDIAN_SIGNING_CURRENT="k2")
    )
    assert of_file == of_environ == keys()
    shown = repr(settings(tmp_path / "guardian.toml", text)) + repr(of_file)
    assert OLD not in shown
    assert NEW not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[signing]\nkeys = {{k1 = "{OLD}"}}\ncurrent = "k2"', "not one of keys"),
        (f'[signing]\nkeys = {{k1 = "{OLD[:-2]}"}}', "neither 64 hex digits nor a file"),
        (f'[signing]\nkeys = {{"a b" = "{OLD}"}}', "a key id"),
        ('[signing]\nkeys = "k1"', "JSON object"),
        ("[signing]\nkeys = [1]", "ids and keys"),
        ('[signing]\nkey = "k1"', "signing_key"),
        ('signing = "k1"', "table"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_key_is_not_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path / "guardian.toml", text)
    assert said in refused.value.message
    assert OLD[:-2] not in refused.value.message
