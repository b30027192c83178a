"""Prometheus metrics of the migration, read from Redis at scrape time: tasks that live for seconds are counted too."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from relay_jobs import keys
from relay_jobs.ladder import EVERYONE, Ladder
from relay_jobs.metrics import DURATION_BOUNDS
from relay_jobs.parity import Finding
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
_FINDINGS = (*Finding, "errors", "unacknowledged")


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
        yield from self._latest_pass(now["passes"][0] if now["passes"] else None)
        yield from _proofs(now["last_passes"].get(EVERYONE), now["last_verifications"].get(EVERYONE))

    def _latest_pass(self, latest: Mapping[str, Any] | None) -> Iterator[Metric]:
        progress = GaugeMetricFamily("relay_backfill_progress_ratio", "Visited part of the latest pass")
        eta = GaugeMetricFamily("relay_backfill_eta_seconds", "Until the latest pass is walked, at the rate it had")
        parts = GaugeMetricFamily("relay_backfill_partitions", "Partitions of the latest pass", labels=["state"])
        if latest is not None:
            progress.add_metric([], latest["fraction"])
            if latest["eta_seconds"] is not None:
                eta.add_metric([], latest["eta_seconds"])
            total, walked = latest["partitions"], latest["walked"]
            leases = (keys.partition_lease(latest["name"], number) for number in range(total))
            # A partition is done a moment before its lease is given back.
            running = min(int(self._client.exists(*leases)), total - walked)
            for state, number in {"walked": walked, "running": running, "waiting": total - walked - running}.items():
                parts.add_metric([state], number)
        yield from (progress, eta, parts)


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
    scanned: Counter[str] = Counter()
    for name, number in sorted(raw.items()):
        outcome, _, workspace = name.partition(":")
        if outcome in {"migrated", *_SKIPPED}:
            scanned[workspace] += int(number)
        if outcome in {"migrated", "errors"}:
            whole[outcome].add_metric([workspace], int(number))
        if outcome in _SKIPPED:
            skipped.add_metric([workspace, _SKIPPED[outcome]], int(number))
    for workspace, total in scanned.items():
        whole["scanned"].add_metric([workspace], total)
    yield from (*whole.values(), skipped)


def _proofs(walked: Mapping[str, Any] | None, verified: Mapping[str, Any] | None) -> Iterator[Metric]:
    ended = GaugeMetricFamily("relay_proof_timestamp_seconds", "End of the last proof of everything", labels=["proof"])
    found = GaugeMetricFamily(
        "relay_verification_jobs", "Jobs in the last verification of everything", labels=["finding"]
    )
    if walked is not None:
        ended.add_metric(["pass"], walked["finished_at"])
    if verified is not None:
        ended.add_metric(["verification"], verified["finished_at"])
        for finding in _FINDINGS:
            found.add_metric([finding], verified["books"][finding])
    yield from (ended, found)


def _durations(raw: Mapping[str, bytes]) -> Metric:
    count = int(raw.get("passes", 0))
    buckets = [(str(float(bound)), int(raw.get(f"passes:le:{bound}", 0))) for bound in DURATION_BOUNDS]
    family = HistogramMetricFamily("relay_backfill_duration_seconds", "Duration of complete passes")
    family.add_metric([], [*buckets, ("+Inf", count)], sum_value=float(raw.get("passes:seconds", 0)))
    return family
