"""relay_backfill in every mode, and every way that a run can end."""

import json

import pytest
import redis

from relay_jobs import operations
from relay_jobs.migration import Migration
from tests.airflow.runs import FAILED, SKIPPED, SUCCESS, UPSTREAM_FAILED, copies, everything, seed

pytestmark = pytest.mark.airflow

JOBS = {"acme": 300, "globex": 120, "tiny": 5, "small": 8, "little": 9, "slight": 10}
FULL = {"full.open", "full.walk", "full.close", "verification"}
CANARY = {"canary", "verify_canary"}


@pytest.fixture(autouse=True)
def jobs(at_work):
    seed(at_work, JOBS, invalid=3)


def test_staged_asks_and_then_copies_everything(run, at_work):
    conf = {"mode": "staged", "canary_workspaces": ["tiny"], "rps": None, "partitions": 4}
    ended = run("relay_backfill", mark_success="approval", **conf)
    assert ended.state == SUCCESS
    assert ended.only(SUCCESS) == {"preflight", "dry_run", *CANARY, "approval", *FULL, "report"}
    assert copies(at_work) == sum(JOBS.values())
    assert ended.names == [f"partition {n} of 4" for n in range(1, 5)]
    assert ended.log[-1] == (
        "next: relay-jobs quarantine list, then relay-jobs quarantine ack --reason '...', "
        "then relay-jobs stage set new_only"
    )


def test_approval_auto_says_who_triggered_and_asks_nobody(run, at_work):
    ended = run("relay_backfill", canary_workspaces=["tiny"], approval="auto", rps=None)
    assert ended.state == SUCCESS
    assert ended.said("nobody is asked; the run was triggered by dag_test")
    assert copies(at_work) == sum(JOBS.values())


def test_invalid_records_are_a_warning_and_no_failure(run):
    ended = run("relay_backfill", mode="full", rps=None)
    assert ended.state == SUCCESS
    assert any("3 records are quarantined, 3 of them not acknowledged" in text for text in ended.warnings)
    assert any("invalid: job 'nobody-1': no_workspace" in text for text in ended.warnings)


def test_a_dry_run_counts_and_writes_nothing(run, at_work):
    before = everything(at_work)
    ended = run("relay_backfill", mode="dry_run", rps=None)
    assert ended.state == SUCCESS
    assert ended.only(SKIPPED) == {*CANARY, "approval", *FULL}
    assert ended.said("dry run: 455 keys examined: would migrate 452, invalid 3")
    assert everything(at_work) == before
    (command,) = [line for line in ended.log if line.startswith("next: ")]
    conf = json.loads(command.split("--conf ")[1].strip("'"))
    canary = ["tiny", "small", "little", "slight", "globex"]
    assert conf == {"mode": "staged", "canary_workspaces": canary, "partitions": 1, "rps": None}


def test_a_canary_copies_its_workspaces_only(run, at_work):
    ended = run("relay_backfill", mode="canary", canary_workspaces=["tiny", "small"], rps=None)
    assert ended.state == SUCCESS
    assert ended.only(SKIPPED) == {"dry_run", "approval", *FULL}
    assert copies(at_work) == JOBS["tiny"] + JOBS["small"]


def test_a_canary_that_ends_at_max_keys_is_clean_as_far_as_it_went(run, at_work):
    ended = run("relay_backfill", mode="canary", canary_workspaces=["acme"], max_keys=50, rps=None)
    assert ended.state == SUCCESS
    assert copies(at_work) == 50
    assert ended.said("250 jobs are missing: the canary ended at max_keys")
    assert ended.said("verification of the canary: clean as far as it went, 50 jobs equal")


def test_full_copies_without_asking(run, at_work):
    ended = run("relay_backfill", mode="full", rps=None)
    assert ended.state == SUCCESS
    assert ended.only(SKIPPED) == {"dry_run", *CANARY, "approval"}
    assert copies(at_work) == sum(JOBS.values())


def test_again_on_the_same_data_nothing_is_copied_and_it_says_so(run):
    run("relay_backfill", mode="full", rps=None)
    ended = run("relay_backfill", mode="full", rps=None)
    assert ended.state == SUCCESS
    assert not any(" migrated " in line and "/s ·" in line for line in ended.log)
    assert any(line.split()[:2] == ["migrated", "0"] for line in ended.log)


def test_only_the_workspaces_of_the_run_are_copied(run, at_work):
    ended = run("relay_backfill", mode="full", workspaces=["globex"], rps=None)
    assert ended.state == SUCCESS
    assert copies(at_work) == JOBS["globex"]
    assert ended.log[-1] == "next: relay-jobs stage set new_only --workspace globex"


def refused(ended) -> bool:
    """Nothing ran after preflight, and preflight was not tried twice."""
    behind = set(ended.tasks) - {"preflight"}
    return ended.state == FAILED and ended.only(UPSTREAM_FAILED) == behind and ended.tries["preflight"] == 1


