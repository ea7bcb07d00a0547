"""Services: gauges against their own past, silence against no traffic and against blindness, who follows a change."""

from __future__ import annotations

import re

import pytest

from guardian.core.fleet import GONE_MS, MAX_HEARD, MAX_SERVED, MAX_SERVED_BYTES, hear
from guardian.core.gauges import MAX_LINES, Gauges
from guardian.core.inputs import Heartbeat
from guardian.core.outputs import Alert, Decision, UnknownInstance, Verdict
from guardian.core.rollout import RolloutSpec, Trigger
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES, pack
from guardian.core.words import Action, Reason
from tests.core.figures import arms, beat, gauge, pass_s, shown, signs, watching
from tests.core.scenes import FLAG, PREVIOUS, T0, Scene, spec, step

LONG = (step("half", 5_000, bake_s=36_000), step("full", 10_000, bake_s=36_000))
MB = 1e6


class Goodbye(Heartbeat, array_like=True):
    """The last heartbeat of an instance that closes in good order."""

    bye: bool = True


def declared(*triggers: Trigger, **fields: object) -> RolloutSpec:
    return spec(*LONG, triggers=triggers, **fields)


def raised(rule: str) -> RolloutSpec:
    """A step of 5 % below the others, and a trigger that goes back to the step before."""
    triggers = (watching(rule, Action.ROLLBACK),)
    return spec(step("a", 500, bake_s=36_000), *LONG, triggers=triggers, rollback=PREVIOUS)


def reason(verdict: Verdict) -> tuple[str, str]:
    return verdict.outcome.value, verdict.reason.value


def minutes(scene: Scene, count: int, **of_service: dict[str, float]) -> None:
    """So many minutes pass; every ten seconds one instance of each service tells its gauges."""
    for _ in range(count * 6):
        scene.t += 10_000
        for service, metrics in of_service.items():
            beat(scene, f"{service}/1", **metrics)
        scene.marks()
        scene.tick()


# Gauges


def test_memory_is_compared_with_the_services_own_past() -> None:
    scene = Scene(declared(watching("memory > 2x baseline", Action.ROLLBACK)), started=False)
    minutes(scene, 10, shop={"memory_bytes": 400 * MB})
    scene.command("start")
    minutes(scene, 3, shop={"memory_bytes": 700 * MB})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert shown(scene).text == "memory of shop 700MB <= 2x baseline 400MB over 1m (n=6 against 59)"
    assert scene.status().baseline == "memory of shop 400MB, of up to 1d before the first step"
    minutes(scene, 2, shop={"memory_bytes": 900 * MB})
    assert scene.where == "rolled_back - 0"
    evidence = scene.rollbacks()[-1].evidence
    assert (evidence.service, evidence.reference, evidence.against) == ("shop", 400 * MB, "baseline")


def test_of_several_services_the_worst_counts_and_is_named() -> None:
    scene = Scene(declared(watching("memory > 2x baseline")), started=False)
    minutes(scene, 5, shop={"memory_bytes": 400 * MB}, cart={"memory_bytes": 100 * MB}, mail={"cpu_pct": 3})
    scene.command("start")
    minutes(scene, 3, shop={"memory_bytes": 700 * MB}, cart={"memory_bytes": 250 * MB})
    assert reason(shown(scene)) == ("FAIL", "OVER_LIMIT")
    assert shown(scene).evidence.service == "cart"


def test_a_service_that_was_not_there_before_has_no_past_to_compare_with() -> None:
    scene = Scene(declared(watching("memory > 2x baseline")), started=False)
    minutes(scene, 1)
    scene.command("start")
    minutes(scene, 3, shop={"memory_bytes": 400 * MB})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "BASELINE_TOO_SMALL")
    assert shown(scene).text == "memory of shop 400MB: the baseline is too small (n=0, 12 needed)"


def test_memory_that_grows_is_compared_with_an_hour_before() -> None:
    scene = Scene(declared(watching("memory usage growing 10%/hour", Action.NOTIFY)))
    minutes(scene, 30, shop={"memory_bytes": 400 * MB})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "TOO_FEW_SAMPLES")
    assert "1h15m are needed, 10m of warm-up among them" in shown(scene).text
    minutes(scene, 46, shop={"memory_bytes": 430 * MB})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    minutes(scene, 6, shop={"memory_bytes": 450 * MB})
    assert reason(shown(scene)) == ("FAIL", "OVER_LIMIT")
    assert shown(scene).text.startswith("memory of shop/1 450MB >= 10% above 400MB 1h before over 5m")
    assert scene.alerts() == [("it", True)]
    minutes(scene, 70, shop={"memory_bytes": 450 * MB})
    assert scene.alerts() == [("it", True), ("it", False)], "it no longer grows"


