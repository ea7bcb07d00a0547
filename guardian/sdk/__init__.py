"""What an application imports: flags that guardian moves, and telemetry that guardian judges by.

    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from guardian.sdk import GuardianProvider, Telemetry

    provider = GuardianProvider("kafka:9092", snapshot="flags.json")
    api.set_provider_and_wait(provider)
    telemetry = Telemetry("checkout", provider, "kafka:9092")

    details = api.get_client().get_boolean_details("new-pricing", False, EvaluationContext(user_id))
    with telemetry.measure(details, subject=user_id):
        price = new_price(cart) if details.value else old_price(cart)

While two implementations stand side by side, `@dual_run("pricing_engine")` runs both and compares what they give.

Nothing here blocks the application or raises into it. A call opts in or out by the context attribute `guardian_opt`
("in" or "out"); an environment variable such as NEW_PRICING=off overrides a flag on one host.
"""

from guardian.errors import check_namespace
from guardian.sdk.dual_options import DualRunOptions
from guardian.sdk.dual_report import DualRunCounts
from guardian.sdk.dual_run import drain_dual_runs, dual_run, flush_dual_runs
from guardian.sdk.migrations import configure, dropped_migration_events, flush_migration_events, log_migration_event
from guardian.sdk.provider import GuardianProvider, ProviderOptions
from guardian.sdk.sending import TelemetryOptions
from guardian.sdk.served import Served
from guardian.sdk.telemetry import Telemetry

check_namespace()

__all__ = [
    "DualRunCounts",
    "DualRunOptions",
    "GuardianProvider",
    "ProviderOptions",
    "Served",
    "Telemetry",
    "TelemetryOptions",
    "configure",
    "drain_dual_runs",
    "dropped_migration_events",
    "dual_run",
    "flush_dual_runs",
    "flush_migration_events",
    "log_migration_event",
]
