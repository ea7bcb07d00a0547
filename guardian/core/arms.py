"""Both arms by the split alone, for comparisons with control: who was allowed, denied or overridden is not like others.

Kept only while a rule compares with control, or asks whether an arm has fallen silent.
"""

from __future__ import annotations

from msgspec import Struct, field

from guardian.core.windows import Series, Tally


class Arms(Struct):
    """The two arms' figures of assignment `split`.

    Args:
        series: by variant, the buckets.
        tallies: by variant, since the step began.
    """

    series: dict[str, Series]
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, variant: str, second: int, tally: Tally, watermark_s: int) -> None:
        """Count what an arm did in a second; what is too late for a bucket is in the step's figures only."""
        self.tallies.setdefault(variant, Tally()).add(tally)
        self.series[variant].add(second, tally, watermark_s)

    def tally(self, variant: str) -> Tally:
        """Return an arm's figures since the step began, to be read."""
        return self.tallies.get(variant) or Tally()

    @property
    def is_empty(self) -> bool:
        """True while neither arm has a bucket."""
        return all(series.is_empty for series in self.series.values())

    def roll(self, watermark_s: int) -> None:
        """Fold what has grown old into coarser buckets."""
        for series in self.series.values():
            series.roll(watermark_s)

    def clear(self) -> None:
        """Forget everything: a flag change begins new evidence."""
        self.tallies.clear()
        for series in self.series.values():
            series.clear()