def test_cpu_above_its_limit_for_its_hold_fires() -> None:
    scene = Scene(declared(watching("cpu > 80% for 30 minutes", Action.PAUSE)))
    minutes(scene, 29, shop={"cpu_pct": 91.0})
    assert scene.where == "progressing half 5000"
    minutes(scene, 3, shop={"cpu_pct": 91.0})
    assert scene.where == "paused half 5000"
    assert scene.decision().text.startswith("it: cpu of shop 91% > 80% for 30m")


def test_gauge_events_are_gauges_too_and_have_any_name() -> None:
    scene = Scene(declared(watching("gauge queue_depth > 1000")))
    for _ in range(20):
        gauge(scene, "shop", queue_depth=1_500.0, other=3.0)
        pass_s(scene, 5)
    assert shown(scene).text.startswith("queue_depth of shop 1,500 > 1,000 over 1m")
    gauges = scene.state().gauges
    assert gauges is not None
    assert list(gauges.lines) == ["queue_depth"], "what no rule looks at is not kept"


def test_after_a_rollback_only_what_comes_since_leads_to_the_next_one() -> None:
    scene = Scene(raised("cpu > 80%"))
    minutes(scene, 2, shop={"cpu_pct": 20.0})
    scene.command("promote")
    for _ in range(12):
        if scene.where == "progressing half 5000":
            pass_s(scene, 10)
            beat(scene, "shop/1", cpu_pct=95.0)
    assert scene.where == "rolled_back a 500"
    minutes(scene, 10, shop={"cpu_pct": 20.0})
    assert scene.where == "rolled_back a 500"
    minutes(scene, 3, shop={"cpu_pct": 95.0})
    assert scene.where == "rolled_back - 0"


def test_no_flag_change_empties_gauges() -> None:
    scene = Scene(declared(watching("memory usage growing 10%/30m")))
    minutes(scene, 20, shop={"memory_bytes": 400 * MB})
    scene.command("promote")
    minutes(scene, 26, shop={"memory_bytes": 400 * MB})
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")


def test_gauges_are_bounded_in_services_and_in_slices() -> None:
    gauges = Gauges(("memory_bytes",), 86_400)
    for second in range(0, 8 * 86_400, 45):
        gauges.add(f"s{second % 40}", T0 + second * 1_000, {"memory_bytes": 1.0 * second}, T0 + second * 1_000)
    lines = [line for of_gauge in gauges.lines.values() for line in of_gauge.values()]
    assert len(lines) <= MAX_LINES
    assert all(len(line.fine) <= 120 and len(line.coarse) <= 96 for line in lines)


def test_a_new_service_takes_the_place_of_one_that_is_gone() -> None:
    gauges = Gauges(("m",), 3_600)
    for number in range(MAX_LINES):
        assert gauges.add(f"s{number}", T0 + number * 1_000, {"m": 1.0}, T0)
    gauges.add("late", T0 + 60_000, {"m": 1.0}, T0)
    assert "late" not in gauges.lines["m"]
    gauges.add("late", T0 + 1_200_000, {"m": 1.0}, T0)
    assert "late" in gauges.lines["m"]
    assert "s0" not in gauges.lines["m"]


# Silence


def test_a_service_that_stops_sending_heartbeats_is_silent_and_named() -> None:
    scene = Scene(declared(watching("silent for 2 minutes", Action.ROLLBACK)))
    pass_s(scene, 60, beats=("shop/1", "shop/2", "cart/1"))
    assert shown(scene).text.startswith("silence of ")
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    pass_s(scene, 115, beats=("cart/1",))
    assert scene.where == "progressing half 5000"
    pass_s(scene, 10, beats=("cart/1",))
    assert scene.where == "rolled_back - 0"
    assert scene.rollbacks()[-1].text == "it: silence of shop 2m >= 2m (shop/1, shop/2)"
    assert scene.rollbacks()[-1].evidence.service == "shop"


