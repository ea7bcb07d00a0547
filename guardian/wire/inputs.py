"""The value of a record on guardian.inputs: one byte of format, then msgpack."""

from __future__ import annotations

import msgspec

from guardian.core.inputs import INPUT_FORMAT, Payload
from guardian.errors import DecodeError, DecodeReason

_PREFIX = bytes([INPUT_FORMAT])
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Payload] = msgspec.msgpack.Decoder(Payload)


def encode_payload(payload: Payload) -> bytes:
    """Return the record's value."""
    return _PREFIX + _encoder.encode(payload)


def decode_payload(value: bytes | None) -> Payload:
    """Return what the record says.

    Raises:
        DecodeError: another format, or not what guardian writes. The offset is taken, nothing changes.
    """
    if not value or value[:1] != _PREFIX:
        found = "nothing" if not value else f"format {value[0]}"
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"input record has {found}, this version reads {INPUT_FORMAT}")
    try:
        return _decoder.decode(value[1:])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(DecodeReason.WRONG_TYPE, f"input record: {error}") from error
