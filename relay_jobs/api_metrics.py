"""Prometheus metrics of one API process: its requests by route template, and its store's calls without workspaces."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from relay_jobs.metrics import OTHER, StoreMetrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def known_method(method: str) -> str:
    """The method, or ``_other`` for a word that a client has made up."""
    return method if method in _METHODS else OTHER


class ApiMetrics:
    """Counters of one application, in a registry of its own.

    Args:
        max_workspaces: how many workspaces the store's counters name; 0 where tenants can read them.
    """

    def __init__(self, max_workspaces: int) -> None:
        self.registry = CollectorRegistry()
        self.store = StoreMetrics(self.registry, max_workspaces)
        self._requests = Counter(
            "relay_api_requests",
            "Requests by route, method and status class",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "relay_api_request_seconds",
            "Time from the first byte of a request to the last of its response",
            ["route", "method"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Labels are few; to find them anew costs more than to count.
        self._of = cache(self._labelled)

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is a template of ours, ``None`` where there is none, ``method`` a known one."""
        requests, times = self._of(route or OTHER, method, status // 100)
        requests.inc()
        times.observe(seconds)

    def _labelled(self, route: str, method: str, hundreds: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(route, method, f"{hundreds}xx"), self._seconds.labels(route, method)