def test_who_was_heard_of_only_in_a_part_of_the_log_that_was_lost_is_not_silent() -> None:
    scene = Scene(declared(watching("silent for 2 minutes", Action.ROLLBACK)))
    pass_s(scene, 60, beats=("shop/1",))
    scene.t += 300_000
    scene.said += scene.engine.jump(scene.engine.next_offset + 900, scene.t)
    pass_s(scene, 10)
    assert scene.where == "progressing half 5000"
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA")
    pass_s(scene, 10, beats=("shop/1",))
    pass_s(scene, 130)
    assert scene.where == "rolled_back - 0"


def test_all_services_that_are_silent_are_named() -> None:
    scene = Scene(declared(watching("silent for 1m", Action.ROLLBACK)))
    pass_s(scene, 20, beats=("shop/1", "cart/1", "mail/1"))
    pass_s(scene, 70, beats=("mail/1",))
    assert scene.rollbacks()[-1].text == "it: silence of cart 1m >= 1m (cart/1; shop too)"


def test_one_instance_of_several_that_stops_is_no_silence() -> None:
    scene = Scene(declared(watching("silent for 1m", Action.ROLLBACK)))
    pass_s(scene, 30, beats=("shop/1", "shop/2"))
    pass_s(scene, 120, beats=("shop/2",))
    assert scene.where == "progressing half 5000"


def test_no_traffic_while_heartbeats_go_on_is_no_data_and_holds() -> None:
    errors = watching("error_rate > 5%", Action.ROLLBACK, name="errors")
    scene = Scene(declared(errors, watching("silent for 1m", Action.ROLLBACK)))
    pass_s(scene, 20, beats=("shop/1",), on={"ok": 50})
    pass_s(scene, 300, beats=("shop/1",))
    assert reason(shown(scene, "errors")) == ("INCONCLUSIVE", "NO_DATA")
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert scene.where == "progressing half 5000"


def test_when_guardian_is_blind_nobody_is_silent() -> None:
    scene = Scene(declared(watching("silent for 1m", Action.ROLLBACK), watching("error_rate > 5%", name="errors")))
    pass_s(scene, 20, beats=("shop/1",), on={"ok": 50})
    scene.seconds(300, blind=True)
    assert scene.where == "progressing half 5000"
    assert reason(shown(scene)) == reason(shown(scene, "errors")) == ("INCONCLUSIVE", "STALE_EVIDENCE")
    assert shown(scene, "errors").text.startswith("guardian is blind: ")
    # Sight is back, and the heartbeats of the meantime come with it.
    beat(scene, "shop/1")
    pass_s(scene, 30, beats=("shop/1",))
    assert reason(shown(scene)) == ("PASS", "WITHIN_LIMIT")
    assert scene.where == "progressing half 5000"


def test_who_was_never_heard_of_is_not_silent() -> None:
    scene = Scene(declared(watching("silent for 1m", Action.ROLLBACK)))
    pass_s(scene, 120, on={"ok": 10})
    assert reason(shown(scene)) == ("INCONCLUSIVE", "NO_DATA")


def test_who_is_silent_already_is_not_held_against_the_next_step() -> None:
    scene = Scene(raised("silent for 2m"))
    pass_s(scene, 10, beats=("shop/1", "cart/1"))
    pass_s(scene, 70, beats=("cart/1",))
    scene.command("promote")
    pass_s(scene, 300, beats=("cart/1",))
    assert scene.where == "progressing half 5000"


def test_who_stays_silent_after_a_rollback_takes_it_further_and_who_speaks_again_ends_the_alert() -> None:
    scene = Scene(raised("silent for 30s"))
    pass_s(scene, 10, beats=("shop/1", "cart/1"))
    scene.command("promote")
    pass_s(scene, 32, beats=("cart/1",))
    assert scene.where == "rolled_back a 500"
    pass_s(scene, 28, beats=("cart/1",))
    assert scene.where == "rolled_back a 500", "silence counts from the change"
    pass_s(scene, 5, beats=("cart/1",))
    assert scene.where == "rolled_back - 0"
    assert [alert for alert in scene.alerts() if alert[0] == "it"] == [("it", True)]
    pass_s(scene, 10, beats=("cart/1", "shop/1"))
    assert [alert for alert in scene.alerts() if alert[0] == "it"] == [("it", True), ("it", False)]


# Who follows a change


def effective(scene: Scene) -> list[str]:
    return [each.text for each in scene.all(Decision) if each.reason is Reason.PROPAGATED]


