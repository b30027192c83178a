"""What becomes of a backfill when a process of Airflow dies under it."""

import pytest

from tests.live.choice import on
from tests.live.runs import OVER
from tests.live.scenes import assert_done, begin, begun, held, task_process, walking
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@on("sqlite")
def test_a_killed_task_is_tried_again(live, store):
    """The next try goes on from the checkpoint; the triggerer, killed as well, is missed by nobody."""
    run = begin(live, store)
    live.kill("triggerer")
    (task, *_) = wait_until(lambda: [each for each in walking(run) if begun(store, each)], lambda: f"{run.states()}")
    task_process(run, task).kill()
    assert_done(live, store, run)
    (again,) = [each for each in run.tasks("full.walk") if each.map_index == task.map_index]
    assert again.try_number == 2
    assert any("resumes at" in line for line in run.lines("full.walk", task.map_index))


@on()
def test_a_killed_supervisor(live, store):
    """Its task ends by itself; Airflow misses the heartbeats and tries it again."""
    run = begin(live, store)
    (task, *_) = walking(run)
    process = task_process(run, task)
    process.parent().kill()
    assert_done(live, store, run)
    assert not process.is_running()
    (again,) = [each for each in run.tasks("full.walk") if each.map_index == task.map_index]
    assert again.try_number == 2


@on("postgres")
def test_a_killed_scheduler_leaves_tasks_that_work_beside_their_second_try(live, store):
    """The new scheduler starts what the old one had started; both tries are there at once, and the books are exact."""
    # As many as there are slots: held walks of other partitions would keep the second tries out.
    run = begin(live, store, partitions=2)
    migration = held(store)
    old = [task_process(run, task) for task in walking(run, count=2)]
    live.kill("scheduler")
    live.revive("scheduler")
    walking(run, try_number=2)
    beside = [process for process in old if process.is_running()]
    migration.resume()
    assert beside, "the first tries had ended before the second ones began"
    assert_done(live, store, run)
    assert not any(process.is_running() for process in old)


@on()
def test_a_stopped_task_wakes_beside_its_second_try(live, store):
    """A machine that was suspended: nobody is left who would end the task, but the store refuses what it writes."""
    run = begin(live, store, partitions=2)
    migration = held(store)
    (task, *_) = walking(run)
    process = task_process(run, task)
    supervisor = process.parent()
    supervisor.suspend()
    process.suspend()
    again = {each.map_index for each in walking(run, try_number=2)}
    assert task.map_index in again
    migration.resume()
    process.resume()
    wait_until(lambda: run.tasks("full.walk", "success"), lambda: f"no walk ends: {run.states()}")
    supervisor.resume()
    assert_done(live, store, run)
    assert not process.is_running()


@on()
def test_a_killed_api_server(live, store):
    """Walks go on without it; what they could not report is walked again, and was walked before."""
    run = begin(live, store)
    live.kill("api-server")
    # Every walk under way comes to its end meanwhile.
    wait_until(lambda: not live.working(), lambda: f"tasks go on: {live.working()}")
    live.revive("api-server")
    assert_done(live, store, run)


@on("postgres", also=("postgres",))
def test_a_restart_of_the_database(live, store):
    """PostgreSQL cuts off everyone; components that end by it are started again, and the tasks never notice."""
    run = begin(live, store)
    live.restart_database()
    ended: set[str] = set()

    def over() -> bool:
        ended.update(live.revive_dead())
        return run.state in OVER

    wait_until(over, lambda: f"the run does not end: {run.states()}, {ended} were started again", patience=240)
    assert "api-server" not in ended
    assert_done(live, store, run)
