"""Run by test_base_install with the base install alone: it evaluates a flag, tells of it, and says what came in."""

from __future__ import annotations

import importlib.util
import json
import sys

from aiokafka import codec

import guardian.sdk

SERVER_ONLY = ("faust", "mode", "numpy", "pydantic", "msgspec", "confluent_kafka", "typer", "rich", "lark", "fastapi")


def main(bootstrap: str, prefix: str) -> None:
    """Evaluate one flag, tell of it, and print what came of it."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    provider = guardian.sdk.GuardianProvider(bootstrap, prefix)
    api.set_provider_and_wait(provider)
    details = api.get_client().get_boolean_details("new-pricing", False, EvaluationContext("u-1"))
    telemetry = guardian.sdk.Telemetry("clean", provider, bootstrap, prefix)
    with telemetry.measure(details, subject="u-1"):
        guardian.sdk.configure(bootstrap, prefix)
        guardian.sdk.log_migration_event("pricing_engine", "success")
    flushed = telemetry.flush(60) and guardian.sdk.flush_migration_events(60)
    api.shutdown()
    rooms = {name for name in sys.modules if name.startswith("guardian") and not name.startswith("guardian.sdk")}
    sys.stdout.write(
        json.dumps(
            {
                "value": details.value,
                "variant": details.variant,
                "flushed": flushed,
                "dropped": telemetry.dropped + guardian.sdk.dropped_migration_events(),
                "installed": [name for name in SERVER_ONLY if importlib.util.find_spec(name)],
                "imported": [name for name in SERVER_ONLY if name in sys.modules],
                "rooms": sorted(rooms),
                "codecs": [name for name in ("gzip", "lz4", "snappy", "zstd") if getattr(codec, f"has_{name}")()],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