def test_when_every_instance_follows_it_is_recorded_once_with_the_time_it_took() -> None:
    scene = Scene(declared())
    pass_s(scene, 5, beats=("shop/1", "shop/2", "cart/1"))
    assert effective(scene) == ["50% is in effect: 3 instances of cart, shop follow after 5s"]
    pass_s(scene, 60, beats=("shop/1", "shop/2", "cart/1"))
    assert len(effective(scene)) == 1
    assert scene.status().live_count == 3
    assert scene.decision().reason is not Reason.PROPAGATED or scene.where == "progressing half 5000"
    before = scene.flag().version
    scene.command("rollback")
    beat(scene, "shop/1")
    beat(scene, "shop/2", "cart/1", version=before)
    pass_s(scene, 3)
    assert len(effective(scene)) == 1, "two are behind"
    assert scene.status().behind == ["cart/1", "shop/2"]
    pass_s(scene, 10, beats=("shop/1", "shop/2", "cart/1"))
    assert effective(scene)[-1].startswith("0% is in effect: 3 instances of cart, shop follow after ")
    assert scene.status().behind == []


def test_it_leaves_how_the_rollout_stands_as_it_is() -> None:
    scene = Scene(declared())
    pass_s(scene, 3)
    was = (scene.status().outcome, scene.status().reason)
    pass_s(scene, 5, beats=("shop/1",))
    assert effective(scene)
    assert (scene.status().outcome, scene.status().reason) == was


def behind_alerts(scene: Scene) -> list[Alert]:
    return [alert for alert in scene.all(Alert) if alert.trigger == "old_version"]


def test_who_stays_behind_is_named_until_he_follows() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    before = scene.flag().version
    scene.command("kill")
    for _ in range(4):
        pass_s(scene, 5)
        beat(scene, "shop/1")
        beat(scene, "shop/2", version=before)
    pass_s(scene, 5)
    assert behind_alerts(scene) == [], "15 s to settle and 15 s more"
    for _ in range(3):
        pass_s(scene, 5)
        beat(scene, "shop/1")
        beat(scene, "shop/2", version=before)
    alerts = behind_alerts(scene)
    assert [alert.active for alert in alerts] == [True]
    assert alerts[0].text.endswith("(killed): 1 does not follow: shop/2")
    assert (alerts[0].attempt, alerts[0].do) == (1, Action.NOTIFY)
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    assert [alert.active for alert in behind_alerts(scene)] == [True, False]
    assert behind_alerts(scene)[1].id == alerts[0].id
    assert effective(scene)[-1].startswith("the kill switch is in effect")


def test_who_comes_up_later_with_an_older_document_has_time_to_follow() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    before = scene.flag().version
    scene.command("rollback")
    pass_s(scene, 120, beats=("shop/1",))
    beat(scene, "shop/9", version=before)
    pass_s(scene, 25, beats=("shop/1",))
    assert behind_alerts(scene) == []
    pass_s(scene, 10, beats=("shop/1",))
    assert [alert.text.rpartition(" ")[2] for alert in behind_alerts(scene)] == ["shop/9"]


def test_events_of_an_older_document_name_their_service() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, on={"ok": 1})
    before = scene.flag().version
    scene.command("rollback")
    for _ in range(40):
        arms(scene, on={"ok": 5}, version=before, service="billing")
        pass_s(scene, 1, beats=("shop/1",))
    assert [alert.text.rpartition(" ")[2] for alert in behind_alerts(scene)] == ["billing"]
    assert effective(scene)[1:] == [], "not while events of the older document come"
    assert scene.status().behind == ["billing"]
    pass_s(scene, 20, beats=("shop/1",))
    assert [alert.active for alert in behind_alerts(scene)] == [True, False]
    assert effective(scene)[-1].startswith("0% is in effect: 1 instance of shop follow")


def propagated(scene: Scene) -> list[str]:
    return effective(scene)[1:]


def test_P4_of_300_instances_the_44_that_do_not_follow_are_counted_and_named() -> None:
    scene = Scene(declared())
    names = [f"shop/{number}" for number in range(300)]
    beat(scene, *names)
    pass_s(scene, 5)
    before = scene.flag().version
    scene.command("kill")
    for _ in range(8):
        pass_s(scene, 5)
        beat(scene, *names[:256])
        beat(scene, *names[256:], version=before)
    assert propagated(scene) == []
    assert "(killed): 44 do not follow: shop/256, shop/257, " in behind_alerts(scene)[0].text
    assert behind_alerts(scene)[0].text.endswith(" and 24 more")
    assert (len(scene.status().behind), scene.status().behind_count) == (20, 44)
    beat(scene, *names)
    pass_s(scene, 3)
    assert propagated(scene)[0].startswith("the kill switch is in effect: 300 instances of shop follow")
    assert [alert.active for alert in behind_alerts(scene)] == [True, False]


