"""What this process measures about itself. Labels are words of ours, never a caller's.

One registry a process, so that tests and several processes beside each other don't meet.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

OPERATION_SECONDS = Histogram(
    "wallet_graphql_operation_seconds",
    "Time of a GraphQL operation, by its kind and its first root field in the schema.",
    ("kind", "field"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
OPERATION_ERRORS = Counter(
    "wallet_graphql_errors_total",
    "Top-level errors answered, by code.",
    ("code",),
    registry=REGISTRY,
)
HTTP_RESPONSES = Counter(
    "wallet_http_responses_total",
    "Responses by status.",
    ("status",),
    registry=REGISTRY,
)
SOCKETS = Gauge("wallet_sockets", "Open WebSockets.", registry=REGISTRY)
SUBSCRIPTIONS = Gauge("wallet_subscriptions", "Running operations on sockets.", registry=REGISTRY)
SOCKET_CLOSES = Counter(
    "wallet_socket_closes_total",
    "WebSockets that we closed, by code.",
    ("code",),
    registry=REGISTRY,
)
RATE_LIMITED = Counter(
    "wallet_rate_limited_total",
    "Requests and operations refused for coming too fast, by whose bucket was empty.",
    ("bucket",),
    registry=REGISTRY,
)
RATE_LOCAL = Gauge(
    "wallet_rate_local",
    "1 while this process counts requests by itself because Valkey doesn't answer.",
    registry=REGISTRY,
)
LANE_QUEUE = Gauge("wallet_lane_queue", "Instructions waiting for a lane.", registry=REGISTRY)
LANE_BATCH = Histogram(
    "wallet_lane_batch",
    "Instructions committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
OUTBOX_LAG_SECONDS = Gauge(
    "wallet_outbox_lag_seconds", "Age of the oldest unsent outbox row.", registry=REGISTRY
)


def render() -> bytes:
    """Everything measured, in Prometheus' text format."""
    return generate_latest(REGISTRY)
