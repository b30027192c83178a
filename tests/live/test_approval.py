"""Approvals that are answered the moment they are asked for, when Airflow itself is not ready yet."""

import pytest

from tests.airflow.runs import copies, seed
from tests.live.choice import on

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

JOBS = {"acme": 40, "tiny": 5}
CONF = {"canary_workspaces": ["tiny"], "partitions": 1, "rps": None}


@on("sqlite")
def test_approved_at_once(live, store):
    """Airflow may fail the first try for it; then the question comes again, and no answer is lost."""
    seed(store, JOBS)
    run = live.trigger(**CONF)
    asked = run.answer_whenever_asked("Approve")
    assert run.end() == "success", (asked, run.states(), run.told("approval"))
    assert copies(store) == sum(JOBS.values())
    assert run.returned("full.close")["pass"]["migrated"] == sum(JOBS.values()) - JOBS["tiny"]
    assert "approved by admin" in run.lines("report")[1]


@on()
def test_rejected_at_once(live, store):
    """It stays rejected, and nothing runs after it."""
    seed(store, JOBS)
    run = live.trigger(**CONF)
    run.answer_whenever_asked("Reject")
    assert run.end() == "failed"
    assert copies(store) == JOBS["tiny"]
    assert {task.state for task in run.tasks("full.open")} == {"upstream_failed"}
