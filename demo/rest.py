"""Airflow's public REST API, as far as an operator's script needs it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.airflow import PASSWORD, USER
from demo.processes import DemoError


@dataclass(frozen=True)
class TaskState:
    """One task instance, as the API tells it."""

    task_id: str
    map_index: int
    try_number: int
    state: str | None
    duration: float | None
    label: str | None

    @property
    def name(self) -> str:
        if self.map_index < 0:
            return self.task_id
        return f"{self.task_id}[{self.label or self.map_index}]"


class AirflowApi:
    """A logged-in session; every answer that is no success raises with the server's own words."""

    def __init__(self, url: str, user: str = USER, password: str = PASSWORD) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)
        token = self._call("POST", "/auth/token", json={"username": user, "password": password})["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._client.request(method, path, **options)
        if not answer.is_success:
            raise DemoError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def import_errors(self) -> list[str]:
        """Return what Airflow could not import, file and last line."""
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in errors]

    def wait_for_dag(self, dag_id: str, patience: float = 60.0) -> None:
        """Wait until the DAG is known and not paused."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            answer = self._client.get(f"/api/v2/dags/{dag_id}")
            if answer.is_success and not answer.json()["is_paused"]:
                return
            time.sleep(0.5)
        raise DemoError(f"DAG {dag_id} did not appear within {patience:.0f} s; import errors: {self.import_errors()}")

    def import_pools(self, pools: Path) -> None:
        """Make the pools of a file as `airflow pools import` does, for which a whole Airflow would be loaded once more.

        A task of a pool that does not exist would stay scheduled without a word.
        """
        for name, pool in json.loads(pools.read_text()).items():
            self._call("POST", "/api/v2/pools", json={"name": name, **pool})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run and return its id. `logical_date` must be sent, even if it is null."""
        run = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return all task instances of a run, in the order in which they started."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        rows = self._call("GET", path, params={"limit": 200})["task_instances"]
        rows.sort(key=lambda row: (row["start_date"] or "9", row["task_id"], row["map_index"]))
        return [
            TaskState(
                row["task_id"],
                row["map_index"],
                row["try_number"],
                row["state"],
                row["duration"],
                row["rendered_map_index"],
            )
            for row in rows
        ]

    def log(self, dag_id: str, run_id: str, task: TaskState) -> list[dict[str, Any]]:
        """Return the log of a task's current try; a line that is not structured comes as its text."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{max(1, task.try_number)}"
        answer = self._client.get(path, params={"map_index": task.map_index}, headers={"Accept": "application/json"})
        if not answer.is_success:
            return []
        content = answer.json()["content"]
        return [line if isinstance(line, dict) else {"event": line} for line in content]

    def returned(self, dag_id: str, run_id: str, task: TaskState) -> Any:
        """Return what a task returned (its XCom), or None."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/xcomEntries/return_value"
        answer = self._client.get(path, params={"map_index": task.map_index, "deserialize": "true"})
        return answer.json()["value"] if answer.is_success else None

    def question(self, dag_id: str, run_id: str, task: TaskState) -> dict[str, Any]:
        """Return subject, body and options of a task that waits for a person."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/{task.map_index}/hitlDetails"
        answer: dict[str, Any] = self._call("GET", path)
        return answer

    def answer(self, dag_id: str, run_id: str, task: TaskState, option: str) -> None:
        """Answer it."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/{task.map_index}/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})