def test_an_unknown_key_of_the_run_config_is_refused_by_name(run, at_work):
    before = everything(at_work)
    ended = run("relay_backfill", mode="full", workspace="acme")
    assert refused(ended)
    assert ended.said("unknown in the run config: 'workspace'; known are approval, batch, canary_workspaces")
    assert everything(at_work) == before


def test_a_newline_after_a_workspace_is_refused_by_preflight(run):
    ended = run("relay_backfill", mode="full", workspaces=["acme\n"])
    assert refused(ended)
    assert ended.said(r"invalid workspace id 'acme\n'")


@pytest.mark.parametrize("mode", ["staged", "canary"])
def test_without_canary_workspaces_it_is_refused_and_the_five_smallest_are_named(run, mode):
    ended = run("relay_backfill", mode=mode)
    assert refused(ended)
    assert ended.log[-2:] == [
        f"this run in mode {mode} is refused; nothing was written",
        f"  - mode {mode} needs canary_workspaces; the smallest are: tiny, small, little, slight, globex",
    ]


def test_a_run_longer_than_max_hours_is_refused(run):
    ended = run("relay_backfill", mode="full", rps=1, max_hours=0.1)
    assert refused(ended)
    assert ended.said("more than max_hours = 0.1: raise rps or max_hours")


def test_what_writes_is_refused_while_no_stage_is_recorded(run, at_work):
    at_work.delete("ai:migration:stages")
    ended = run("relay_backfill", mode="full")
    assert refused(ended)
    assert ended.said("no stage is recorded")


def test_a_canary_that_is_not_clean_ends_the_run(run, at_work):
    at_work.hset("ai:job:tiny:stray", mapping={"job_id": "stray", "workspace_id": "tiny", "status": "pending"})
    ended = run("relay_backfill", canary_workspaces=["tiny"], approval="auto", rps=None)
    assert ended.state == FAILED
    assert ended.only(FAILED) == {"verify_canary"}
    assert ended.only(UPSTREAM_FAILED) == {"approval", *FULL, "report"}
    assert ended.tries["verify_canary"] == 1
    assert ended.said("not clean: extra 1; look at the samples above, then relay-jobs verify --repair --workspace tiny")
    assert copies(at_work) == JOBS["tiny"] + 1


def test_a_verification_that_is_not_clean_fails_the_run(run, at_work):
    at_work.hset("ai:job:acme:acme-7", mapping={"job_id": "acme-7", "workspace_id": "acme", "status": "failed"})
    ended = run("relay_backfill", mode="full", rps=None)
    assert ended.state == FAILED
    assert ended.only(FAILED) == {"verification"}
    assert ended.said("conflict: job 'acme-7' of workspace acme")
    assert ended.said("not clean: different 1")


def test_another_run_at_work_is_named_and_this_one_refused_at_once(run, at_work):
    Migration(at_work, who="test").open_pass(run="cli:somebody", step="backfill", rps=None)
    ended = run("relay_backfill", mode="full", rps=None, on_busy="refuse")
    assert ended.state == FAILED
    assert (ended.only(FAILED), ended.tries["preflight"]) == ({"preflight"}, 1)
    assert ended.said("held by cli:somebody")
    assert copies(at_work) == 0


def test_a_partition_that_is_cut_off_is_tried_again_and_goes_on(run, at_work, monkeypatch):
    whole = Migration.walk
    cut = []

    def cut_off(self, opened, partition, owner, **how):
        for number, report in enumerate(whole(self, opened, partition, owner, **how)):
            yield report
            if not cut and number == 1:
                cut.append(report)
                raise redis.exceptions.ConnectionError("connection reset")

    monkeypatch.setattr(Migration, "walk", cut_off)
    ended = run("relay_backfill", mode="full", batch=10, rps=None)
    assert ended.state == SUCCESS
    assert ended.tries["full.walk"] == 2
    assert ended.said("an unfinished walk goes on")
    assert copies(at_work) == sum(JOBS.values())


def test_the_lease_is_given_back_at_the_end(run, at_work):
    run("relay_backfill", canary_workspaces=["tiny"], approval="auto", rps=None)
    assert not at_work.exists("ai:migration:lease")


def test_a_task_that_is_cleared_after_its_end_walks_its_partition_again(run, at_work, monkeypatch):
    missing = "ai:job:acme:acme-7"
    walk, walks = operations.walk, []

    def walk_twice(context, opened, partition):
        walk(context, opened, partition)
        walks.append(partition)
        if len(walks) == 1:
            # As if somebody cleared the task: Airflow starts it again, and keeps what it has stored.
            at_work.delete(missing)
            raise redis.exceptions.ConnectionError("begin again")

    monkeypatch.setattr(operations, "walk", walk_twice)
    ended = run("relay_backfill", mode="full", rps=None)
    assert (ended.state, ended.tries["full.walk"]) == (SUCCESS, 2)
    assert ended.said("was cleared: it is walked again")
    assert at_work.exists(missing)
