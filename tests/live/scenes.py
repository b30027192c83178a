"""A backfill that goes on for a while, and what has to be so when everything is over, whatever was done to it."""

from __future__ import annotations

import psutil
import redis

from demo.rest import TaskState
from relay_jobs import keys
from relay_jobs.migration import Migration
from tests.airflow.runs import copies, seed
from tests.live.deployment import Deployment
from tests.live.runs import LiveRun
from tests.live.waiting import wait_until

WORKSPACES = {"acme": 900, "globex": 300}
JOBS = sum(WORKSPACES.values())
PARTITIONS = 4
LEASE_SECONDS = 30

RPS = 80
SLOWLY = {"mode": "full", "partitions": PARTITIONS, "rps": RPS, "batch": 10}


def begin(live: Deployment, store: redis.Redis, **conf: object) -> LiveRun:
    """Start a slow full backfill, and wait until it has copied something and is far from its end."""
    seed(store, WORKSPACES)
    run = live.trigger(**{**SLOWLY, **conf})
    wait_until(lambda: copies(store) >= JOBS // 20, lambda: f"nothing is copied: {run.states()}")
    return run


def walking(run: LiveRun, try_number: int = 1, count: int = 1) -> list[TaskState]:
    """Partitions that are being walked, in this try or a later one."""

    def found() -> list[TaskState]:
        tasks = [task for task in run.tasks("full.walk", "running") if task.try_number >= try_number]
        return tasks if len(tasks) >= count else []

    return wait_until(found, lambda: f"not {count} walks in try {try_number}: {run.states()}")


def begun(store: redis.Redis, task: TaskState) -> bool:
    """Whether a partition of a backfill of everything has a checkpoint that its next try goes on from."""
    return bool(store.hexists(keys.progress(keys.scope_name(())), f"cursor:{task.map_index}"))


def task_process(run: LiveRun, task: TaskState) -> psutil.Process:
    """The process of a running task; its parent is the supervisor."""
    return psutil.Process(run.pid(task))


def held(store: redis.Redis) -> Migration:
    """The migration, paused: walks stay where they are, and running, until it is resumed."""
    migration = Migration(store, who="test")
    migration.pause("a test")
    return migration


def assert_done(live: Deployment, store: redis.Redis, run: LiveRun) -> None:
    """The run is green and has done its work: the books say what there is, and nothing is left behind."""
    assert run.end() == "success", f"{run.states()}\n{failures(run)}"
    books = run.returned("full.close")
    assert books["complete"]
    assert books["pass"]["errors"] == books["pass"]["conflict"] == 0
    # Each copy is in the books once, whoever was killed and whatever was done twice.
    assert books["pass"]["migrated"] == JOBS == copies(store), books
    # All tasks together stayed below the run's limit, with one second's burst.
    assert books["scanned"] <= RPS * (books["duration_seconds"] + 1), books
    assert run.returned("verification")["equal"] == JOBS
    assert_settled(live, store)


def assert_settled(live: Deployment, store: redis.Redis) -> None:
    """Every job has an equal copy, nobody holds a lease, and no process works any more."""
    checking = Migration(store, who="test").verify()
    for _ in checking:
        pass
    verdict = checking.verdict
    assert verdict.verified, verdict
    assert verdict.equal == JOBS
    assert_no_lease(store)
    wait_until(lambda: not live.working(), lambda: f"a task goes on: {live.working()}", patience=60)


def assert_no_lease(store: redis.Redis) -> None:
    """No lease is left but one that ends by itself."""
    names = [keys.LEASE, *(keys.partition_lease("all", number) for number in range(PARTITIONS))]
    left = {name: store.pttl(name) for name in names if store.exists(name)}
    assert all(0 < ttl <= LEASE_SECONDS * 1000 for ttl in left.values()), left


def failures(run: LiveRun) -> str:
    """What the failed tasks said, to be read in a test's report."""
    return "\n".join(run.told(task.task_id, task.map_index)[-2000:] for task in run.all_tasks("failed"))
