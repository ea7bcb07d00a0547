"""The snapshot file: the last good documents on disk, for a start without a broker."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from guardian.sdk.document import FlagDocument
from guardian.sdk.store import Store

FORMAT: Final = 1
MAX_BYTES: Final = 256 * 1024 * 1024
_log = logging.getLogger("guardian.sdk")


def read_snapshot(path: Path, topic: str, now_ms: int | None = None) -> Store:
    """Return what the file holds, as far as it can be read.

    Args:
        path: the file; it may be absent, or hold anything.
        topic: whose documents are wanted. Those of another environment could be newer than all that this one says,
            and would win for good.
        now_ms: Unix milliseconds; None for this machine's clock.

    Returns:
        a store; empty when there is nothing to be had. A document that cannot be read is left out and counted.
    """
    store = Store()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        found = orjson.loads(path.read_bytes())
        if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("flags"), dict):
            raise ValueError("not a snapshot of this format")
        if found.get("topic", topic) != topic:
            raise ValueError(f"it is of {str(found['topic'])[:300]}, not of {topic}")
        flags: dict[str, Any] = found["flags"]
        # A machine whose clock is behind knew the time better when it wrote the file.
        written_ms = found.get("now_ms", 0)
        now_ms = int(time.time() * 1_000) if now_ms is None else now_ms
        now_ms = max(now_ms, written_ms if isinstance(written_ms, int) else 0)
        for flag, document in flags.items():
            store.apply(flag.encode(), orjson.dumps(document), now_ms)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, orjson.JSONEncodeError) as error:
        _log.warning("the snapshot %s is not used: %s", path, error)
    return store


def write_snapshot(path: Path, documents: list[FlagDocument], topic: str, now_ms: int = 0) -> bool:
    """Write the file as one step: a reader, and a start after a power cut, find the old one or the new one.

    Args:
        path: the file; its folder must be there.
        documents: everything to keep.
        topic: where they are from.
        now_ms: Unix milliseconds, as the beats told them; 0 when they are not known.

    Returns:
        whether it was written; a full disk or a missing folder is logged, never raised.
    """
    flags = {document.flag: orjson.Fragment(document.raw) for document in documents}
    temporary = ""
    try:
        data = orjson.dumps({"format": FORMAT, "topic": topic, "now_ms": now_ms, "flags": flags})
        # A name of its own: several processes of one host may share a snapshot.
        handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, orjson.JSONEncodeError) as error:
        _log.warning("the snapshot %s was not written: %s", path, error)
        with suppress(OSError):
            if temporary:
                os.unlink(temporary)
        return False
    return True
