"""A decide process of another build: its documents say the same in other words, as after an upgrade."""

from __future__ import annotations

import asyncio
from typing import Any

from guardian.core.outputs import FlagState
from guardian.wire import outputs
from guardian.wire.flagd import flag_document
from tests.decide.process import main


def document_of_another_build(state: FlagState) -> dict[str, Any]:
    """The document with a field more in its metadata, and everything in another order."""
    document = flag_document(state)
    metadata = {**dict(reversed(document["metadata"].items())), "built_by": "another build"}
    return {**dict(reversed(document.items())), "metadata": metadata}


if __name__ == "__main__":
    outputs.flag_document = document_of_another_build
    asyncio.run(main())
