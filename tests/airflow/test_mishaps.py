"""What goes wrong around a run: another store, steps set to success by hand, a canary that proves nothing."""

import json

import pytest
import redis

from relay_jobs import operations
from relay_jobs.errors import Fenced
from relay_jobs.hook import holding_lease
from relay_jobs.migration import Migration
from relay_jobs.stages import Stage
from tests.airflow.runs import FAILED, SUCCESS, UPSTREAM_FAILED, copies, seed

pytestmark = pytest.mark.airflow

JOBS = {"acme": 60, "tiny": 5}


@pytest.fixture(autouse=True)
def jobs(at_work):
    seed(at_work, JOBS)


@pytest.mark.parametrize("task", ["walk", "close", "verification"])
def test_a_connection_that_is_changed_meanwhile_diverts_nothing(run, at_work, monkeypatch, task):
    before = getattr(operations, task)
    port = at_work.connection_pool.connection_kwargs["port"]
    other = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "extra": {"db": 1}}

    def elsewhere(*args):
        monkeypatch.setenv("AIRFLOW_CONN_RELAY_REDIS", json.dumps(other))
        return before(*args)

    monkeypatch.setattr(operations, task, elsewhere)
    ended = run("relay_backfill", mode="full", rps=None)
    failed = task if task == "verification" else f"full.{task}"
    assert (ended.state, ended.only(FAILED), ended.tries[failed]) == (FAILED, {failed}, 1)
    assert ended.said(f"names 127.0.0.1:{port} db 1, but this run began on 127.0.0.1:{port} db 0")
    with redis.Redis(port=port, db=1) as client:
        assert client.dbsize() == 0


def test_canary_workspaces_without_a_job_are_refused_and_others_named(run, at_work):
    ended = run("relay_backfill", canary_workspaces=["tinny"], approval="auto", rps=None)
    assert ended.only(FAILED) == {"preflight"}
    assert ended.said("none of those given has a legacy job (tinny); the smallest are: tiny, acme")
    assert copies(at_work) == 0


def test_a_canary_whose_jobs_are_gone_proves_nothing(run, at_work, monkeypatch):
    canary = operations.canary

    def gone_meanwhile(context):
        found = canary(context)
        at_work.delete(*at_work.keys("ai:job*:tiny*"))
        return found

    monkeypatch.setattr(operations, "canary", gone_meanwhile)
    ended = run("relay_backfill", canary_workspaces=["tiny"], approval="auto", rps=None)
    assert ended.only(FAILED) == {"verify_canary"}
    assert ended.said("the canary proves nothing: no job was compared")


def test_a_canary_with_errors_proves_nothing(run, at_work, monkeypatch):
    canary = operations.canary
    monkeypatch.setattr(operations, "canary", lambda context: {**canary(context), "errors": 3})
    ended = run("relay_backfill", canary_workspaces=["tiny"], approval="auto", rps=None)
    assert ended.only(FAILED) == {"verify_canary"}
    assert ended.said("the canary proves nothing: 3 keys could not be copied")


def test_a_pass_with_errors_fails_and_says_what_to_clear(run, at_work, monkeypatch):
    monkeypatch.setattr(Migration, "failed_partitions", lambda *_: [0])
    ended = run("relay_backfill", mode="full", rps=None)
    assert (ended.only(FAILED), ended.tries["full.close"]) == ({"full.close"}, 1)
    assert ended.said("see the logs of partition 1 of 1: mend the cause, then clear those tasks of full.walk")
    assert not at_work.exists("ai:migration:lease")


@pytest.mark.parametrize(("by_hand", "failed"), [("canary", "verify_canary"), ("preflight", "dry_run")])
def test_a_step_that_was_set_to_success_by_hand_is_named_by_the_one_that_needs_it(run, by_hand, failed):
    ended = run("relay_backfill", mark_success=by_hand, canary_workspaces=["tiny"], approval="auto", rps=None)
    assert (ended.only(FAILED), ended.tries[failed]) == ({failed}, 1)
    assert ended.said(f"task {by_hand} has left no result")


def test_a_verification_that_was_set_to_success_by_hand_proves_nothing(run):
    ended = run("relay_backfill", mark_success="verification", mode="full", rps=None)
    assert ended.state == SUCCESS
    assert ended.said("verification: no result, its task was set to success by hand")
    assert ended.log[-1] == "next: relay-jobs verify"


def test_a_pass_that_was_set_open_by_hand_is_walked_by_nobody(run, at_work):
    ended = run("relay_backfill", mark_success="full.open", mode="full", rps=None)
    assert ended.state == FAILED
    assert ended.only(UPSTREAM_FAILED) >= {"verification", "report"}
    assert copies(at_work) == 0


def test_a_task_that_was_fenced_leaves_the_lease_to_its_next_try(at_work, bag):
    relay = Migration(at_work, who="test")
    context = {"dag": bag.dags["relay_backfill"], "run_id": "r"}
    relay.open_pass(run="airflow:relay_backfill:r", step="full", rps=None)
    for error, held in ((Fenced("taken over"), 1), (redis.ConnectionError("away"), 0)):
        with pytest.raises(type(error)), holding_lease(relay, context):
            raise error
        assert at_work.exists("ai:migration:lease") == held


def test_a_refusal_of_the_second_workspace_does_not_hide_the_move_of_the_first(run, at_work):
    Migration(at_work, who="test").set_stage(Stage.DUAL_WRITE, "tiny")
    ended = run("relay_stage", action="set", stage="new_only", workspaces=["acme", "tiny"], reason="a test")
    assert ended.state == FAILED
    assert ended.said("acme: new_first -> new_only")
    stages = Migration(at_work, who="test").ladder.recorded().stages
    assert (stages["acme"], stages["tiny"]) == (Stage.NEW_ONLY, Stage.DUAL_WRITE)


def test_all_but_a_named_workspace_left_in_legacy_is_a_warning(run, store):
    migration = Migration(store, who="test")
    for workspace, stage in ((None, Stage.LEGACY), ("tiny", Stage.DUAL_WRITE)):
        migration.set_stage(stage, workspace)
    ended = run("relay_backfill", mode="full", rps=None)
    assert "left out, in stage legacy: every workspace without a stage of its own" in ended.warnings
