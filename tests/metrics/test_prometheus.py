"""A real Prometheus with the shipped configuration, during a real migration: every panel of the dashboard has data."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import start_http_server

from relay_jobs import JobStore, Stage
from relay_jobs.api_metrics import ApiMetrics
from relay_jobs.migration import Migration
from tests.programs import installed
from tests.servers import Running, Server, free_port, until

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[2]
JOBS = 2_000

Ended = Callable[["subprocess.Popen[bytes]"], None]


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """All samples of the last half hour, by series; those that are no number are no data."""
        now = float(self.get("query", query="time()")["result"][0])
        found = self.get("query_range", query=expr, start=now - 1800, end=now, step=1)["result"]
        return [series for series in found if any(value != "NaN" for _, value in series["values"])]

    def get(self, what: str, **params: Any) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=params, timeout=10)
        assert answer.is_success, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def scrape(self) -> None:
        """Wait until every target was scraped twice from now on: what is there now is stored then."""
        before = self._scrapes()
        until(lambda: all(n >= before.get(job, 0) + 2 for job, n in self._scrapes().items()), "nothing is scraped")

    def _scrapes(self) -> dict[str, int]:
        found = self.get("query", query="count_over_time(up[30m])")["result"]
        counts = {series["metric"]["job"]: int(series["value"][1]) for series in found}
        return {"relay-api": 0, "relay-migration": 0} | counts


@pytest.fixture
def start() -> Iterator[Callable[..., None]]:
    """Starts programs, and ends them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(log: Path, *command: str) -> None:
        with log.open("wb") as out:
            started.append(subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ}))

    yield run
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


@pytest.fixture
def store_server(running: Running) -> Iterator[Server]:
    """One server is enough: nothing here depends on which."""
    server = running.server("valkey")
    yield server
    server.close()


@pytest.fixture
def application() -> Iterator[tuple[ApiMetrics, int]]:
    """Counters as the API has them, served as it would."""
    counters, port = ApiMetrics(10), free_port()
    server, thread = start_http_server(port, "127.0.0.1", counters.registry)
    yield counters, port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def prometheus(
    start: Callable[..., None], store_server: Server, application: tuple[ApiMetrics, int], tmp_path: Path
) -> Prometheus:
    """With `relay-jobs metrics` and the application for targets, every second."""
    program = installed("prometheus")
    exporter, port = free_port(), free_port()
    url = f"redis://127.0.0.1:{store_server.port}"
    start(
        tmp_path / "exporter", sys.executable, "-m", "relay_jobs", "metrics", f"--port={exporter}", f"--redis-url={url}"
    )
    shutil.copytree(ROOT / "monitoring/prometheus", tmp_path / "config")
    file = tmp_path / "config/prometheus.yaml"
    config = yaml.safe_load(file.read_text().replace("/etc/prometheus/", f"{file.parent}/"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    targets = {"relay-migration": exporter, "relay-api": application[1]}
    for job in config["scrape_configs"]:
        if job["job_name"] in targets:
            job["static_configs"][0]["targets"] = [f"127.0.0.1:{targets[job['job_name']]}"]
    file.write_text(yaml.safe_dump(config))
    start(
        tmp_path / "log",
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    found = Prometheus(f"http://127.0.0.1:{port}")
    until(lambda: _ready(found.url), "Prometheus is not ready")
    until(lambda: found.get("query", query="sum(up)")["result"][-1:] != [], "nothing is scraped")
    until(lambda: found.get("query", query="sum(up)")["result"][0]["value"][1] == "2", "a target is down")
    return found


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=1).is_success
    except httpx.TransportError:
        return False


def test_every_panel_has_data_during_a_migration(
    prometheus: Prometheus, store_server: Server, application: tuple[ApiMetrics, int]
) -> None:
    """Errors and alerts that need hours aside, each query answers with what has just been done."""
    client = store_server.client()
    migration = Migration(client, who="somebody")
    migration.set_stage(Stage.NEW_FIRST)
    for number in range(JOBS):
        client.hset(f"ai:jobs:{number}", mapping={"workspace_id": "acme", "status": "pending"})
    client.set("ai:jobs:odd", "no hash")
    store = JobStore(client, metrics=application[0].store)
    opened = migration.open_pass(run="run", step="backfill", partitions=2, batch=100, full_speed=True)
    walks = [migration.walk(opened, number, f"owner {number}") for number in range(2)]
    for walked in walks:
        next(walked)
        prometheus.scrape()
        application[0].answered("/ai/jobs", "GET", 200, 0.004)
        store.enqueue(workspace_id="acme", action_provider="mail", action_name="send", params={}, actor_id="a")
        # What is copied, and what is not yet.
        found = {store.get_job(str(number), "acme").job_id for number in range(0, JOBS, 50)}
        assert len(found) == JOBS / 50
    migration.pause("a look")
    prometheus.scrape()
    migration.resume()
    for walked in walks:
        list(walked)
    list(migration.close(opened, "owner"))
    migration.release("run")
    list(migration.verify(workspaces=[]))
    prometheus.scrape()
    silent = [title for title, expr in queries() if not prometheus.ask(expr)]
    assert silent == []
    books = migration.summary(opened).books
    (scanned,) = prometheus.ask("sum(relay_backfill_scanned_total)")
    assert int(scanned["values"][-1][1]) == books.scanned >= JOBS + 1
    pending = prometheus.ask('ALERTS{alertname="RelayBackfillPaused", alertstate="pending"}')
    assert len(pending) == 1
    assert prometheus.ask('ALERTS{alertstate="firing"}') == []


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard with its panel, over a window that the test is long enough for."""
    text = (ROOT / "monitoring/grafana/dashboards/migration.json").read_text(encoding="utf-8")
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5s").replace("$workspace", ".*")
