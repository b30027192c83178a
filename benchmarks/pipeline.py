"""What Airflow adds: mode ``full`` of relay_backfill against the same three commands, on one machine, in one run.

``python -m benchmarks.pipeline [jobs]`` fills a store twice with the same jobs, takes the command line through one and
an Airflow (LocalExecutor, SQLite, as in the demo) through the other, and prints one JSON object: seconds of each,
their difference, and how long the partitions took.
"""

import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

import redis

from benchmarks.backfill import JOBS, fill
from relay_jobs.migration import Migration
from relay_jobs.stages import Stage
from tests.live.backends import BACKENDS
from tests.live.deployment import Deployment
from tests.live.runs import LiveRun

_COMMANDS = (["preflight"], ["backfill", "--execute", "--full-speed"], ["verify"])


def main() -> None:
    """Measure and print."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    airflow = Deployment.start(BACKENDS["sqlite"])
    try:
        _prepare(airflow, jobs)
        began = time.monotonic()
        for command in _COMMANDS:
            _run(airflow, command)
        by_hand = time.monotonic() - began
        _prepare(airflow, jobs)
        run, piped = _pipeline(airflow)
    finally:
        airflow.end()
    walks = [task.duration for task in run]
    result = {
        "jobs": jobs,
        "command_line_seconds": round(by_hand, 1),
        "airflow_seconds": round(piped, 1),
        "airflow_adds_seconds": round(piped - by_hand, 1),
        "partition_seconds": [round(seconds or 0, 1) for seconds in walks],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    print(json.dumps(result, indent=2))


def _prepare(airflow: Deployment, jobs: int) -> None:
    with airflow.store() as client:
        client.flushall()
        fill(client, jobs)
        migration = Migration(client, who="benchmark")
        for stage in (Stage.LEGACY, Stage.DUAL_WRITE):
            migration.set_stage(stage)


def _run(airflow: Deployment, command: list[str]) -> None:
    environment = {**os.environ, "REDIS_URL": airflow.redis_url}
    subprocess.run([sys.executable, "-m", "relay_jobs", *command], env=environment, check=True, capture_output=True)


def _pipeline(airflow: Deployment) -> tuple[list[Any], float]:
    began = time.monotonic()
    run: LiveRun = airflow.trigger(mode="full", rps=None)
    state = run.end(patience=600)
    seconds = time.monotonic() - began
    assert state == "success", run.states()
    with airflow.store() as client:
        _complete(client, run)
    return run.tasks("full.walk"), seconds


def _complete(client: redis.Redis, run: LiveRun) -> None:
    books = run.returned("full.close")["pass"]
    assert books["migrated"] == run.returned("verification")["equal"], books


if __name__ == "__main__":
    main()
