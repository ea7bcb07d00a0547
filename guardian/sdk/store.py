"""The newest document of every flag, by (epoch, version); what is not newer is ignored, what is rubbish is counted.

A document whose pair is too far ahead is refused, for nothing could be written over it; unless it gives the candidate
to nobody: then it is obeyed, and the next one replaces it although its pair is lower.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from guardian.core.epochs import too_far_ahead
from guardian.errors import DecodeError
from guardian.sdk.document import MAX_FLAG_CHARS, FlagDocument, Pair, parse_document

MAX_FLAGS: Final = 50_000
MAX_AHEAD: Final = 1_000
UNSEEN: Final[Pair] = (0, 0)
"""The grave of a flag of which only the tombstone was seen: compaction has taken its documents."""


@dataclass
class Counts:
    """What a store was given.

    Args:
        accepted: documents that were newer.
        not_newer: documents that were older than, or the same as, the one known.
        garbage: records that are no flag document.
        deleted: flags taken away by a tombstone.
        refused: documents of flags beyond MAX_FLAGS.
        too_far_ahead: documents that serve the candidate and whose epoch or version is beyond now plus a day.
    """

    accepted: int = 0
    not_newer: int = 0
    garbage: int = 0
    deleted: int = 0
    refused: int = 0
    too_far_ahead: int = 0


@dataclass
class Store:
    """One writer, any number of readers: a reader takes `documents.get(flag)` and nothing else.

    Args:
        documents: by flag; each value is replaced whole, never changed.
        graves: the pair of the last document of a deleted flag, so that an older record cannot bring it back;
            UNSEEN when there was none.
        ahead: by flag the newest document that was too far ahead; another reading of the time may yet take it.
        counts: what the store was given.
    """

    documents: dict[str, FlagDocument] = field(default_factory=dict)
    graves: dict[str, Pair] = field(default_factory=dict)
    ahead: dict[str, FlagDocument] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def apply(self, key: bytes | None, value: bytes | None, now_ms: int) -> str:
        """Take one record of guardian.flags.

        Args:
            key: the flag's name in UTF-8.
            value: the document; None deletes the flag.
            now_ms: Unix milliseconds: the greater of the clock and the broker timestamps of guardian's beats.

        Returns:
            the flag's name when something changed, empty when nothing did. Never raises on what a record holds.
        """
        flag = (key or b"").decode(errors="replace")
        if value is None:
            return self._delete(flag)
        try:
            document = parse_document(flag, value)
        except DecodeError:
            self.counts.garbage += 1
            return ""
        if not too_far_ahead(document.epoch, document.version, now_ms):
            return self._put(document)
        if document.serves_nobody:
            return self._put(replace(document, base=self._pair(flag) or UNSEEN))
        self.counts.too_far_ahead += 1
        if flag in self.ahead or len(self.ahead) < MAX_AHEAD:
            self.ahead[flag] = document
        return ""

    def look_again(self, now_ms: int) -> None:
        """Take what was too far ahead for a clock that is wrong, once the beats have told the time."""
        for document in self.ahead.values():
            if not too_far_ahead(document.epoch, document.version, now_ms):
                self._put(document)
        self.ahead.clear()

    def adopt(self, other: Store) -> list[str]:
        """Take everything that another store knows better, as one step.

        Args:
            other: the fold of the topic from its beginning; or of a snapshot.

        Returns:
            the flags that changed. A flag that the other does not know stays as it is: the last good document.
        """
        changed = [flag for document in other.documents.values() if (flag := self._put(document))]
        for flag, pair in other.graves.items():
            known = self.documents.get(flag)
            if known is not None and (pair >= known.pair or pair == UNSEEN):
                changed.append(self._delete(flag))
            elif known is None and len(self.graves) < MAX_FLAGS:
                self.graves[flag] = max(pair, self.graves.get(flag, pair))
        self.counts.garbage += other.counts.garbage
        self.counts.refused += other.counts.refused
        self.counts.too_far_ahead += other.counts.too_far_ahead
        return changed

    def _pair(self, flag: str) -> Pair | None:
        """The pair that a newer document must exceed; None for a flag that is not known."""
        known = self.documents.get(flag)
        return known.pair if known is not None else self.graves.get(flag)

    def _put(self, document: FlagDocument) -> str:
        flag = document.flag
        known, oldest = self.documents.get(flag), self._pair(flag)
        if document.base is not None and known is not None and not _gives_control_of(known, document):
            self.counts.too_far_ahead += 1
            return ""
        if document.base is not None and (known is None or known.raw != document.raw):
            # The newest record of the topic, and it gives the candidate to nobody: its pair is not asked.
            document = replace(document, base=max(document.base, oldest or UNSEEN))
        elif oldest is not None and document.pair <= oldest:
            self.counts.not_newer += 1
            return ""
        if known is None and len(self.documents) >= MAX_FLAGS:
            self.counts.refused += 1
            return ""
        self.documents[flag] = document
        self.graves.pop(flag, None)
        self.counts.accepted += 1
        return flag

    def _delete(self, flag: str) -> str:
        known = self.documents.pop(flag, None)
        if known is None:
            if 0 < len(flag) <= MAX_FLAG_CHARS and len(self.graves) < MAX_FLAGS:
                self.graves.setdefault(flag, UNSEEN)
            return ""
        if len(self.graves) < MAX_FLAGS:
            self.graves[flag] = known.pair
        self.counts.deleted += 1
        return flag


def _gives_control_of(known: FlagDocument, document: FlagDocument) -> bool:
    """Whether everybody gets by a document what the known one calls control: a name alone is easily swapped."""
    present, given = known.variants.get(known.control), document.variants[document.default_variant]
    return known.control not in known.variants or (type(present), present) == (type(given), given)
