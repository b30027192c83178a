"""A short run of the load program: every answer is right beside a backfill and moving stages, at whatever rate."""

import pytest

from benchmarks.api import Options, run
from benchmarks.api_ledger import Ledger, action_of
from tests.servers import Server

pytestmark = pytest.mark.redis

QUICK = Options(seconds=5, rate=100, jobs=1500, workspaces=3, connections=6, hold=0.5, backfill_rps=1500, rounds=3)


def test_every_answer_is_right(real_server: Server) -> None:
    """No job twice, partial, stale, foreign or missing, and no unasked refusal, through moves up and down."""
    report = run(real_server.port, QUICK)
    assert report["wrong"] == 0, report["first_wrong"]
    assert set(report["statuses"]) == {"200", "202", "404"}
    meanwhile = report["meanwhile"]
    assert min(meanwhile[what] for what in ("walks", "rolled back", "moved to new_first")) >= 3
    # A polite backfill may not come to its end beside so much traffic.
    assert meanwhile["finished"] >= 1
    assert meanwhile.get("backfills ended", 0) + meanwhile.get("backfills stopped", 0) >= 1


JOB = {
    "job_id": "j",
    "status": "completed",
    "action": action_of("acme"),
    "result": {"done": "j"},
    "error": None,
    "duration_ms": 1,
    "enqueued_at": "x",
    "started_at": "x",
    "finished_at": "x",
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"action": action_of("beta")}, "foreign or partial"),
        ({"status": "pending", "result": None}, "stale"),
        ({"result": None}, "no result"),
        ({"enqueued_at": None}, "no enqueued_at"),
        ({"duration_ms": None}, "no times"),
        ({"params": {}}, "fields"),
        ({"status": "running"}, "a result before the end"),
    ],
    ids=repr,
)
def test_the_ledger_tells_what_is_wrong_with_a_job(changes: dict[str, object], said: str) -> None:
    """Each way in which an answer can be wrong is found, and a right one is not."""
    ledger = Ledger(1)
    ledger.created("acme", ["j"], rank=2)
    ledger.met("acme", {**JOB, **changes}, ledger.any_job("acme")[1], "read")
    assert said in "".join(ledger.wrong)
    assert bool(ledger.wrong) == bool(said)


def test_the_ledger_tells_what_is_wrong_with_a_walk() -> None:
    """A job twice, and one that was there before and is not met."""
    ledger = Ledger(1)
    ledger.created("acme", ["j", "k"], rank=2)
    ledger.walked("acme", ledger.known("acme"), [JOB, JOB])
    assert sorted(ledger.wrong) == ["walk: job j of acme: 2 times", "walk: job k of acme: missing"]
