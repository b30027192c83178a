"""A connection that is missing or wrong: preflight fails at once, in words that say what to do."""

import pytest

from relay_jobs.airflow import CONNECTION
from tests.airflow.runs import copies, seed
from tests.live.choice import on

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def refused(live, patience=120.0):
    """A run that ends in preflight; what that said, and in how many tries."""
    run = live.trigger(mode="dry_run")
    assert run.end(patience) == "failed"
    (task,) = run.tasks("preflight")
    assert {each.state for each in run.tasks("report")} == {"upstream_failed"}
    return "\n".join(run.lines("preflight")), task.try_number


@on("sqlite")
def test_no_connection(live, store):
    """It is named, with where to add it; once it is there a new run ends well, with no partition to map over."""
    live.api.disconnect(CONNECTION)
    said, tries = refused(live)
    assert "there is no connection 'relay_redis': add it under Admin, Connections" in said
    assert tries == 1
    live.connect()
    seed(store, {"acme": 30})
    run = live.trigger(mode="dry_run", rps=None)
    assert run.end() == "success", run.states()
    assert {task.state for task in run.tasks("full.walk")} == {"skipped"}
    assert run.lines("report")[2].startswith("dry run: 30 keys examined: would migrate 30")
    assert copies(store) == 0


@on()
def test_a_database_in_the_path(live):
    """Airflow's hook would use database 0 without a word."""
    live.connect(schema="3")
    said, tries = refused(live)
    assert "it names database '3' in its path (schema), which Airflow's Redis hook ignores" in said
    assert tries == 1


@on()
def test_a_server_that_is_not_there(live):
    """It is tried again, as a restart would look the same, and the log names host and port."""
    live.connect(port=1)
    said, tries = refused(live, patience=240)
    assert "the store at 127.0.0.1:1 does not answer connection relay_redis" in said
    assert tries == 3
