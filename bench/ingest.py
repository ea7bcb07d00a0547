"""`python -m bench.ingest [--quick] [--json]`: events/s of the real ingest loop on one core, and of two others.

Real Apache Kafka on core 0, the contender alone on core 1; each reads the same backlog. Several rounds in one run,
medians; after each round of ingest the log's counts must tally with what was produced, or the run fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition

from bench.load import Counts, fill
from guardian.core.inputs import Batch
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import consumer, running
from guardian.kafka.settings import Settings, load_settings
from guardian.wire.inputs import decode_payload

CACHE: Final = Path(__file__).parents[1] / ".cache" / "kafka"
BROKER_CORE: Final = "0"
CONTENDER_CORE: Final = "1"
GOAL_FAUST: Final = 100.0
GOAL_FETCH: Final = 0.6
WITHIN_S: Final = 120.0

Figures = dict[str, Any]


def run_contender(name: str, settings: Settings, goal: int) -> Figures:
    """Run one contender to its end in a process of its own, and return its figures."""
    command = [sys.executable, "-m", "bench.contenders", name, settings.bootstrap, settings.prefix]
    done = subprocess.run(
        [*command, str(goal), CONTENDER_CORE], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(lines[-1])
    return figures


async def forget_offsets(settings: Settings) -> None:
    """Let the ingest group, which has no member now, begin at the beginning again."""
    places = [TopicPartition(settings.topic("telemetry"), number) for number in range(settings.source_partitions)]
    async with running(consumer(settings, group=settings.group("ingest")), settings) as member:
        member.assign(places)
        await member.commit(dict.fromkeys(places, (0, "")))


async def ends_of(settings: Settings) -> dict[TopicPartition, int]:
    """Return where the log ends in each partition."""
    places = [TopicPartition(settings.topic("inputs"), number) for number in range(settings.partitions)]
    async with running(consumer(settings), settings) as reader:
        reader.assign(places)
        ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        return ends


async def counts_since(settings: Settings, begins: dict[TopicPartition, int]) -> Counts:
    """Sum what one round has written into the log, repeated batches left out as decide leaves them out."""
    counts: Counts = Counter()
    applied: dict[tuple[int, Any], int] = {}
    async with running(consumer(settings), settings) as reader:
        reader.assign(list(begins))
        ends = await reader.end_offsets(list(begins))
        for place, offset in begins.items():
            reader.seek(place, offset)
        while any([await reader.position(place) < ends[place] for place in begins]):
            for place, records in (await reader.getmany(timeout_ms=200)).items():
                for record in records:
                    payload = decode_payload(record.value)
                    if not isinstance(payload, Batch):
                        continue
                    key = (place.partition, payload.source)
                    if payload.start >= applied.get(key, 0):
                        applied[key] = payload.end
                        for cell in payload.cells:
                            counts[cell.flag, cell.variant] += sum(bucket.n for bucket in cell.buckets)
    return counts


async def measure(events: int, faust_events: int, rounds: int, faust_rounds: int) -> Figures:
    """Start Kafka, fill it, run every contender several times, and return the figures."""
    async with ApacheKafka(CACHE, cpus=BROKER_CORE) as broker:
        settings = load_settings(environ={}, bootstrap=broker.bootstrap, prefix="bench")
        await create_topics(settings)
        produced, event_bytes = await fill(settings, settings.topic("telemetry"), events)
        found: dict[str, list[Figures]] = {"ingest": [], "fetch": [], "fetch_tuned": [], "faust": []}
        for number in range(rounds):
            for name in ("fetch", "fetch_tuned"):
                found[name].append(await asyncio.to_thread(run_contender, name, settings, events))
            await forget_offsets(settings)
            begins = await ends_of(settings)
            found["ingest"].append(await asyncio.to_thread(run_contender, "ingest", settings, events))
            counted = await counts_since(settings, begins)
            if counted != produced:
                raise SystemExit(f"the counts do not tally: {sum(counted.values())} of {sum(produced.values())}")
            if number < faust_rounds:
                found["faust"].append(await asyncio.to_thread(run_contender, "faust", settings, faust_events))
    medians = {name: statistics.median(item["per_s"] for item in items) for name, items in found.items()}
    cpu = {name: statistics.median(item["per_cpu_s"] for item in items) for name, items in found.items()}
    return {
        "bench": "ingest",
        "events": events,
        "event_bytes": round(event_bytes),
        "rounds": rounds,
        **{f"{name}_per_s": round(median) for name, median in medians.items()},
        **{f"{name}_per_cpu_s": round(median) for name, median in cpu.items()},
        # Each contender has a core to itself, so the wall clock decides; what the core worked for it stands beside.
        # The stricter fetch is the yardstick: ingest's collector settings make plain fetching faster, too.
        "times_faust": round(medians["ingest"] / medians["faust"], 1),
        "of_fetch": round(medians["ingest"] / medians["fetch_tuned"], 3),
        "of_plain_fetch": round(medians["ingest"] / medians["fetch"], 3),
        "cpu_times_faust": round(cpu["ingest"] / cpu["faust"], 1),
        "cpu_of_fetch": round(cpu["ingest"] / cpu["fetch_tuned"], 3),
        "cpu_of_plain_fetch": round(cpu["ingest"] / cpu["fetch"], 3),
        "tally": "exact",
        "all": {name: [item["per_s"] for item in items] for name, items in found.items()},
    }


def show(figures: Figures) -> None:
    """Print the figures for a person."""
    for name, label in (
        ("fetch", "fetching alone (getmany, nothing decoded)"),
        ("fetch_tuned", "the same with ingest's collector settings"),
        ("ingest", "ingest (run_ingest, acked in the log)"),
        ("faust", "natural Faust agent, windowed table"),
    ):
        wall, cpu = figures[f"{name}_per_s"], figures[f"{name}_per_cpu_s"]
        print(f"{label:45} {wall:>9,} events/s; {cpu:>9,} per second of its core's work, rounds {figures['all'][name]}")
    for name, goal, form in (
        ("times_faust", GOAL_FAUST, "{:.0f} times Faust"),
        ("of_fetch", GOAL_FETCH, "{:.0%} of fetching alone"),
    ):
        met = "met" if figures[name] >= goal else "NOT met"
        work = form.format(figures[f"cpu_{name}"])
        print(f"{form.format(figures[name])}, goal {form.format(goal)}: {met} (by its core's work {work})")
    plain, plain_work = figures["of_plain_fetch"], figures["cpu_of_plain_fetch"]
    print(f"{plain:.0%} of fetching with Python's own collector settings (by its core's work {plain_work:.0%})")
    print(f"counts tally: {figures['tally']}; {figures['events']:,} events of {figures['event_bytes']} bytes")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: under 45 s")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    sizes = (300_000, 6_000, 2, 1) if options.quick else (2_000_000, 30_000, 5, 3)
    figures = asyncio.run(measure(*sizes))
    figures["goals"] = {"times_faust": GOAL_FAUST, "of_fetch": GOAL_FETCH}
    figures["met"] = {name: figures[name] >= goal for name, goal in figures["goals"].items()}
    show(figures)
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
