"""`make test-faults`: every fault, several rounds each, on a real Kafka; a table, exit code 1 if it is not clean."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from guardian.kafka.apache import ApacheKafka
from tests.brokers import CACHE
from tests.faults.rounds import Player, Round
from tests.faults.strikes import FAULTS, Fault
from tests.faults.table import table

ROUNDS = 3
NOTE = """\
lost and doubled: every event on telemetry and migrations against the totals on rollouts, and every command against
its answers on decisions; the topics are read whole, the producers are not asked.
to resume: the longest time from a fault on, or later in its wake, in which the slowest partition of the stage applied
nothing new (ingest: new ranges in the log; decide: its statuses, which come once a second). It counts from the fault:
what the harness takes to mend it is in it (another process is started 0.1 to 2 s after a kill, and Python has to start;
a process is frozen for 7.5 to 11 s; Kafka is started again after up to 5 s).
of one alone, after the last of several: one fault in four strikes before the work has gone on after the one before.
Then the pause is that of both, and the worst counts it from the first; here it counts from the last that struck.
Kafka away: for how long of the pause Kafka took no events from the load either; its start and the election of its
leaders, none of it guardian's."""


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    given = _words().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever ends this must not leave its processes behind
        signal.signal(number, signal.default_int_handler)
    logging.disable(logging.CRITICAL)  # the clients of this process complain about a broker that we took away ourselves
    names = given.only.split(",") if given.only else list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        sys.stderr.write(f"no fault {', '.join(unknown)}; there are: {', '.join(FAULTS)}\n")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="guardian-faults-"))
    _say(f"seed {given.seed}, {given.rounds} rounds of {', '.join(names)}")
    rounds: list[Round] = []
    try:
        for name in names:
            asyncio.run(_play(FAULTS[name], given, folder, rounds))
    except KeyboardInterrupt:
        _say("interrupted")
    bad = [each for each in rounds if not each.verdict.good]
    sys.stdout.write(f"\n{table(rounds)}\n\n{NOTE}\nseed {given.seed}\n")
    for each in bad:
        sys.stdout.write(f"\n{each.fault}, round {each.number}:\n" + "".join(f"  {p}\n" for p in each.verdict.problems))
        again = f'make test-faults ARGS="--seed {given.seed} --only {each.fault} --rounds {each.number}"'
        sys.stdout.write(f"  again: {again}\n")
    if bad:
        sys.stdout.write(f"what the processes printed is in {folder}\n")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if len(rounds) == given.rounds * len(names) else 1


async def _play(fault: Fault, given: argparse.Namespace, folder: Path, rounds: list[Round]) -> None:
    """Play the rounds of one fault, with a broker of its own; each that is over is added to the list."""
    count = given.rounds
    async with ApacheKafka(CACHE) as broker:
        for number in range(1, count + 1):
            place = folder / f"{fault.name}-{number}"

            def say(text: str, number: int = number) -> None:
                _say(f"{fault.name} {number}/{count}: {text}")

            each = await Player(broker, place, f"{given.seed}/{fault.name}/{number}", say).play(fault, number)
            rounds.append(each)
            pauses = ", ".join(f"{resumed.pause.seconds:.1f}" for resumed in each.resumed)
            verdict = each.verdict
            say(
                f"{'good' if verdict.good else 'BAD'}: {verdict.events:,} events, lost {verdict.lost}, doubled "
                f"{verdict.doubled}, said again {verdict.repeated}, resumed after {pauses} s; took {each.took_s:.0f} s"
            )
            for problem in verdict.problems:
                say(f"  {problem}")


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="make test-faults ARGS=...", description=__doc__)
    words.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeats a run's random moments")
    words.add_argument("--rounds", type=int, default=ROUNDS, help="of each fault")
    words.add_argument("--only", metavar="FAULTS", help=f"comma separated: {', '.join(FAULTS)}")
    return words


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