def test_P4_instances_beyond_the_bound_are_counted_as_unknown() -> None:
    scene = Scene(declared())
    names = [f"shop/instance-number-{number:04}-7f9c4d5b6-x2x4z" for number in range(2_000)]
    for _ in range(8):
        beat(scene, *names)
        pass_s(scene, 5)
    assert effective(scene) == []
    text = behind_alerts(scene)[0].text
    assert re.search("about 1,[0-4][0-9]{2} more than guardian can follow, which are unknown too$", text), text
    assert scene.status().live_count <= MAX_SERVED
    assert 950 < scene.status().unknown_count < 1_500
    for _ in range(26):
        beat(scene, *names[:10])
        pass_s(scene, 5)
    assert effective(scene)[0].startswith("50% is in effect: 10 instances of shop follow"), "they stopped"


def test_P5_an_instance_that_fell_silent_before_it_followed_stays_unknown_until_it_speaks() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    before = scene.flag().version
    scene.command("rollback")
    pass_s(scene, 300, beats=("shop/1",))
    assert propagated(scene) == []
    assert scene.status().unknown == [UnknownInstance("shop/2", before, T0 + 10_000)]
    assert scene.status().unknown_count == 1
    told = [alert.text.partition("(0%): ")[2] for alert in behind_alerts(scene)]
    assert told == ["1 does not follow: shop/2", f"1 unknown: shop/2 for 1m30s, last seen serving version {before}"]
    pass_s(scene, 5, beats=("shop/1", "shop/2"))
    assert propagated(scene)[0].startswith("0% is in effect: 2 instances of shop follow")
    assert [alert.active for alert in behind_alerts(scene)] == [True, True, False]
    assert len({alert.id for alert in behind_alerts(scene)}) == 1, "one alert, told again"


@pytest.mark.parametrize("word", ["kill", "rollback"])
def test_P5_an_instance_cut_off_before_the_change_is_unknown_too(word: str) -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    before = scene.flag().version
    pass_s(scene, 120, beats=("shop/1",))
    scene.command(word)
    pass_s(scene, 120, beats=("shop/1",))
    assert [(each.instance, each.version) for each in scene.status().unknown] == [("shop/2", before)]
    assert propagated(scene) == []


def test_P5_an_unknown_instance_is_still_unknown_after_the_next_step() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    scene.command("promote")
    pass_s(scene, 100, beats=("shop/1",))
    scene.command("rollback", to="half")
    scene.command("resolve")
    scene.command("start")
    pass_s(scene, 100, beats=("shop/1",))
    assert [each.instance for each in scene.status().unknown] == ["shop/2"]


def test_P5_an_instance_that_followed_and_then_stopped_is_not_unknown() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    pass_s(scene, 120, beats=("shop/1",))
    scene.command("promote")
    pass_s(scene, 120, beats=("shop/1",))
    assert scene.status().unknown == []
    assert propagated(scene)[0].startswith("100% is in effect: 1 instance of shop follows")


def test_P5_an_instance_that_says_goodbye_is_not_waited_for() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2"))
    before = scene.flag().version
    scene.command("rollback")
    signs(scene, heartbeats=[Goodbye("shop", "2", scene.t, {FLAG: before})])
    pass_s(scene, 10, beats=("shop/1",))
    assert propagated(scene)[0].startswith("0% is in effect: 1 instance of shop follows")


def test_P5_a_person_dismisses_an_unknown_instance_and_no_other() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1", "shop/2", "shop/3"))
    scene.command("rollback")
    pass_s(scene, 100, beats=("shop/1",))
    alive = scene.command("dismiss", to="shop/1")
    assert (alive.accepted, alive.text) == (False, "shop/1 is not unknown; unknown: shop/2, shop/3")
    assert scene.command("dismiss", to="shop/2").text == "dismissed shop/2 by ann: because"
    pass_s(scene, 5, beats=("shop/1",))
    assert [each.instance for each in scene.status().unknown] == ["shop/3"]
    assert scene.command("dismiss", to="*").accepted
    pass_s(scene, 5, beats=("shop/1",))
    assert propagated(scene)[0].startswith("0% is in effect: 1 instance of shop follows")
    assert [alert.active for alert in behind_alerts(scene)][-1] is False


