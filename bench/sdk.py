"""What the SDK costs its application: microseconds per evaluation and per event told, on the caller's thread.

    python -m bench.sdk [--json]

No broker is needed: documents come from a snapshot file, events go to an outbox that nobody empties.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import orjson
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from guardian.core.outputs import FlagState
from guardian.core.split import split_of
from guardian.core.words import Phase, Reason
from guardian.sdk import (
    GuardianProvider,
    ProviderOptions,
    Served,
    Telemetry,
    TelemetryOptions,
    configure,
    drain_dual_runs,
    dual_run,
    flush_dual_runs,
)
from guardian.sdk.document import parse_document
from guardian.sdk.evaluate import evaluate
from guardian.wire.flagd import flag_document

FLAG = "new-pricing"
NOWHERE = "127.0.0.1:1"
ROUNDS = 7


def document() -> bytes:
    """A flag in rollout at 5 %."""
    state = FlagState(
        flag=FLAG, epoch=0, version=1_763_699_000_456, change_id="new-pricing/1/12/0", changed_ms=1_763_699_000_456,
        attempt=1, phase=Phase.PROGRESSING, step="canary", weight_bp=500, control="off", candidate="on",
        values={"on": True, "off": False}, salt=FLAG, killed=False, env_prefix="", reason=Reason.STARTED,
    )  # fmt: skip
    return orjson.dumps(flag_document(state))


def audience_document() -> bytes:
    """The same flag for an audience only, so that the targeting looks at more than the split."""
    found = orjson.loads(document())
    inside = {"<": [{"var": ["guardian_split", 10000]}, 500]}
    found["targeting"] = {"if": [{"and": [{"==": [{"var": "group"}, "internal"]}, inside]}, "on", "off"]}
    return orjson.dumps(found)


def cost_us(call: Callable[[], object]) -> float:
    """Microseconds per call: the best of ROUNDS, of this thread's own time, so that other work disturbs it least."""
    timer = timeit.Timer(call, timer=time.thread_time)
    number = max(timer.autorange()[0] // 4, 1)
    return round(min(timer.repeat(ROUNDS, number)) / number * 1e6, 3)


RESULT = {"total": 1234.5, "currency": "EUR", "lines": [{"sku": f"s-{n}", "cents": n} for n in range(5)]}


def dual_runs() -> dict[str, float]:
    """What a dual run adds to a call that itself does nothing."""
    configure(NOWHERE)

    def made(**options: object) -> Callable[[str], object]:
        return dual_run("bench", lambda user: RESULT, flag=FLAG, subject="user", **options)(lambda user: RESULT)  # type: ignore[arg-type]

    not_compared, compared, copied = made(sample=0), made(per_second=10**9), made(per_second=10**9, copy=True)
    return {
        "dual_run_not_compared": cost_us(lambda: not_compared("u-102938")),
        "dual_run_compared": median_us(compared),
        "dual_run_compared_copy": median_us(copied),
        "dual_run_coroutine_both": coroutine_us(),
    }


def median_us(call: Callable[[str], object]) -> float:
    """What a request itself spends in a call that is compared, the median; the other half runs on another thread."""
    spent = []
    for _ in range(3_000):
        began = time.thread_time()
        call("u-102938")
        spent.append(time.thread_time() - began)
        flush_dual_runs(10)
    return round(statistics.median(spent) * 1e6, 3)


def coroutine_us() -> float:
    """Both halves and the comparison, as they are all on the event loop's own thread; the best of ROUNDS."""

    async def give(user: str) -> object:
        return RESULT

    pair = dual_run("bench", give, flag=FLAG, subject="user", per_second=10**9)(give)

    async def rounds() -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.thread_time()
            for _ in range(500):
                await pair("u-102938")
                await drain_dual_runs()
            best = min(best, (time.thread_time() - began) / 500)
        return best

    return round(asyncio.run(rounds()) * 1e6, 3)


def measure(folder: Path) -> dict[str, float]:
    """Every figure, in microseconds per call."""
    snapshot = folder / "flags.json"
    snapshot.write_bytes(b'{"format":1,"flags":{"new-pricing":' + document() + b"}}")
    provider = GuardianProvider(NOWHERE, snapshot=snapshot, options=ProviderOptions(init_within_s=0.01))
    api.set_provider_and_wait(provider)
    client = api.get_client()
    telemetry = Telemetry("bench", provider, NOWHERE, options=TelemetryOptions(heartbeat_s=0))
    plain, audience = parse_document(FLAG, document()), parse_document(FLAG, audience_document())
    context = EvaluationContext("u-102938", {"group": "internal", "region": "eu"})
    served = Served(FLAG, "on", 1_763_699_000_456, "split")

    def block() -> None:
        with telemetry.measure(served, subject="u-102938"):
            pass

    figures = {
        "split": cost_us(lambda: split_of(FLAG, "u-102938")),
        "evaluate": cost_us(lambda: evaluate(plain, "u-102938", context.attributes, {})),
        "evaluate_audience": cost_us(lambda: evaluate(audience, "u-102938", context.attributes, {})),
        "provider": cost_us(lambda: provider.resolve_boolean_details(FLAG, False, context)),
        "openfeature_client": cost_us(lambda: client.get_boolean_details(FLAG, False, context)),
        "openfeature_unknown_flag": cost_us(lambda: client.get_boolean_details("unknown", False, context)),
        "telemetry_request": cost_us(lambda: telemetry.request(served, latency_ms=12.7, subject="u-102938")),
        "telemetry_measure": cost_us(block),
        **dual_runs(),
    }
    telemetry.close(0.1)
    api.shutdown()
    return figures


def main() -> None:
    """Print the figures; as one JSON object with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds anyway")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    if arguments.json:
        print(json.dumps({"microseconds_per_call": figures}))
        return
    for name, microseconds in figures.items():
        print(f"{name:30} {microseconds:8.2f} µs")


if __name__ == "__main__":
    main()
