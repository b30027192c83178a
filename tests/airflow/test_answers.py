"""A run waits for its approval: somebody is told, answers, and what was said is kept."""

import email
import html
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Queue
from threading import Thread

import pytest
import redis
from airflow.sdk._shared.secrets_masker import redact
from fastapi.testclient import TestClient

from relay_jobs.migration import Migration
from tests.airflow.inboxes import mailbox, webhook
from tests.airflow.runs import FAILED, SUCCESS, copies, seed

pytestmark = pytest.mark.airflow

DAG = "/api/v2/dags/relay_backfill"


@pytest.fixture(autouse=True)
def jobs(at_work):
    seed(at_work, {"acme": 50, "tiny": 5}, invalid=2)


@pytest.fixture
def hook(monkeypatch):
    with webhook() as (port, posted):
        monkeypatch.setenv("AIRFLOW_CONN_CHAT_OPS", f"http://127.0.0.1:{port}/")
        monkeypatch.setenv("RELAY_JOBS_APPROVAL_WEBHOOKS", "chat_ops")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example.com")
        yield posted


@dataclass
class Person:
    """Waits to be told that a run waits, then answers its form as Airflow's UI does."""

    told: Queue[dict[str, str]]
    api: TestClient
    headers: Callable[..., dict[str, str]]
    text: str = ""
    statuses: list[int] = field(default_factory=list)

    def answer(self, option: str, comment: str = "", names: Sequence[str] = ("ada",)) -> Thread:
        thread = Thread(target=self._answer, args=(option, comment, names))
        thread.start()
        return thread

    def _answer(self, option: str, comment: str, names: Sequence[str]) -> None:
        self.text = self.told.get(timeout=60)["text"]
        where = f"{DAG}/dagRuns/{self.text.split('run ')[1].split(',')[0]}/taskInstances/approval"
        given = {"chosen_options": [option], "params_input": {"comment": comment}}
        for name in names:
            who = self.headers("user", name)
            while self.api.get(where, headers=who).json()["state"] != "awaiting_input":
                time.sleep(0.05)
            self.statuses.append(self.api.patch(f"{where}/-1/hitlDetails", headers=who, json=given).status_code)


@pytest.fixture
def person(hook, server, logged_in):
    return Person(hook, server, logged_in)


def last_answer(store):
    return next(event for event in Migration(store).status()["history"] if event["event"] == "approval")


def test_an_approval_begins_the_backfill_and_is_in_report_and_history(run, at_work, person):
    answering = person.answer("Approve", "canary looks right")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert (person.statuses, ended.state) == ([200], SUCCESS)
    assert ended.said("triggered by dag_test, approved by ada (canary looks right)")
    assert copies(at_work) == 55
    kept = last_answer(at_work)
    assert (kept["answer"], kept["why"]) == ("approved", "canary looks right")
    assert kept["who"].startswith("ada (airflow:relay_backfill:")


def test_a_rejection_is_in_the_history_and_nothing_is_copied(run, at_work, person):
    answering = person.answer("Reject", "not on a Friday")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert (person.statuses, ended.state, ended.only(FAILED)) == ([200], FAILED, {"approval"})
    assert (last_answer(at_work)["answer"], copies(at_work)) == ("rejected", 5)


def test_the_notice_says_what_waits_for_whom_how_long_and_where(run, person):
    answering = person.answer("Reject")
    run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    lines = person.text.splitlines()
    assert lines[0] == "relay_backfill waits for an approval: the full backfill of all workspaces"
    assert lines[1].endswith(", triggered by dag_test")
    assert re.fullmatch(r"to copy: 55 jobs, predicted .+ and .+iB; invalid: 2; canary: clean", lines[2])
    assert lines[3].startswith("answer within 24 h 00 min, else the run fails: http://airflow.example.com/dags/")
    assert "/tasks/approval/required_actions" in lines[3]


