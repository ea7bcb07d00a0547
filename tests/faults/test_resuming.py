"""The time until the work goes on is told as it was: from the first fault, from the last, what of it was Kafka's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.resuming import Resumed, resumptions
from tests.faults.strikes import ROLES, Strike
from tests.faults.watch import Pause, longest_pause


def resumed(struck: Sequence[Strike], decide: Sequence[float], confirmed: Sequence[float] = ()) -> list[Resumed]:
    """Ingest goes on each second from 90 to 130, decide only at the given moments."""
    moments = {"ingest": [float(at_s) for at_s in range(90, 131)], "decide": decide}

    def pause_of(role: str, from_s: float, to_s: float) -> Pause:
        return longest_pause(moments[role], from_s, to_s)

    return resumptions(struck, pause_of, confirmed, 125.0)


def test_a_fault_of_its_own_counts_from_its_moment() -> None:
    struck = [Strike("kill", ("decide",), 100.0), Strike("kill", ("decide",), 115.0)]
    one, two = resumed(struck, [99.0, 107.5, 111.0, 114.0, 116.0, 123.0])
    assert (one.pause.seconds, one.after_last_s, one.alone) == (7.5, 7.5, True)
    assert (two.pause.seconds, two.after_last_s, two.alone) == (7.0, 7.0, True), "a pause may begin in a fault's wake"


def test_a_pause_that_two_faults_share_counts_from_the_first_and_from_the_last() -> None:
    one, two = resumed([Strike("kill", ("decide",), 100.0), Strike("kill", ("decide",), 104.0)], [99.0, 112.0])
    assert (one.pause.seconds, one.after_last_s, one.alone) == (12.0, 8.0, False)
    assert (two.pause.seconds, two.after_last_s, two.alone) == (8.0, 8.0, False)


def test_a_fault_of_another_role_in_between_changes_nothing() -> None:
    one, two = resumed([Strike("kill", ("decide",), 100.0), Strike("kill", ("ingest",), 104.0)], [99.0, 112.0])
    assert (one.pause.seconds, one.after_last_s, one.alone) == (12.0, 12.0, True)
    assert (two.pause.seconds, two.alone) == (1.0, True)


def test_what_kafka_itself_was_away_is_told_beside_it() -> None:
    (one,) = resumed([Strike("broker stopped", ROLES, 100.0)], [99.0, 112.0], [99.9, 100.2, 109.7, 109.8])
    assert (one.pause.seconds, round(one.kafka_away_s, 1)) == (12.0, 9.5)


def test_the_parts_are_read_from_what_the_processes_logged(tmp_path: Path) -> None:
    (one,) = resumed([Strike("kill", ("decide",), 100.0)], [99.0, 107.5])
    log = tmp_path / "decide-3.log"
    log.write_text(
        "1970-01-01T00:01:42.500Z INFO    guardian.run role=decide bootstrap=b:1 prefix=p\n"
        "1970-01-01T00:01:46.250Z INFO    guardian.decide.loop partitions and where they go on: {0: 5}\n"
        "1970-01-01T00:02:50.000Z INFO    guardian.decide.loop partitions and where they go on: {0: 9}\n"
    )
    assert one.told([log]) == "resumed after 7.5 s (decide-3 up +2.5; decide-3 settled +6.2)"
