"""The pool bounds how many partitions run at once, over all runs, and can be changed while they run."""

from collections.abc import Callable

import pytest
import redis

from relay_jobs import keys
from relay_jobs.airflow import POOL
from tests.airflow.runs import seed
from tests.live.choice import on
from tests.live.deployment import Deployment
from tests.live.runs import LiveRun
from tests.live.scenes import JOBS, WORKSPACES, assert_settled
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

IN_POOL = ("canary", "full.walk", "full.close")
RPS_PER_SLOT = 12


def in_pool(*runs: LiveRun) -> int:
    """How many tasks of the pool run at this moment."""
    return sum(task.task_id in IN_POOL for run in runs for task in run.all_tasks("running"))


def examined(store: redis.Redis) -> dict[str, int]:
    """Examined keys of each partition."""
    raw = store.hgetall(keys.progress("all"))
    return {name.decode(): int(value) for name, value in raw.items() if name.startswith(b"scanned:")}


def walked_at_once(store: redis.Redis) -> set[str]:
    """Partitions that have begun and are not at their end, by the books."""
    raw = store.hgetall(keys.progress("all"))
    names = {state: {n.decode().split(":")[1] for n in raw if n.startswith(state)} for state in (b"scanned:", b"done:")}
    return names[b"scanned:"] - names[b"done:"]


def walked_beside(store: redis.Redis, slots: int) -> float:
    """How many times as much all partitions examine as the busiest of them does: by the books, not by the clock."""
    wait_until(lambda: len(walked_at_once(store)) == slots, lambda: f"{walked_at_once(store)} in {slots} slots")
    before, grown = examined(store), {"": 0}

    def enough() -> bool:
        grown.update({name: count - before.get(name, 0) for name, count in examined(store).items()})
        return max(grown.values()) >= 2 * RPS_PER_SLOT

    wait_until(enough, lambda: f"nothing is examined in {slots} slots: {grown}")
    return sum(grown.values()) / max(grown.values())


def resized(live: Deployment, slots: int, running: Callable[[], int]) -> None:
    """Give the pool so many slots, and wait until they are taken."""
    live.api.resize_pool(POOL, slots)
    wait_until(lambda: running() == slots, lambda: f"{running()} tasks run in {slots} slots")


@on("postgres")
def test_slots_are_what_runs_at_once(live, store):
    """More slots, more partitions and keys at once; fewer, and the next one waits for those that are under way."""
    seed(store, WORKSPACES)
    run = live.trigger(mode="full", partitions=8, rps=None, rps_per_slot=RPS_PER_SLOT, batch=5)
    resized(live, 2, lambda: in_pool(run))
    two = walked_beside(store, 2)
    resized(live, 4, lambda: in_pool(run))
    four = walked_beside(store, 4)
    # A partition that comes to its end while it is counted takes something away.
    assert 1.2 <= two <= 2.1
    assert two + 1 <= four <= 4.2
    live.api.resize_pool(POOL, 1)
    most = []

    def shrunk() -> bool:
        most.append(in_pool(run))
        return most[-1] <= 1

    wait_until(shrunk, lambda: f"{most[-1]} tasks run in one slot")
    live.api.resize_pool(POOL, 8)
    assert run.end() == "success"
    assert max(most) <= 4
    assert run.returned("full.close")["pass"]["migrated"] == JOBS
    assert_settled(live, store)


@on()
def test_slots_are_shared_by_all_runs(live, store):
    """The canary of a second run takes one of them, while it waits for the lease."""
    seed(store, WORKSPACES)
    first = live.trigger(mode="full", partitions=8, rps=None, rps_per_slot=RPS_PER_SLOT, batch=5)
    first.wait_for("full.walk", "running", count=2)
    second = live.trigger(mode="canary", canary_workspaces=["globex"], rps=None)
    second.wait_for("canary", "running")
    most = []

    def canary_over() -> bool:
        most.append(in_pool(first, second))
        return not second.tasks("canary", "running", "up_for_retry", "scheduled", "queued")

    wait_until(canary_over, lambda: f"the canary does not end: {second.states()}", patience=200)
    assert max(most) == 2
    assert first.end() == "success"
    assert_settled(live, store)
