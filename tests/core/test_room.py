"""The worst rollout that a spec may declare, with everything in it at its largest, fits into a snapshot."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from guardian.core.alerts import raise_alert
from guardian.core.baseline import Baseline
from guardian.core.commands import MAX_BUG_CHARS, MAX_WHO_CHARS, declare
from guardian.core.finding import Since
from guardian.core.fleet import (
    MAX_HEARD,
    MAX_KEY_BYTES,
    MAX_LOSSES,
    MAX_SERVED,
    MAX_SERVED_BYTES,
    MAX_SERVICES,
    UNTRACKED_BITS,
    hear,
    key_of,
    name_of,
)
from guardian.core.histogram import BIN_COUNT, bins_from
from guardian.core.inputs import Actor, Command
from guardian.core.instance_gauges import GONE_S, MAX_INSTANCES, MAX_OF_SERVICE, SLICES_KEPT, WARM_UP_S
from guardian.core.instant import Instant
from guardian.core.outputs import Evidence, Verdict
from guardian.core.reported import MAX_OUTSIDE, Outside
from guardian.core.retention import MAX_FIGURES, MAX_RULES, MAX_TEXT_BYTES, text_bytes
from guardian.core.samples import add_samples
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES, PartitionState, pack
from guardian.core.state import RolloutState, Watch
from guardian.core.windows import LEAD_S, OUTCOMES, TIERS, Series, Tally
from guardian.core.words import Outcome, Reason
from guardian.spec.load import parse_spec

NOW_S = 1_763_700_000
WEEK_S = 7 * 86_400
ASCII = string.ascii_letters + string.digits
WIDE = [chr(code) for code in range(0x20000, 0x20000 + 4_096)]
MAX_CHANGELOG_BYTES = 1_000_000
"""What one record of the checkpoint's topic takes."""