def test_a_mail_says_the_same(run, person, monkeypatch):
    with mailbox() as (port, mails):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        said = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(said))
        monkeypatch.setenv("RELAY_JOBS_APPROVAL_EMAILS", "ada@example.com,grace@example.com")
        answering = person.answer("Reject")
        run("relay_backfill", canary_workspaces=["tiny"], rps=None)
        answering.join()
        mail = email.message_from_string(mails.get(timeout=10))
    assert mail["To"] == "ada@example.com, grace@example.com"
    assert mail["Subject"] == "Begin the full backfill?"
    (text,) = [part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart()]
    assert html.unescape(text.strip()) == f"<pre>{person.text}</pre>"


def test_a_notice_that_cannot_be_sent_stops_nothing(run, person, monkeypatch):
    monkeypatch.setenv("RELAY_JOBS_APPROVAL_WEBHOOKS", "nowhere, chat_ops")
    answering = person.answer("Approve")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert (ended.state, ended.tries["approval"]) == (SUCCESS, 1)


def test_the_address_of_a_webhook_is_in_no_log(run, person, monkeypatch):
    said = {"conn_type": "http", "host": f"http://127.0.0.1:{9}/services/T000/SECRETTOKEN"}
    monkeypatch.setenv("AIRFLOW_CONN_DEAD_HOOK", json.dumps(said))
    monkeypatch.setenv("RELAY_JOBS_APPROVAL_WEBHOOKS", "dead_hook, chat_ops")
    answering = person.answer("Approve")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert ended.state == SUCCESS
    assert ended.said("HttpNotifier could not tell anybody that this run waits")
    # A task's supervisor masks each line with the same masker; dag.test() has none.
    assert "SECRETTOKEN" in ended.printed
    assert "SECRETTOKEN" not in redact(ended.printed)


def test_without_an_address_of_airflow_the_notice_says_where_to_look(run, person, monkeypatch):
    monkeypatch.delenv("AIRFLOW__API__BASE_URL")
    answering = person.answer("Approve")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert ended.state == SUCCESS
    assert person.text.endswith("else the run fails: Airflow, Browse, Required Actions")


def test_a_setting_that_is_not_understood_fails_preflight_with_what_is_allowed(run, at_work, monkeypatch):
    monkeypatch.setenv("RELAY_JOBS_APPROVAL_WEBHOOKS", "https://chat.example.com/hook")
    ended = run("relay_backfill", mode="full", rps=None)
    assert (ended.only(FAILED), ended.tries["preflight"]) == ({"preflight"}, 1)
    assert ended.said("allowed are ids of Airflow connections, divided by commas, not addresses")


def test_whoever_is_not_named_may_not_answer(run, at_work, person, monkeypatch):
    monkeypatch.setenv("RELAY_JOBS_APPROVERS", "grace")
    answering = person.answer("Approve", names=["ada", "grace"])
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert (person.statuses, ended.state) == ([403, 200], SUCCESS)
    assert last_answer(at_work)["who"].startswith("grace (")


def test_an_approval_that_was_set_to_success_by_hand_is_told_from_an_answer(run, at_work):
    ended = run("relay_backfill", mark_success="approval", canary_workspaces=["tiny"], rps=None)
    assert ended.said("triggered by dag_test, approved by nobody: the approval was set to success by hand")
    assert last_answer(at_work)["why"] == "approved by nobody: the approval was set to success by hand"


def test_nobody_is_asked_with_approval_auto_and_the_history_says_so(run, at_work):
    run("relay_backfill", approval="auto", canary_workspaces=["tiny"], rps=None)
    kept = last_answer(at_work)
    assert kept["who"].startswith("nobody (approval=auto) (airflow:relay_backfill:")
    assert kept["why"] == "triggered by dag_test"


def test_an_answer_that_the_store_could_not_take_is_recorded_before_the_backfill_begins(
    run, at_work, person, monkeypatch
):
    record, failing = Migration.record_answer, [redis.ConnectionError("away"), redis.ConnectionError("away")]

    def away_at_first(self, *said):
        if failing:
            raise failing.pop()
        record(self, *said)

    monkeypatch.setattr(Migration, "record_answer", away_at_first)
    answering = person.answer("Approve", "go")
    ended = run("relay_backfill", canary_workspaces=["tiny"], rps=None)
    answering.join()
    assert (ended.state, ended.tries["approval"], ended.tries["full.open"]) == (SUCCESS, 1, 2)
    assert (last_answer(at_work)["why"], copies(at_work)) == ("go", 55)
