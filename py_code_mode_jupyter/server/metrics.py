"""Prometheus metrics of kernels, in the registry that Jupyter Server's ``/metrics`` shows."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

STARTS = Counter("pcm_kernel_starts", "Kernels that were started, restarts among them.", ["place"])
START_FAILURES = Counter(
    "pcm_kernel_start_failures",
    "Starts in which the place could not be made, and the kernel only says why.",
    ["place"],
)
START_SECONDS = Histogram(
    "pcm_kernel_start_duration_seconds", "Seconds that starts of kernels took.", ["place"], buckets=_SECONDS
)
DEATHS = Counter("pcm_kernel_deaths", "Kernels that ended unasked.", ["place", "kind"])
RUNS = Counter("pcm_runs", "Runs of sessions that have ended.", ["executor", "status"])
RUN_SECONDS = Histogram(
    "pcm_run_duration_seconds", "Seconds that runs of sessions took.", ["executor"], buckets=_SECONDS
)
REFUSALS = Counter("pcm_request_failures", "Requests under /pcm/ that failed.", ["kind"])
EVENT_CLIENTS = Gauge("pcm_event_clients", "Clients that listen to /pcm/events.")
DROPPED_CLIENTS = Counter("pcm_event_clients_dropped", "Clients that were let go because they were slow.")


def count_start(place: str, seconds: float, *, failed: bool) -> None:
    """Count one start of a kernel."""
    STARTS.labels(place=place).inc()
    START_SECONDS.labels(place=place).observe(seconds)
    if failed:
        START_FAILURES.labels(place=place).inc()


def count_run(executor: str, status: str, seconds: Any) -> None:
    """Count one run of a session that has ended."""
    RUNS.labels(executor=executor, status=status).inc()
    if isinstance(seconds, int | float):
        RUN_SECONDS.labels(executor=executor).observe(seconds)
