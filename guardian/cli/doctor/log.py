"""Whether decide is alive and keeps up, whether clocks agree, and what lies among the dead letters."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from guardian.cli.doctor.finding import Asking, Finding, Level, ok
from guardian.cli.reading import SILENT_BEATS
from guardian.cli.sayings import letter_text
from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.core.text import count_text, duration_text
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, read_newest, running
from guardian.kafka.settings import Settings
from guardian.wire.dead_letters import read_letter

CLOCK_WARNING_MS: Final = 2_000
CLOCK_PROBLEM_MS: Final = 30_000
_BEHIND_MS: Final = 15_000
_NEWS_WITHIN_S: Final = 2.5
"""Decide writes a tick a second."""
_LAST_WITHIN_S: Final = 3.0
_FRESH_MS: Final = 3_600_000


class _Beat(msgspec.Struct):
    ts: float = 0.0


async def examine_log(settings: Settings) -> list[Finding]:
    """Look at beats, at the log's ends, at the clocks and at the dead letters."""
    asking = Asking(settings)
    beats, newest, clock_ms, dead = await asyncio.gather(
        asking.ask("decide", f"read {settings.topic('flags')}", _beats(settings)),
        asking.ask("decide", f"read the end of {settings.topic('inputs')}", _last(settings, "inputs")),
        asking.ask("clocks", f"follow {settings.topic('inputs')}", _clock_difference(settings)),
        asking.ask(
            "dead letters", f"read the end of {settings.topic('dead-letters')}", _last(settings, "dead-letters")
        ),
    )
    found = asking.findings
    if beats is not None and newest is not None:
        ends_ms = {number: record.timestamp for number, (_, record) in newest.items()}
        found += [decide_finding(beats, ends_ms, settings.partitions, time.time() * 1_000)]
    found.append(clock_finding(clock_ms))
    if dead is not None:
        found.append(_dead_letters(dead, time.time() * 1_000))
    return found


async def _beats(settings: Settings) -> dict[int, float]:
    """The log time of each partition's last beat, in milliseconds."""
    flags = await read_newest(settings, "flags")
    found: dict[int, float] = {}
    for (key, number), record in flags.items():
        if key == BEAT_KEY.encode():
            # A beat that cannot be read is none: its partition is reported as silent.
            with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                found[number] = msgspec.json.decode(record.value, type=_Beat).ts * 1_000
    return found


def decide_finding(beats_ms: dict[int, float], ends_ms: dict[int, int], partitions: int, now_ms: float) -> Finding:
    """Return whether decide is alive in every partition, and keeps up.

    Args:
        beats_ms: log time of each partition's last beat.
        ends_ms: broker's time of the last record of each partition of the log.
        partitions: how many there are.
        now_ms: this machine's time.
    """
    fix = "guardian run --role decide; its log lines say what it waits for"
    silent = [number for number in range(partitions) if number not in beats_ms]
    if silent:
        return Finding("decide", Level.PROBLEM, f"no sign of life ever from partitions {_listed(silent)}", fix)
    longest_ms = max(now_ms - at_ms for at_ms in beats_ms.values())
    behind_ms = {number: ends_ms[number] - at_ms for number, at_ms in beats_ms.items() if number in ends_ms}
    worst_ms = max(behind_ms.values(), default=0.0)
    if longest_ms > SILENT_BEATS * BEAT_SECONDS * 1_000:
        late = [number for number, at_ms in beats_ms.items() if now_ms - at_ms > SILENT_BEATS * BEAT_SECONDS * 1_000]
        text = f"no sign of life for {duration_text(int(longest_ms))} from partitions {_listed(late)}"
        return Finding("decide", Level.PROBLEM, text, fix)
    text = f"a beat from each of {partitions} partitions, the oldest {duration_text(int(max(longest_ms, 0)))} ago"
    if worst_ms > _BEHIND_MS:
        late = [number for number, ms in behind_ms.items() if ms > _BEHIND_MS]
        text = f"{duration_text(int(worst_ms))} behind the end of the log in partitions {_listed(late)}"
        return Finding("decide", Level.WARNING, text, "wait; if it stays so, run another: guardian run --role decide")
    return ok("decide", f"{text}; no further behind the log than a beat")