class Worst:
    """Random parts, which deflate as little as any; the same ones for the same seed."""

    def __init__(self, letters: str | list[str], spread: str) -> None:
        self.chance = random.Random(7)
        self._letters = letters
        self._spread = spread

    def text(self, chars: int) -> str:
        return "".join(self.chance.choices(self._letters, k=chars))

    def name(self, chars: int) -> str:
        return "".join(self.chance.choices(ASCII, k=chars))

    def document(self) -> dict[str, Any]:
        """As many rules as a spec may have, and as much text."""
        figures = [f"metric m{self.name(31)} > 1 over 7d" for _ in range(MAX_FIGURES)]
        others = ["p99_latency > 2x baseline over 7d", "p95_latency > 2x control over 7d", "critical bug reported",
                  "silent for 7d", "memory > 2x baseline over 1d", "memory growing 10%/day"]  # fmt: skip
        rules = (figures + others) * 6
        triggers = [
            {"name": self.name(20), "when": rule, "do": "notify", "tell": self.text(5)} for rule in rules[:MAX_RULES]
        ]
        steps = [{"weight": "5%", "triggers": triggers[100:]}, {"weight": "100%"}]
        found = {"flag": "a", "owner": "-", "baseline_window": "7d", "steps": steps, "triggers": triggers[:100]}
        wide = len(self.text(1).encode())
        for trigger in triggers:
            room = min(250, (MAX_TEXT_BYTES - text_bytes(found)) // wide)
            trigger["tell"] += self.text(room)
        return found

    def tally(self, figures: tuple[str, ...], *, most: int = 1_000) -> Tally:
        low, high = (0, BIN_COUNT) if self._spread == "every bin" else (400, 750)
        bins = range(low, high)
        sums = {name: [float(self.chance.randint(1, most)), self.chance.random() * most] for name in figures}
        counts = [self.chance.randint(0, most) for _ in OUTCOMES]
        latencies = bins_from(list(bins), [self.chance.randint(1, most) for _ in bins])
        tally = Tally()
        tally.add(Tally(counts, sum(counts), self.chance.randint(1, 10**12), latencies, sums))
        return tally

    def fill(self, state: RolloutState, now: Instant) -> None:
        """Everything that a rollout can come to know."""
        self._fill_arms(state)
        usual = (MAX_SERVED_BYTES // MAX_SERVED - 1) // len(self.text(1).encode())
        keys = [key_of(self.text(usual // 2), self.text(usual - usual // 2)) for _ in range(MAX_SERVED + 10)]
        heard = dict.fromkeys(keys, NOW_S * 1_000)
        for index, key in enumerate(keys):
            version = 10**15 + self.chance.randint(0, 10**9)
            state.fleet.take(key, version, NOW_S * 1_000 + index, heard, (0, 0))
        for variant in ("on", "off"):
            add_samples(state.samples.setdefault(variant, {}), {self.text(128): 10**9 for _ in range(100)})
        add_samples(state.rollback_samples, {self.text(128): 10**9 for _ in range(100)})
        for index in range(UNTRACKED_BITS):
            state.fleet.miss(str(index), NOW_S * 1_000)
        assert len(state.fleet.served) == MAX_SERVED
        assert MAX_SERVED_BYTES * 3 // 4 < state.fleet.key_bytes <= MAX_SERVED_BYTES
        for index, key in enumerate(keys):
            told = self.chance.randint(1, 10**15), self.chance.randint(1, 10**15)
            state.fleet.take_loss(key, told, NOW_S * 1_000 + index, dict.fromkeys(keys, NOW_S * 1_000))
        assert len(state.fleet.losses) == MAX_LOSSES
        for _ in range(MAX_SERVICES + 1):
            state.fleet.take_older(self.text(128), NOW_S * 1_000 + self.chance.randint(0, 10**6), NOW_S * 1_000)
        for index in range(MAX_OUTSIDE):
            outside = Outside(self.chance.random(), NOW_S * 1_000 + index, self.text(MAX_WHO_CHARS))
            state.reported.outside[self.name(64)] = outside
        state.reported.last_bug, state.text = self.text(MAX_BUG_CHARS), self.text(4_096)
        assert state.gauges is not None
        for service in [self.text(128) for _ in range(20)]:
            for age_s in range(WEEK_S, 0, -60):
                at_ms = (NOW_S - age_s) * 1_000
                state.gauges.add(service, at_ms, {"memory_bytes": self.chance.random() * 1e12}, at_ms)
        self._fill_instances(state)
        for trigger in [*state.spec.triggers, *state.spec.steps[0].triggers]:
            numbers = [self.chance.random() * 10**6 for _ in range(3)]
            n = self.chance.randint(1, 10**9)
            found = Evidence(trigger.rule.metric.name, numbers[0], numbers[1], ">", n, 100, NOW_S * 1_000,
                             NOW_S * 1_000, 0, 0, 3, 10**9, numbers[2], 10**6, "control", "")  # fmt: skip
            text = f"{trigger.rule.metric.name} {numbers[0]} > 2x control {numbers[2]} over 7d (n={n})"
            watch = state.watches[trigger.name] = Watch()
            mine, other = ((self.chance.random() * 1e9, self.chance.random() * 1e9) for _ in range(2))
            watch.since = Since(NOW_S * 1_000 - self.chance.randint(0, 10**6), mine, other)
            watch.verdict = Verdict(Outcome.FAIL, Reason.OVER_LIMIT, text, found)
            raise_alert(state, watch, now, trigger, watch.verdict)

    def _fill_instances(self, state: RolloutState) -> None:
        assert state.gauges is not None
        service = next(iter(state.gauges.lines["memory_bytes"]))
        names = [(service, self.text(128)) for _ in range(MAX_OF_SERVICE)]
        names += [(list(state.gauges.lines["memory_bytes"])[1], self.text(128)) for _ in range(MAX_OF_SERVICE)]
        state.gauges.instances.lives.clear()
        width_s = state.gauges.instances.slice_s
        for second in range(NOW_S - SLICES_KEPT * width_s - 2 * WARM_UP_S, NOW_S, GONE_S - 1):
            for service, name in names:
                value = (1 + self.chance.random()) * 1e12
                state.gauges.instances.add("memory_bytes", service, name, second, value)
        lives = [life for of in state.gauges.instances.lives["memory_bytes"].values() for life in of.values()]
        assert len(lives) == MAX_INSTANCES
        assert min(len(life.slices) for life in lives) >= SLICES_KEPT - 1

    def _fill_arms(self, state: RolloutState) -> None:
        assert state.arms is not None
        assert state.past is not None
        ages_s = [*range(WEEK_S, 7_200, -600), *range(7_200, 1_200, -30), *range(1_200, 180, -5), *range(180, 0, -1)]
        seen = [self.tally(state.tracked) for _ in range(32)]
        for series in (state.series, state.past, *state.arms.series.values()):
            for age_s in ages_s:
                series.add(NOW_S - age_s, self.chance.choice(seen), NOW_S - age_s - 2)
            check_kept(series)
        for variant in ("on", "off"):
            state.step_tallies[variant] = self.tally(state.tracked, most=10**8)
            state.arms.tallies[variant] = self.tally(state.tracked, most=10**8)
        state.baseline = Baseline(self.tally(state.tracked, most=10**8))


def check_kept(series: Series) -> None:
    """Coarse or not, nothing is lost of the last days."""
    assert series.window((NOW_S - 3 * 86_400) * 1_000, 1 << 62).n > 0
    assert len(series.tiers[0]) <= TIERS[0][1] + LEAD_S + 32


@pytest.mark.parametrize("spread", ["every bin", "a busy service"])
@pytest.mark.parametrize("letters", [ASCII, WIDE], ids=["plain letters", "letters of four bytes"])
def test_the_worst_rollout_that_is_accepted_fits_into_a_snapshot(letters: str | list[str], spread: str) -> None:
    worst = Worst(letters, spread)
    document = worst.document()
    assert MAX_TEXT_BYTES - 200 < text_bytes(document) <= MAX_TEXT_BYTES
    now = Instant(0, 1, NOW_S * 1_000, NOW_S * 1_000, "", 0)
    state = declare(Command("c", "apply", "a", Actor("ann"), spec=document), now, parse_spec)
    assert isinstance(state, RolloutState), state.text
    assert len(state.spec.rules()) == MAX_RULES
    assert len(state.tracked) == MAX_FIGURES
    worst.fill(state, now)
    assert len(state.watches) == MAX_RULES
    assert len(pack(state)) <= MAX_SNAPSHOT_BYTES


@pytest.mark.parametrize("letters", [ASCII, WIDE], ids=["plain letters", "letters of four bytes"])
def test_a_partition_full_of_instances_with_the_longest_names_fits_into_a_record(letters: str | list[str]) -> None:
    worst, state = Worst(letters, ""), PartitionState()
    for index in range(MAX_HEARD + 100):
        hear(state.heard, key_of(worst.text(128), worst.text(128)), NOW_S * 1_000 + index)
    assert len(state.heard) == MAX_HEARD
    assert len(pack(state)) <= MAX_CHANGELOG_BYTES


def test_a_name_that_is_too_long_is_cut_and_still_its_own() -> None:
    assert key_of("shop", "shop-7f9") == "shop\x1fshop-7f9"
    long = [key_of("s" * 128, "i" * 120 + str(number)) for number in range(2)]
    assert len(set(long)) == 2
    assert all(len(key.encode()) <= MAX_KEY_BYTES for key in [*long, key_of("ü" * 128, "漢" * 128)])
    assert name_of(long[0]).startswith("s" * 63 + "/iiii")
