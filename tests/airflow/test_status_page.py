"""The status view, in Airflow's own API server and behind its login."""

import re
import subprocess
import sys

import pytest
from airflow.models.pool import Pool
from airflow.models.taskinstancekey import TaskInstanceKey

from tests.airflow.conftest import ROOT
from tests.airflow.runs import seed

pytestmark = pytest.mark.airflow

PAGES = ("/relay-status/", "/relay-status/status.css", "/relay-status/status.js", "/relay-status/status.json")


@pytest.fixture
def anonymous(server):
    server.cookies.clear()
    return server


@pytest.fixture
def pool(database):
    Pool.create_or_update_pool("relay_backfill", slots=2, description="", include_deferred=False)
    yield "relay_backfill"
    Pool.delete_pool("relay_backfill")


def test_every_route_asks_for_a_login(anonymous):
    from relay_status_page import create_app as create_page

    routes = [route.path for route in create_page().routes]
    assert {f"/relay-status{path}" for path in routes} == set(PAGES)
    assert {path: anonymous.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 401)


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json"])
def test_there_is_nothing_else(anonymous, logged_in, path):
    assert anonymous.get(f"/relay-status/{path}", headers=logged_in("admin")).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_read_only(anonymous, logged_in, method):
    statuses = {getattr(anonymous, method)(path, headers=logged_in("admin")).status_code for path in PAGES}
    assert statuses == {405}


def test_a_viewer_may_see_it_and_nothing_comes_from_elsewhere(anonymous, logged_in, store):
    for path in PAGES:
        answer = anonymous.get(path, headers=logged_in())
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert re.findall(r"(?:https?:)?//[a-z0-9]+\.[a-z]+", answer.text) == [], path


def test_it_shows_the_stages_and_no_job(anonymous, logged_in, at_work, pool):
    seed(at_work, {"acme": 3})
    at_work.hset("ai:jobs:acme-0", "params", '{"card": "4111-1111"}')
    answer = anonymous.get("/relay-status/status.json", headers=logged_in())
    body = answer.json()
    assert body["status"]["stages"] == {"*": "new_first"}
    assert body["status"]["lease"] is None
    assert body["warnings"] == []
    assert "4111-1111" not in answer.text


def test_it_warns_of_a_pool_that_is_missing(anonymous, logged_in, store):
    (warning,) = anonymous.get("/relay-status/status.json", headers=logged_in()).json()["warnings"]
    assert warning.startswith("The pool relay_backfill is missing: tasks that need it stay scheduled for ever.")


def test_it_says_what_is_wrong_with_the_connection(anonymous, logged_in, pool, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_RELAY_REDIS", raising=False)
    body = anonymous.get("/relay-status/status.json", headers=logged_in()).json()
    assert body["status"] is None
    assert "there is no connection 'relay_redis'" in body["error"]


def test_each_task_of_ours_leads_to_it_and_no_other(bag):
    from relay_status import MigrationStatusLink

    def link(dag_id):
        return MigrationStatusLink().get_link(None, ti_key=TaskInstanceKey(dag_id, "walk", "a run", 1, 0))

    assert link("relay_backfill").endswith("/relay-status/?dag_id=relay_backfill&run_id=a+run")
    assert link("somebody_elses") == ""


def test_a_malformed_workspace_is_http_400_before_any_run_is_made(anonymous, logged_in):
    conf = {"mode": "dry_run", "workspaces": ["two words"]}
    body = {"logical_date": None, "conf": conf}
    answer = anonymous.post("/api/v2/dags/relay_backfill/dagRuns", json=body, headers=logged_in("admin"))
    assert answer.status_code == 400
    assert "two words" in answer.text


def test_what_every_process_imports_is_light():
    script = "import airflow.plugins_manager, sys; before = set(sys.modules); import relay_status; "
    script += "print(*{'fastapi', 'redis', 'relay_jobs'} & (set(sys.modules) - before))"
    command = [sys.executable, "-W", "ignore", "-c", script]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "plugins")
    assert ran.stdout.split() == []
