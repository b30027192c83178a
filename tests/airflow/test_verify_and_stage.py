"""relay_verify and relay_stage, each as an operator uses it."""

import pytest

from relay_jobs.migration import Migration
from relay_jobs.stage_moves import complaint
from relay_jobs.stages import Stage
from tests.airflow.runs import FAILED, SUCCESS, copies, seed

pytestmark = pytest.mark.airflow


@pytest.fixture
def missing_copies(at_work):
    """Legacy jobs of which none has a copy."""
    seed(at_work, {"acme": 20, "tiny": 3})
    return at_work


def test_a_verification_names_what_is_missing_and_fails(run, missing_copies):
    ended = run("relay_verify", workspaces=["tiny"])
    assert ended.state == FAILED
    assert ended.tries["verification"] == 1
    assert ended.said("missing: job 'tiny-1' of workspace tiny")
    assert ended.said("not clean: missing 3; look at the samples above, then run the backfill again")


def test_a_repair_mends_it_and_gives_the_lease_back(run, missing_copies):
    ended = run("relay_verify", repair=True)
    assert ended.state == SUCCESS
    assert ended.said("23 jobs were made equal")
    assert copies(missing_copies) == 23
    assert not missing_copies.exists("ai:migration:lease")
    assert run("relay_verify").state == SUCCESS


def test_an_unknown_key_is_refused(run, missing_copies):
    ended = run("relay_verify", workspace="tiny")
    assert ended.state == FAILED
    assert ended.said("unknown in the run config: 'workspace'; known are repair, workspaces")


def test_show_says_what_is_in_force_and_what_comes_next(run, at_work):
    ended = run("relay_stage")
    assert ended.state == SUCCESS
    assert "in force: all others new_first" in ended.log
    assert ended.log[-1].startswith("next: ")


def test_show_without_a_recorded_stage_warns(run, store):
    ended = run("relay_stage")
    assert ended.state == SUCCESS
    assert any("no stage is recorded: each process goes by its own flags" in text for text in ended.warnings)


def test_set_moves_one_rung(run, store):
    seed(store, {"acme": 1})
    assert run("relay_stage", action="set", stage="legacy").state == SUCCESS
    ended = run("relay_stage", action="set", stage="dual_write")
    assert ended.said("legacy -> dual_write")
    assert "in force: all others dual_write" in ended.log


def test_a_gate_that_does_not_hold_says_every_reason_and_is_not_tried_twice(run, store):
    seed(store, {"acme": 1})
    Migration(store, who="test").set_stage(Stage.DUAL_WRITE)
    ended = run("relay_stage", action="set", stage="new_first")
    assert ended.state == FAILED
    assert ended.tries["move"] == 1
    assert ended.said("nobody has stated that no process without the library writes any more")
    assert ended.said("a verification in dual_write, begun after that statement, is needed")


def test_a_gate_is_overridden_with_a_reason_only_and_that_is_said(run, store):
    seed(store, {"acme": 1})
    Migration(store, who="test").set_stage(Stage.DUAL_WRITE)
    ended = run("relay_stage", action="set", stage="new_first", reason="a rehearsal on a copy")
    assert ended.state == SUCCESS
    assert any(text.startswith("overridden: nobody has stated") for text in ended.warnings)


def test_rollback_of_everything(run, at_work):
    seed(at_work, {"acme": 1})
    ended = run("relay_stage", action="rollback", all=True)
    assert ended.state == SUCCESS
    assert ended.said("new_first -> dual_write")
    assert "in force: all others dual_write" in ended.log


def test_params_that_do_not_belong_together_are_refused(run, at_work):
    ended = run("relay_stage", action="rollback")
    assert ended.state == FAILED
    assert ended.tries["move"] == 1
    assert ended.said("action 'rollback' needs either workspaces, or all")
    assert at_work.hget("ai:migration:stages", "*") == b"new_first"


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"action": "set"}, "action 'set' needs a stage"),
        ({"action": "rollback", "all": True, "workspaces": ["acme"]}, "needs either workspaces, or all"),
        ({"action": "set", "stage": "legacy", "all": True}, "all belongs to action 'rollback'"),
        ({"action": "show", "stage": "legacy"}, "belong to action 'set', not to 'show'"),
        ({"action": "rollback", "all": True, "reason": "why not"}, "belong to action 'set', not to 'rollback'"),
    ],
    ids=str,
)
def test_what_is_wrong_with_them_is_said(bag, conf, words):
    assert words in complaint({**bag.dags["relay_stage"].params.dump(), **conf})