def clock_finding(difference_ms: float | None) -> Finding:
    """Return what the difference of the clocks means.

    Args:
        difference_ms: this machine's clock less the broker's; None when it could not be told.
    """
    if difference_ms is None:
        text = f"not to be told: nothing was written to the log within {_NEWS_WITHIN_S:g}s"
        return Finding("clocks", Level.WARNING, text, "ask again while guardian runs")
    way = "ahead of" if difference_ms >= 0 else "behind"
    text = f"this machine is {duration_text(int(abs(difference_ms)))} {way} the broker's timestamps"
    if abs(difference_ms) <= CLOCK_WARNING_MS:
        return ok("clocks", text)
    level = Level.PROBLEM if abs(difference_ms) > CLOCK_PROBLEM_MS else Level.WARNING
    fix = "set the clock (NTP): events from here count as late, or end among the dead letters as from the future"
    return Finding("clocks", level, text, fix)


async def _clock_difference(settings: Settings) -> float | None:
    """This machine's clock less that of the first record which comes; the way from the broker is counted with it."""
    async with running(consumer(settings), settings) as reader:
        places = await _assign(reader, settings, "inputs")
        for place, end in (await reader.end_offsets(places)).items():
            reader.seek(place, end)
        found = await reader.getmany(timeout_ms=int(_NEWS_WITHIN_S * 1_000))
        now_ms = time.time() * 1_000
        stamps = [record.timestamp for records in found.values() for record in records]
        return now_ms - max(stamps) if stamps else None


async def _assign(reader: AIOKafkaConsumer, settings: Settings, topic: str) -> list[TopicPartition]:
    name = settings.topic(topic)
    places = [TopicPartition(name, number) for number in range(TOPICS[topic].partitions(settings))]
    reader.assign(places)
    return places


async def _last(settings: Settings, topic: str) -> dict[int, tuple[int, ConsumerRecord]]:
    """The number of records in each partition that is not empty, and the last of them."""
    found: dict[int, tuple[int, ConsumerRecord]] = {}
    async with running(consumer(settings, auto_offset_reset="earliest"), settings) as reader:
        places = await _assign(reader, settings, topic)
        starts, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
        wanted = [place for place in places if ends[place] > starts[place]]
        for place in places:
            reader.seek(place, max(ends[place] - 1, starts[place]))
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + _LAST_WITHIN_S
        while len(found) < len(wanted) and (left_s := give_up_s - loop.time()) > 0:
            for place, records in (await reader.getmany(*wanted, timeout_ms=int(left_s * 1_000))).items():
                found[place.partition] = (ends[place] - starts[place], records[-1])
    return found


def _dead_letters(last: dict[int, tuple[int, ConsumerRecord]], now_ms: float) -> Finding:
    if not last:
        return ok("dead letters", "none")
    count = sum(number for number, _ in last.values())
    newest = max((record for _, record in last.values()), key=lambda record: int(record.timestamp))
    age_ms = max(int(now_ms - newest.timestamp), 0)
    letter = letter_text(read_letter("", newest.timestamp, newest.headers, newest.value))
    text = f"{count_text(count)} kept, the newest {duration_text(age_ms)} ago: {letter}"
    letters = [read_letter("", record.timestamp, record.headers, record.value) for _, record in last.values()]
    if flags := sorted({flag for one in letters for flag in one.flags}):
        text += f"; the last ones are of {', '.join(flags[:10])}"
    if age_ms > _FRESH_MS:
        return ok("dead letters", text)
    fix = (
        "guardian tail dead-letters --last 20 shows more; mend the sender: POST /v1/events and `guardian send` say of"
        " the same event what to send instead"
    )
    return Finding("dead letters", Level.WARNING, text, fix)


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers)[:10]) + (", ..." if len(numbers) > 10 else "")
