"""The shipped DAGs as Airflow sees them: they parse, say what they are, and hang on nothing."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from relay_jobs.jobs import WORKSPACE_PATTERN

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
DAGS = ("relay_backfill", "relay_stage", "relay_verify")
CONTRACT = {
    "relay_backfill": "mode workspaces canary_workspaces max_keys rps rps_per_slot batch partitions approval on_busy "
    "restart max_hours",
    "relay_verify": "workspaces repair",
    "relay_stage": "action stage workspaces all reason legacy_writers_gone",
}
# Runs with the DAG files alone in a fresh process, after Airflow itself has been imported.
PARSE = """
import runpy, sys, time
import airflow.sdk
began = time.process_time()
for path in sys.argv[1:]:
    runpy.run_path(path)
print(time.process_time() - began, *{"redis", "prometheus_client", "fastapi"} & set(sys.modules))
"""


@pytest.fixture(params=DAGS)
def dag(bag, request):
    return bag.dags[request.param]


def test_every_dag_is_imported(bag):
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted(DAGS)


def test_every_pool_is_one_that_is_imported_at_start_up(bag, pools):
    assert bag.dag_warnings == set()
    for task in (task for dag in bag.dags.values() for task in dag.tasks):
        assert task.pool_slots <= pools.get(task.pool, {"slots": 1})["slots"]


def test_the_pool_that_may_be_missing_is_not_needed_to_find_that_out(bag):
    pools = {task.task_id: task.pool for task in bag.dags["relay_backfill"].tasks}
    assert {task for task, pool in pools.items() if pool == "relay_backfill"} == {"canary", "full.walk", "full.close"}


def test_a_dag_says_what_it_is(dag):
    assert dag.doc_md
    assert dag.description
    assert dag.owner == "relay-jobs"
    assert "relay-jobs" in dag.tags
    assert dag.schedule is None
    # Whatever waits for a person would count against it.
    assert dag.dagrun_timeout is None


def test_a_task_says_what_it_does_and_knows_what_is_worth_another_try(dag):
    for task in dag.tasks:
        assert task.doc_md, task.task_id
        assert task.retries >= 1, task.task_id
        assert task.retry_policy is not None, task.task_id


def test_the_params_are_those_of_the_contract(dag):
    assert set(dag.params) == set(CONTRACT[dag.dag_id].split())


def test_a_param_is_titled_described_and_typed_and_its_default_is_valid(dag):
    for name in dag.params:
        param = dag.params.get_param(name)
        assert {"type", "title", "description_md"} <= set(param.schema), name
        param.resolve()


@pytest.mark.parametrize(
    "conf",
    [
        {"workspaces": ["two words"]},
        {"workspaces": ["acme*"]},
        {"canary_workspaces": ["tiny", ""]},
        {"canary_workspaces": ["a" * 65]},
        {"workspaces": "acme"},
        {"mode": "everything"},
        {"rps": 0},
        {"max_keys": -1},
        {"batch": 0},
        {"batch": "10001"},
        {"batch": "many"},
        {"partitions": 3},
        {"partitions": 512},
        {"max_hours": 0},
        {"approval": "maybe"},
    ],
    ids=str,
)
def test_a_malformed_param_is_refused_by_airflow_itself(bag, conf):
    again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag.dags["relay_backfill"]))
    with pytest.raises(ParamValidationError):
        again.params.deep_merge(conf).validate()


@pytest.mark.parametrize(
    "conf", [{"workspaces": None}, {"batch": "500"}, {"batch": 500}, {"partitions": 8}, {"max_hours": 0.5}], ids=str
)
def test_what_the_form_sends_is_taken(bag, conf):
    again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(bag.dags["relay_backfill"]))
    again.params.deep_merge(conf).validate()


def test_params_survive_the_way_to_the_database(dag):
    again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    before: ParamsDict = dag.params
    assert {name: again.params.get_param(name).schema for name in again.params} == {
        name: before.get_param(name).schema for name in before
    }


def test_the_workspace_pattern_has_one_home(dag):
    said = [dag.params.get_param(name).schema["items"]["pattern"] for name in dag.params if "workspaces" in name]
    assert set(said) == {f"^{WORKSPACE_PATTERN}$"}


def test_a_run_that_waits_for_a_person_blocks_no_other(bag):
    assert bag.dags["relay_backfill"].max_active_runs > 1


def test_what_the_backfill_does_is_one_line_in_the_graph(bag):
    tasks = {task.task_id: sorted(task.downstream_task_ids) for task in bag.dags["relay_backfill"].tasks}
    chain = ["preflight", "dry_run", "canary", "verify_canary", "approval", "full.open", "full.walk", "full.close"]
    chain += ["verification", "report"]
    assert tasks == {task: [after] for task, after in pairwise(chain)} | {"report": []}


def test_parsing_imports_no_redis_and_takes_no_time():
    paths = sorted(map(str, (ROOT / "dags").glob("*.py")))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARSE, *paths], check=True, capture_output=True, text=True
    )
    seconds, *modules = ran.stdout.splitlines()[-1].split()
    assert modules == []
    assert float(seconds) < 1


def test_no_text_of_a_dag_speaks_of_this_machine(dag):
    texts = [dag.doc_md, *(task.doc_md for task in dag.tasks)]
    assert [text for text in texts if re.search(r"/(home|root|work|tmp)/", text)] == []
