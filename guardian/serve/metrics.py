"""What serve counts about itself, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from guardian.errors import DecodeReason

REQUESTS: Final = Counter("guardian_serve_requests", "Requests answered", ["method", "route", "code"])
REQUEST_SECONDS: Final = Histogram(
    "guardian_serve_request_seconds",
    "Time to answer a request, streams apart",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
REFUSED: Final = Counter(
    "guardian_serve_refused_requests", "Requests without the right to do what they ask", ["reason"]
)
COMMANDS: Final = Counter("guardian_serve_commands", "Commands written, by what became of them", ["command", "answer"])
EVENTS: Final = Counter("guardian_serve_events", "Events taken and acked by Kafka", ["topic"])
BAD_EVENTS: Final = Counter("guardian_serve_refused_events", "Events refused, none of which reached Kafka", ["reason"])
RECORDS: Final = Counter("guardian_serve_records", "Records read into the read models", ["topic"])
RUBBISH: Final = Counter("guardian_serve_rubbish_records", "Records that could not be read", ["topic"])
BEHIND: Final = Gauge("guardian_serve_lag_records", "Records not yet in the read models; -1 when Kafka does not answer")
BEAT_AGE: Final = Gauge("guardian_serve_beat_age_seconds", "Age of the oldest partition's sign of life of decide")
CLIENTS: Final = Gauge("guardian_serve_stream_clients", "Clients that follow a stream", ["stream"])
SKIPPED_LETTERS: Final = Counter("guardian_serve_skipped_dead_letters", "Dead letters not shown in a flood")
SHED: Final = Counter(
    "guardian_serve_shed",
    "Given up because places were few or the peer was slow: connections, requests, bodies, streams",
    ["what"],
)
MALFORMED: Final = Counter("guardian_serve_malformed_requests", "Requests that are no HTTP")
DROPPED: Final = Counter("guardian_serve_dropped_stream_clients", "Clients that were too slow", ["stream"])

# From nothing to one is no growth to Prometheus: the first of anything shows only where a zero stood.
for _reason in ("unauthorized", "forbidden"):
    REFUSED.labels(_reason)
for _what in ("connection", "request", "body", "stream"):
    SHED.labels(_what)
for _bad in DecodeReason:
    BAD_EVENTS.labels(_bad.value)
for _topic in ("telemetry", "migrations"):
    EVENTS.labels(_topic)
