import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from fastapi.testclient import TestClient

from relay_jobs.migration import Migration
from relay_jobs.stages import Stage
from tests.airflow.runs import Run, run_dag
from tests.servers import running

__all__ = ["running"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's own database, made once."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture(scope="session")
def pools() -> dict[str, Any]:
    """The pools that are imported at start-up."""
    pools: dict[str, Any] = json.loads((ROOT / "config/pools.json").read_text(encoding="utf-8"))
    return pools


@pytest.fixture(scope="session")
def bag(database: None, pools: dict[str, Any]) -> DagBag:
    """The shipped DAGs as Airflow parses them."""
    return DagBag(str(ROOT / "dags"), known_pools={"default_pool", *pools})


@pytest.fixture(scope="session")
def server(database, bag) -> Iterator[TestClient]:
    """Airflow's API server with the plugin in it, and the DAGs in its database."""
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    with TestClient(create_app(apps="core")) as client:
        yield client


@pytest.fixture
def logged_in(server):
    """Headers of somebody, by default with the least role that may see a DAG."""

    def headers(role: str = "viewer", name: str = "ada") -> dict[str, str]:
        user = SimpleAuthManagerUser(username=name, role=role)
        return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}

    return headers


@pytest.fixture
def store(running, monkeypatch) -> Iterator[redis.Redis]:
    """An empty job store, and Airflow's connection to it."""
    server = running.server("valkey")
    said = {"conn_type": "redis", "host": "127.0.0.1", "port": server.port, "extra": {"db": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_RELAY_REDIS", json.dumps(said))
    yield server.client()
    server.close()


@pytest.fixture
def at_work(store) -> redis.Redis:
    """A store whose default stage is ``new_first``, where a backfill may run."""
    migration = Migration(store, who="test")
    for stage in (Stage.LEGACY, Stage.DUAL_WRITE, Stage.NEW_FIRST):
        migration.set_stage(stage)
    return store


@pytest.fixture
def run(database, caplog, capsys, monkeypatch) -> Callable[..., Run]:
    """Runs a DAG in this process to its end: ``run("relay_backfill", mode="full")``."""

    # dag.test() rests for a second whenever no task can start, also where states are only handed down.
    rest = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: rest(0.02 if seconds == 1 else seconds))

    def run_to_its_end(dag_id: str, mark_success: str | None = None, **conf: Any) -> Run:
        # Parsed anew, as each task does: a run leaves its values behind in the params of the DAG that it was made of.
        if dag_id == "relay_backfill":
            conf = {"partitions": 1, **conf}  # one task each instead of four
        fresh = DagBag(str(ROOT / "dags" / f"{dag_id}.py")).dags[dag_id]
        return run_dag(fresh, caplog, capsys, conf, mark_success)

    return run_to_its_end
