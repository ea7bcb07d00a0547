"""What somebody else has written to guardian.flags in the place of a rollout's own document."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.epochs import raised_epoch, too_far_ahead
from guardian.core.outputs import Alert

RAISES_WITHIN_MS: Final = 600_000
MAX_RAISES: Final = 2
"""In RAISES_WITHIN_MS; instead of a third one guardian alarms that there is another writer."""


class ForeignDocument(Struct):
    """What is remembered of documents that are not ours.

    Args:
        epoch, version: of the newest one that readers obey in place of ours; -1 when ours stands.
        seen_ms: log time when one that serves the candidate was last found; 0 for never.
        raises_ms: log times of the last epochs that were raised over one, rising; at most MAX_RAISES.
        alert: that one was found; None when it is over.
        writer_alert: that another writer does not stop; None when it is over.
        emergency_alert: that an emergency change was adopted; None when the flag is free again.
    """

    epoch: int = -1
    version: int = -1
    seen_ms: int = 0
    raises_ms: list[int] = field(default_factory=list)
    alert: Alert | None = None
    writer_alert: Alert | None = None
    emergency_alert: Alert | None = None

    def may_raise(self, log_ms: int) -> bool:
        """Return whether another raise keeps below the limit."""
        recent = [raised_ms for raised_ms in self.raises_ms if log_ms - raised_ms < RAISES_WITHIN_MS]
        return len(recent) < MAX_RAISES

    def note_raise(self, log_ms: int) -> None:
        """Note a raise: from now on ours stands."""
        self.raises_ms = [*self.raises_ms, log_ms][-MAX_RAISES:]
        self.epoch = self.version = -1

    def epoch_above(self, epoch: int, version: int, log_ms: int) -> int:
        """Return the epoch under which our next document is obeyed; the present one while nothing newer is known."""
        if (self.epoch, self.version) <= (epoch, version):
            return epoch
        raised = raised_epoch(max(epoch, self.epoch), log_ms)
        return epoch if too_far_ahead(raised, 0, log_ms) else raised
