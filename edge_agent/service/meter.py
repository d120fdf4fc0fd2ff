"""What the service counts of itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.service.lane import Lane

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Meter:
    """Counters in a registry of their own; one for each service."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        """Start at nought.

        Args:
            lanes: what is under way in them, and what they refused, is shown too.
        """
        self._registry = CollectorRegistry(auto_describe=False)
        kept = self._registry
        self._answers = Counter("edge_agent_http_requests", "Answers.", ("route", "method", "status"), registry=kept)
        name = "edge_agent_http_request_duration_seconds"
        self._times = Histogram(name, "Time to answer.", ("route",), registry=kept, buckets=BUCKETS_S)
        self._corrections = Counter("edge_agent_service_corrections", "Corrections since the start.", ("verdict",), registry=kept)
        self._registry.register(_Lanes(lanes))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; status 0 is a client that went away before."""
        self._answers.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._times.labels(route).observe(seconds)

    def corrected(self, verdict: str) -> None:
        """Count a correction."""
        self._corrections.labels(verdict).inc()

    def exposition(self) -> str:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry).decode("utf-8")


_METHODS = ("GET", "HEAD", "POST", "DELETE")


class _Lanes(Collector):
    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def collect(self) -> Iterable[Metric]:
        under_way = GaugeMetricFamily("edge_agent_service_under_way", "Work that runs or waits.", labels=("lane",))
        refused = GaugeMetricFamily("edge_agent_service_refused", "Work that was refused because too much waited.", labels=("lane",))
        for lane in self._lanes:
            under_way.add_metric([lane.name], lane.under_way)
            refused.add_metric([lane.name], lane.refused)
        return (under_way, refused)
