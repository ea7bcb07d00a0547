"""Which errors there were stands beside their counts."""

from __future__ import annotations

from guardian.core.inputs import Bucket
from guardian.core.rollout import Trigger
from guardian.core.samples import MAX_SIGNATURE_BYTES, add_samples, samples_text
from guardian.core.words import Action
from tests.core.figures import cell, pass_s
from tests.core.scenes import Scene, above, spec, step, trigger


def failing(scene: Scene, variant: str = "on", **signatures: int) -> None:
    n = sum(signatures.values())
    bucket = Bucket(scene.t // 1_000 - 1, n=n, error=n, signatures=dict(signatures))
    scene.batch(cell(variant, bucket, version=scene.flag().version))


def scene_with(limit: int) -> Scene:
    watched: Trigger = trigger(above("error_count", limit, over_s=0), Action.ROLLBACK, min_samples=0)
    return Scene(spec(step("half", 5_000, bake_s=36_000), triggers=(watched,)))


def test_U4_error_types_are_counted_by_variant_since_the_evidence_began() -> None:
    scene = scene_with(1_000)
    pass_s(scene, 2)
    failing(scene, Timeout=3, ValueError=1)
    failing(scene, Timeout=2)
    failing(scene, "off", KeyError=1)
    pass_s(scene, 2)
    assert scene.status().samples == {"on": {"Timeout": 5, "ValueError": 1}, "off": {"KeyError": 1}}
    scene.command("kill")
    assert scene.status().samples == {}


def test_U4_a_rollback_says_which_errors_led_to_it_and_the_status_keeps_them() -> None:
    scene = scene_with(5)
    pass_s(scene, 2)
    failing(scene, Timeout=31, ValueError=3)
    assert scene.rollbacks()[-1].text.endswith("; errors: Timeout 31, ValueError 3")
    pass_s(scene, 60)
    assert scene.status().text.endswith("; errors: Timeout 31, ValueError 3")
    assert scene.status().rollback_samples == {"Timeout": 31, "ValueError": 3}


def test_U4_samples_are_bounded_in_kinds_and_in_bytes() -> None:
    kept: dict[str, int] = {}
    for number in range(100):
        add_samples(kept, {f"{number}" + "漢" * 500: 1})
    assert len(kept) == 9
    assert kept["other"] == 92
    assert all(len(name.encode()) <= MAX_SIGNATURE_BYTES for name in kept)
    assert samples_text(kept).startswith("other 92, ")
    assert samples_text(kept).endswith(" and 6 more kinds")


def test_U11_the_figures_that_led_to_a_rollback_stay_in_the_status() -> None:
    scene = scene_with(5)
    pass_s(scene, 2)
    failing(scene, Timeout=31)
    pass_s(scene, 600)
    status = scene.status()
    assert (status.trigger, status.evidence.metric, status.evidence.value) == ("error_count", "error_count", 31)
