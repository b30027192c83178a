"""The approval: what it shows, who answers, and what an answer does to the run."""

from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import AirflowFailException

from relay_jobs.approval import Promotion
from relay_jobs.report import approval_form
from tests.airflow.runs import FAILED, SUCCESS, UPSTREAM_FAILED, copies, seed

RESULTS = {
    "preflight": {
        "target": "store:6379 db 0",
        "predicted_full_seconds": 4000,
        "predicted_bytes": 3 * 1024**2,
        "invalid": {"no_workspace": 1200, "wrong_type": 3},
        "warnings": ["workspace ghost has no legacy job"],
    },
    "dry_run": {"scanned": 31_203, "would_migrate": 30_000, "exists": 0, "conflict": 0, "invalid": 1203, "errors": 0}
    | {"complete": True, "workspaces": []},
    "canary": {"scanned": 500, "migrated": 97, "exists": 0, "conflict": 2, "invalid": 0, "errors": 0}
    | {"complete": False, "workspaces": ["tiny", "small"]},
    "verify_canary": {"equal": 97, "different": 0, "missing": 0, "extra": 0, "quarantined": 0, "errors": 0}
    | {"passed": True, "said": "clean as far as it went"},
}
ANSWER = {"params_input": {"comment": "not on a Friday"}, "responded_at": datetime(2026, 1, 1, tzinfo=UTC)}
REJECTED = {**ANSWER, "chosen_options": ["Reject"], "responded_by_user": {"id": "1", "name": "ada"}}
APPROVED = {**REJECTED, "chosen_options": ["Approve"]}
TIMED_OUT = {"error": "no answer", "error_type": "timeout"}


@pytest.mark.parametrize(
    "said",
    [
        "| Store | store:6379 db 0 |",
        "| Triggered by | grace |",
        "| To copy | 30,000 jobs |",
        "| Predicted duration, with the verification | 1 h 06 min |",
        "| Predicted memory for the second copy | 3.0 MiB |",
        "- workspace ghost has no legacy job",
        "| keys | dry run of all workspaces | canary: tiny, small | |",
        "| migrated | 30,000 | 97 | would be copied; was copied whole |",
        "| conflict | 0 | 2 |",
        "Ended at `max_keys`, before the end: canary.",
        "no_workspace 1,200, wrong_type 3",
        "### Verification of the canary: clean as far as it went",
        "| equal | 97 |",
        "**Reject** fails this run",
    ],
)
def test_the_form_shows_what_there_is_to_decide_on(said):
    assert said in approval_form(RESULTS, "grace")


def test_a_name_cannot_make_a_table_an_image_or_a_link_of_itself():
    form = approval_form(RESULTS, "eve | ![x](http://example.com)\n# done")
    assert r"| Triggered by | eve \| \!\[x\]\(http://example.com\) \# done |" in form


@pytest.fixture
def answered(monkeypatch, at_work):
    """Lets the approval be answered at once, as Airflow's API would resume it."""
    seed(at_work, {"acme": 50, "tiny": 5})

    def answer(event):
        def execute(self, context):
            self.execute_complete(context, event)

        monkeypatch.setattr(Promotion, "execute", execute)

    return answer


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("event", "words"),
    [
        (REJECTED, "rejected by ada (not on a Friday); the full backfill does not begin"),
        (TIMED_OUT, "nobody answered within 24 h 00 min; the full backfill does not begin"),
    ],
    ids=["rejected", "timed out"],
)
def test_without_an_approval_the_run_fails_with_its_reason_and_nothing_runs_after_it(
    run, at_work, answered, event, words
):
    answered(event)
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    assert ended.state == FAILED
    assert ended.only(FAILED) == {"approval"}
    assert ended.tries["approval"] == 1
    assert ended.only(UPSTREAM_FAILED) == {"full.open", "full.walk", "full.close", "verification", "report"}
    assert ended.said(words)
    assert copies(at_work) == 5
    assert not at_work.exists("ai:migration:lease")


@pytest.mark.airflow
def test_who_approved_and_why_is_in_the_report(run, answered, monkeypatch):
    def execute(self, context):
        return self.execute_complete(context, APPROVED)

    answered(APPROVED)
    monkeypatch.setattr(Promotion, "execute", execute)
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    assert ended.state == SUCCESS
    assert ended.said("mode staged, triggered by dag_test, approved by ada (not on a Friday)")


def test_without_a_clean_canary_not_even_auto_passes(bag):
    class NothingRan:
        def xcom_pull(self, task_ids):
            return None

    class SomeRun:
        triggering_user_name = "grace"

    promotion = bag.dags["relay_backfill"].get_task("approval")
    with pytest.raises(AirflowFailException, match="no clean verification of the canary"):
        Promotion.execute.__wrapped__(
            promotion, {"ti": NothingRan(), "dag_run": SomeRun(), "params": {"approval": "auto"}}
        )
