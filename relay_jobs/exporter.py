"""Prometheus metrics of the migration, read from Redis at scrape time: tasks that live for seconds are counted too."""

from collections.abc import Iterator, Mapping

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from relay_jobs import keys
from relay_jobs.ladder import EVERYONE, Ladder
from relay_jobs.metrics import DURATION_BOUNDS
from relay_jobs.servers import bytes_client, identify, read_hash
from relay_jobs.settings import Settings
from relay_jobs.status import status

_SKIPPED = {
    "exists": "exists",
    "invalid": "invalid",
    "conflict": "conflict",
    "gone": "gone",
    "filtered": "filtered",
    "errors": "error",
}


class MigrationCollector(Collector):
    """Reads counters, stages and progress whenever Prometheus asks.

    Args:
        client: a ``redis.Redis`` of the job store.
        settings: for the number of workspaces with a label of their own.
    """

    def __init__(self, client: "redis.Redis", settings: Settings | None = None) -> None:
        self._client, self._settings = bytes_client(client), settings or Settings.from_env()

    def collect(self) -> Iterator[Metric]:
        """All metric families of contract and progress."""
        raw = {name.decode(): number for name, number in read_hash(self._client, keys.COUNTERS).items()}
        yield from _counters(raw)
        yield _durations(raw)
        yield self._stages()
        yield from self._gauges()

    def describe(self) -> Iterator[Metric]:
        """Nothing: so that registering does not ask the server."""
        return iter(())

    def _stages(self) -> Metric:
        family = GaugeMetricFamily("relay_migration_stage", "Rung, 0 legacy to 4 sealed", labels=["workspace_id"])
        stages = Ladder(self._client).recorded().stages
        shown = sorted(stages, key=lambda scope: (scope != EVERYONE, scope))[: self._settings.max_workspace_labels]
        for scope in shown:
            family.add_metric(["_default" if scope == EVERYONE else scope], stages[scope].rung)
        return family

    def _gauges(self) -> Iterator[Metric]:
        now = status(self._client, self._settings, identify(self._client))
        held = now["control"]
        yield GaugeMetricFamily("relay_queue_depth", "Jobs waiting", value=now["queue_depth"])
        yield GaugeMetricFamily("relay_quarantined", "Legacy jobs that cannot be moved", value=now["quarantined"])
        yield GaugeMetricFamily("relay_backfill_paused", "1 while running work is paused", value=int(held["paused"]))
        yield GaugeMetricFamily("relay_backfill_rps_limit", "Keys a second, 0 without a limit", value=held["rps"] or 0)
        yield GaugeMetricFamily(
            "relay_backfill_running", "1 while a run holds the lease", value=int(bool(now["lease"]))
        )
        progress = GaugeMetricFamily("relay_backfill_progress_ratio", "Visited part of the latest pass")
        if now["passes"]:
            progress.add_metric([], now["passes"][0]["fraction"])
        yield progress


def registry(client: "redis.Redis", settings: Settings | None = None) -> CollectorRegistry:
    """A registry with the migration's metrics alone."""
    found = CollectorRegistry()
    found.register(MigrationCollector(client, settings))
    return found


def _counters(raw: Mapping[str, bytes]) -> Iterator[Metric]:
    meanings = {
        "scanned": "Legacy keys examined",
        "migrated": "Jobs copied whole",
        "errors": "Keys that could not be copied",
    }
    whole = {
        outcome: CounterMetricFamily(f"relay_backfill_{outcome}", meaning, labels=["workspace_id"])
        for outcome, meaning in meanings.items()
    }
    skipped = CounterMetricFamily("relay_backfill_skipped", "Keys not copied", labels=["workspace_id", "reason"])
    for name, number in sorted(raw.items()):
        outcome, _, workspace = name.partition(":")
        if outcome in whole:
            whole[outcome].add_metric([workspace], int(number))
        if outcome in _SKIPPED:
            skipped.add_metric([workspace, _SKIPPED[outcome]], int(number))
    yield from (*whole.values(), skipped)


def _durations(raw: Mapping[str, bytes]) -> Metric:
    count = int(raw.get("passes", 0))
    buckets = [(str(float(bound)), int(raw.get(f"passes:le:{bound}", 0))) for bound in DURATION_BOUNDS]
    family = HistogramMetricFamily("relay_backfill_duration_seconds", "Duration of complete passes")
    family.add_metric([], [*buckets, ("+Inf", count)], sum_value=float(raw.get("passes:seconds", 0)))
    return family