def test_P5_a_document_that_guardian_has_not_written_is_not_followed() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    scene.command("rollback")
    for _ in range(10):
        pass_s(scene, 5)
        beat(scene, "shop/1", version=scene.flag().version + 10**12)
    assert propagated(scene) == []
    assert behind_alerts(scene)[0].text.endswith("1 does not follow: shop/1")


def test_P5_after_a_gap_in_the_log_silence_counts_from_the_gap() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    scene.command("rollback")
    scene.t += 300_000
    scene.said += scene.engine.jump(scene.engine.next_offset + 900, scene.t)
    pass_s(scene, 25)
    assert behind_alerts(scene) == []
    pass_s(scene, 100)
    assert "1 unknown: shop/1" in behind_alerts(scene)[-1].text


def test_nobody_is_named_and_nothing_recorded_while_guardian_is_blind() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    before = scene.flag().version
    scene.command("rollback")
    beat(scene, "shop/1", version=before)
    scene.seconds(120, blind=True)
    assert behind_alerts(scene) == []
    assert len(effective(scene)) == 1
    beat(scene, "shop/1")
    scene.seconds(5, blind=True)
    assert len(effective(scene)) == 1
    pass_s(scene, 2)
    assert len(effective(scene)) == 2


def test_archiving_ends_the_alert() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    before = scene.flag().version
    scene.command("rollback")
    for _ in range(9):
        pass_s(scene, 5)
        beat(scene, "shop/1", version=before)
    assert [alert.active for alert in behind_alerts(scene)] == [True]
    scene.command("archive")
    assert [alert.active for alert in behind_alerts(scene)] == [True, False]


# Bounds


def test_heartbeats_that_say_nothing_new_leave_the_rollout_unwritten() -> None:
    scene = Scene(declared())
    pass_s(scene, 10, beats=("shop/1",))
    scene.command("pause")
    pass_s(scene, 5, beats=("shop/1",))
    scene.engine.capture()
    for _ in range(10):
        beat(scene, "shop/1")
    assert [each.flag for each in scene.engine.capture().rollouts] == []


def test_a_flood_of_instances_is_bounded() -> None:
    scene = Scene(declared(watching("silent for 2 minutes"), watching("memory > 2x baseline", name="memory")))
    pass_s(scene, 3)
    version = scene.flag().version
    for start in range(0, 10_000, 500):
        numbers = range(start, start + 500)
        names = [(f"service-with-a-long-name-{i % 50}", f"instance-{i}-7f9c4d5b6-x2x4z") for i in numbers]
        signs(scene, heartbeats=[Heartbeat(*n, scene.t, {FLAG: version}, metrics={"memory_bytes": 1e9}) for n in names])
    pass_s(scene, 3)
    assert MAX_SERVED / 2 < len(scene.state().fleet.served) <= MAX_SERVED
    assert scene.state().fleet.key_bytes <= MAX_SERVED_BYTES
    assert len(scene.engine._state.heard) == MAX_HEARD
    assert len(pack(scene.state())) < MAX_SNAPSHOT_BYTES / 4
    assert len(pack(scene.engine._state)) < MAX_SNAPSHOT_BYTES
    assert len(shown(scene).text) < 2_000


def test_who_is_gone_makes_room_for_who_comes() -> None:
    heard: dict[str, int] = {}
    for number in range(MAX_HEARD):
        assert hear(heard, f"a{number}", T0)
    assert not hear(heard, "new", T0 + GONE_MS)
    assert hear(heard, "new", T0 + GONE_MS + 1)
    assert "new" in heard
    assert len(heard) == MAX_HEARD


@pytest.mark.parametrize("count", [1, 3])
def test_a_heartbeat_that_is_older_than_the_newest_turns_nothing_back(count: int) -> None:
    scene = Scene(declared(watching("silent for 1m", Action.ROLLBACK)))
    pass_s(scene, 30, beats=("shop/1",))
    for _ in range(count):
        beat(scene, "shop/1", at_ms=scene.t - 50_000)
    pass_s(scene, 20)
    assert scene.where == "progressing half 5000"
