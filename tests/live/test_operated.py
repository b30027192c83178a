"""What an operator does to running and finished backfills: a paused DAG, clearing, a second run."""

import pytest

from tests.airflow.runs import copies
from tests.live.choice import on
from tests.live.deployment import SLOTS
from tests.live.scenes import JOBS, PARTITIONS, SLOWLY, assert_done, assert_settled, begin, held, walking
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@on()
def test_a_paused_dag(live, store):
    """Walks that are under way come to their end, and nothing else begins until the DAG goes on."""
    run = begin(live, store)
    live.api.pause("relay_backfill", paused=True)
    wait_until(lambda: not run.tasks("full.walk", "running"), lambda: f"walks go on: {run.states()}")
    assert run.state == "running"
    assert copies(store) < JOBS
    live.api.pause("relay_backfill", paused=False)
    assert_done(live, store, run)


@on()
def test_a_cleared_partition_is_walked_again(live, store):
    """With all that comes after it; the others are not, and each copy stays in the books once."""
    run = begin(live, store, rps=None)
    assert run.end() == "success"
    run.clear(("full.walk", 1))
    assert_done(live, store, run)
    assert [task.try_number for task in run.tasks("full.walk")] == [1, 2, 1, 1]
    (walked,) = [line for line in run.lines("full.walk", 1) if "walked to its end" in line]
    assert "exists" in walked
    assert "it was walked before" not in walked
    assert run.returned("full.close")["pass"]["exists"] >= JOBS // PARTITIONS // 2


@on()
def test_a_cleared_run_begins_anew(live, store):
    """A pass that was complete is made once more, and finds its copies."""
    run = begin(live, store, rps=None)
    assert run.end() == "success"
    live.api.clear_run(run.dag_id, run.run_id)
    assert run.end() == "success"
    again = run.returned("full.close")["pass"]
    assert again["migrated"] == 0
    assert again["exists"] == again["scanned"] >= JOBS
    assert_settled(live, store)


@on()
def test_a_run_goes_on_with_the_pass_of_one_that_was_marked_as_failed(live, store):
    """Its tasks are ended; the new run waits until the lease has ended, and copies what is left."""
    run = begin(live, store)
    live.api.end_run(run.dag_id, run.run_id)
    wait_until(lambda: not live.working(), lambda: f"a task goes on: {live.working()}")
    copied = copies(store)
    assert 0 < copied < JOBS
    again = live.trigger(**SLOWLY)
    assert_done(live, store, again)
    assert any("an unfinished pass goes on" in line for line in again.lines("full.open"))
    assert again.returned("full.close")["migrated"] == JOBS - copied


@on()
def test_a_second_run_waits_until_the_first_is_over(live, store):
    """With ``on_busy=wait``, as long as that is within the lease."""
    first = begin(live, store, rps=None)
    second = live.trigger(**{**SLOWLY, "on_busy": "wait", "rps": None})
    assert_done(live, store, first)
    assert second.end() == "success", second.states()
    assert_settled(live, store)


@on()
def test_a_second_run_is_refused_while_the_first_is_at_work(live, store):
    """At once with ``on_busy=refuse``, and without a word in the first one's books; it names who is at work."""
    first = begin(live, store, partitions=SLOTS)
    # Paused, so that no slot of the pool becomes free for a step of the second one.
    migration = held(store)
    walking(first, count=SLOTS)
    second = live.trigger(**{**SLOWLY, "on_busy": "refuse"})
    assert second.end() == "failed"
    said = "\n".join(second.lines("preflight"))
    assert f"the lease of this database is held by airflow:relay_backfill:{first.run_id}" in said
    assert {task.state for task in second.tasks("full.walk")} <= {"upstream_failed"}
    assert second.returned("report") is None
    migration.resume()
    assert_done(live, store, first)
