"""What an SDK dropped is seen by whoever looks: `guardian status`, `guardian doctor`, and serve's page."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx

from guardian.cli.doctor.finding import Finding, Level
from guardian.cli.doctor.rollouts import rollout_findings
from guardian.cli.reading import Present
from guardian.cli.views import status_page
from guardian.core.outputs import Lost, RolloutStatus
from tests.cli.samples import flag_state, status
from tests.cli.servers import Server, apply, soon
from tests.cli.test_views import shown

NOW_MS = int(time.time() * 1_000)


def test_a_heartbeat_with_dropped_events_reaches_status_page_and_doctor(server: Server, tmp_path: Path) -> None:
    flag = "lossy"
    apply(server, tmp_path, flag)
    assert server.guardian("start", flag).exit_code == 0
    version = server.json("status", flag)["state"]["version"]
    beat = {
        "ts": time.time(), "kind": "heartbeat", "service": "lossy-shop", "instance": "shop-7f9",
        "flags": {flag: version}, "dropped": 1_200, "evaluation_errors": 1,
    }  # fmt: skip
    assert server.guardian("send", "-", stdin=json.dumps(beat)).exit_code == 0
    told = "lossy-shop/shop-7f9 dropped 1,200 events, failed to evaluate flags 1 time since 20"
    soon(lambda: told in server.guardian("status", flag).stdout)
    assert server.json("status", flag)["lost"][0]["dropped"] == 1_200
    soon(lambda: told in httpx.get(f"{server.url}/?flag={flag}", trust_env=False).text)
    (finding,) = [one for one in server.json("doctor")["findings"] if one["check"] == "losses"]
    assert told in finding["text"]
    assert finding["level"] == "warning"


def test_status_says_when_it_began_and_when_it_was_last_more() -> None:
    lost = [Lost("shop/1", 7, 0, 1_763_730_000_000, 1_763_730_060_000), Lost("shop/2", 0, 1, 1_763_730_000_000, 0)]
    text = shown(status_page(status(lost=lost)))
    assert "shop/1 dropped 7 events since 2025-11-21 13:00:00Z, the newest at 2025-11-21 13:01:00Z" in text
    assert "shop/2 failed to evaluate flags 1 time since 2025-11-21 13:00:00Z" in text
    assert "lost" not in shown(status_page(status()))


def test_doctor_names_an_instance_of_several_flags_once_the_worst_first_and_no_old_losses() -> None:
    def lossy(flag: str, *lost: Lost) -> RolloutStatus:
        return status(flag_state(flag=flag), lost=list(lost))

    several = [Lost(f"shop/{number}", number, 0, 1, NOW_MS) for number in range(10, 18)]
    once, again = Lost("shop/1", 5, 0, 1, NOW_MS), Lost("shop/1", 7, 0, 1, NOW_MS)
    (found,) = losses(lossy("a", once), lossy("b", again))
    assert found.text.count("shop/1 ") == 1
    assert "dropped 7 events" in found.text
    (found,) = losses(lossy("a", *several))
    assert found.text.startswith("shop/17 dropped 17 events")
    assert found.text.endswith("; and 3 more instances")
    assert found.level is Level.WARNING
    assert losses(lossy("a", Lost("shop/1", 5, 0, 1, NOW_MS - 90_000_000))) == []


def losses(*statuses: RolloutStatus) -> list[Finding]:
    present = Present({one.state.flag: one for one in statuses}, [], None)
    return [one for one in rollout_findings(present) if one.check == "losses"]
