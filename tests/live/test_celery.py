"""CeleryExecutor as docker-compose.yaml has it: a broker, PostgreSQL and two workers; one is stopped, one is killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
import yaml

from demo.processes import sessions_members
from demo.rest import TaskState
from relay_jobs.airflow import POOL
from tests.airflow.runs import copies
from tests.live.backends import Backend
from tests.live.deployment import Deployment
from tests.live.postgres import programs
from tests.live.runs import LiveRun
from tests.live.scenes import JOBS, PARTITIONS, assert_done, begin, begun, task_process
from tests.live.waiting import wait_until
from tests.servers import Running, running

__all__ = ["running"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
WORKERS = ("worker-1", "worker-2")
CONCURRENCY = 2
# One worker has not places for as many, and both have more.
SLOTS = 3


def service(name: str) -> dict[str, object]:
    """A service of docker-compose.yaml."""
    text = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    found: dict[str, object] = yaml.safe_load(text)["services"][name]
    return found


def celery_settings(broker: str) -> dict[str, str]:
    """The shipped ones, but for addresses; the result backend is the database, of which Airflow makes it by itself."""
    environment = service("worker")["environment"]
    assert isinstance(environment, dict)
    shipped = {name: value for name, value in environment.items() if name.startswith("AIRFLOW__CELERY")}
    assert shipped.pop("AIRFLOW__CELERY__RESULT_BACKEND").startswith("db+postgresql")
    return {
        **shipped,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(CONCURRENCY * len(WORKERS)),
    }


@pytest.fixture(scope="module")
def deployment(running: Running) -> Iterator[Deployment]:
    """Airflow with two workers, on a broker that wants a password."""
    if programs() is None:
        why = "PostgreSQL is not installed"
        pytest.fail(why) if os.environ.get("CI", "").lower() == "true" else pytest.skip(why)
    broker = running.own("valkey", maxmemory_policy="noeviction")
    broker.client().config_set("requirepass", "secret")
    # Both are on one machine, where they share the folder of the logs and cannot both serve it.
    workers = {name: ("celery", "worker", "--celery-hostname", name, "--skip-serve-logs") for name in WORKERS}
    backend = Backend("celery", "postgres", celery_settings(f"redis://:secret@127.0.0.1:{broker.port}/0"), workers)
    started = Deployment.start(backend)
    try:
        # The check starts a program that imports Airflow: once is enough.
        wait_until(lambda: healthy(started, WORKERS[0]), lambda: f"{WORKERS[0]} is not healthy")
        yield started
    finally:
        started.end()


def healthy(live: Deployment, worker: str) -> bool:
    """What the shipped health check says."""
    check = service("worker")["healthcheck"]
    assert isinstance(check, dict)
    command = check["test"][1].replace("$$", "$")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**live.environment, "HOSTNAME": worker, "PATH": path}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=False).returncode == 0


def process(live: Deployment, worker: str) -> subprocess.Popen[bytes]:
    """A worker's main process."""
    return live.children.running[f"airflow-{worker}"]


def worker_of(live: Deployment, run: LiveRun, task: TaskState) -> str | None:
    """The worker below which a task runs, None if it has just ended."""
    try:
        above = {parent.pid for parent in task_process(run, task).parents()}
    except (psutil.NoSuchProcess, TypeError):
        return None
    found = [name for name in WORKERS if process(live, name).pid in above]
    return found[0] if found else None


def walking(live: Deployment, run: LiveRun) -> dict[str, list[TaskState]]:
    """Partitions that are being walked, by worker."""
    found: dict[str, list[TaskState]] = {}
    for task in run.tasks("full.walk", "running"):
        name = worker_of(live, run, task)
        if name is not None:
            found.setdefault(name, []).append(task)
    return found


def at_once(run: LiveRun) -> int:
    """How many partitions Airflow says were walked at once, at most."""
    instances = [run.api.instance(run.dag_id, run.run_id, "full.walk", number) for number in range(PARTITIONS)]
    changes = sorted(change for one in instances for change in ((one["start_date"], 1), (one["end_date"], -1)))
    return max(itertools.accumulate(change for _, change in changes))


def test_both_workers_walk_within_one_pool_and_one_is_stopped(live: Deployment, store: redis.Redis) -> None:
    """The pool bounds them together: more than one worker has places for, fewer than both have.

    SIGTERM goes to a worker's main process alone, as DUMB_INIT_SETSID=0 has it: it takes nothing new, and its tasks
    end in their first try.
    """
    live.api.resize_pool(POOL, SLOTS)
    run = begin(live, store)
    wait_until(lambda: set(walking(live, run)) == set(WORKERS), lambda: f"one worker does it all: {walking(live, run)}")
    # Time for one more to begin, which must not.
    before = copies(store)
    wait_until(lambda: copies(store) >= before + JOBS // 4, lambda: f"nothing is copied: {run.states()}")
    stopped = process(live, "worker-1")
    before = copies(store)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(180) == 0
    del live.children.running["airflow-worker-1"]
    assert copies(store) > before
    assert_done(live, store, run)
    assert at_once(run) == SLOTS
    assert {task.try_number for task in run.tasks("full.walk")} == {1}


def test_a_killed_worker(live: Deployment, store: redis.Redis) -> None:
    """As with its container everything in it dies; the next tries go on from the checkpoints, where there is room."""
    live.api.resize_pool(POOL, SLOTS)
    run = begin(live, store)

    def on_its_way() -> list[TaskState]:
        tasks = walking(live, run).get("worker-2", [])
        return tasks if all(begun(store, task) for task in tasks) else []

    lost = wait_until(on_its_way, lambda: f"worker-2 has nothing: {run.states()}")
    children = sessions_members({process(live, "worker-2").pid})
    live.kill("worker-2")
    for pid in children:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    assert_done(live, store, run)
    again = {task.map_index for task in run.tasks("full.walk") if task.try_number > 1}
    assert {task.map_index for task in lost} <= again
    for number in again:
        assert any("resumes at" in line for line in run.lines("full.walk", number)), run.told("full.walk", number)
