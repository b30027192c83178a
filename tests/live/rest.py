"""Airflow's REST API, as far as a test steers a run and looks at it; the rest is what the demo's operator uses."""

from typing import Any
from urllib.parse import quote

from demo.processes import DemoError
from demo.rest import AirflowApi, TaskState


class LiveApi(AirflowApi):
    """A logged-in session."""

    def instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """All that the API tells of a task instance: state, pid, tries, times."""
        mapped = f"/{map_index}" if map_index >= 0 else ""
        found: dict[str, Any] = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances/{task_id}{mapped}")
        return found

    def log_of_try(self, dag_id: str, run_id: str, task: TaskState, try_number: int) -> list[dict[str, Any]]:
        """The log of one try, as lines."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task.task_id}/logs/{try_number}"
        answer = self._client.get(path, params={"map_index": task.map_index}, headers={"Accept": "application/json"})
        # A try that never began has none.
        content = answer.json()["content"] if answer.is_success else []
        return [line if isinstance(line, dict) else {"event": line} for line in content]

    def stored(self, dag_id: str, run_id: str, task: TaskState, key: str) -> Any:
        """A value of the Storage tab, None if there is none."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task.task_id}/state-store/{key}"
        answer = self._client.get(path, params={"map_index": task.map_index})
        return answer.json()["value"] if answer.is_success else None

    def clear(self, dag_id: str, run_id: str, *tasks: str | tuple[str, int], downstream: bool = True) -> None:
        """Clear tasks, or single mapped ones, with all that come after them."""
        names = [task if isinstance(task, str) else list(task) for task in tasks]
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": names, "reset_dag_runs": True, "only_failed": False}
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json={**body, "include_downstream": downstream})

    def clear_run(self, dag_id: str, run_id: str) -> None:
        """Clear a whole run."""
        self._call("POST", f"{_run(dag_id, run_id)}/clear", json={"dry_run": False, "only_failed": False})

    def end_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed; Airflow ends its tasks."""
        self._call("PATCH", _run(dag_id, run_id), json={"state": "failed"})

    def runs(self, dag_id: str, *states: str) -> list[str]:
        """Ids of the DAG's runs in these states."""
        found = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params={"state": states, "limit": 100})
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause a DAG, or let it go on."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": paused})

    def resize_pool(self, name: str, slots: int) -> None:
        """Give a pool so many slots."""
        changed = {"pool": name, "slots": slots, "include_deferred": False}
        self._call("PATCH", f"/api/v2/pools/{name}", params={"update_mask": "slots"}, json=changed)

    def connect(self, said: dict[str, Any]) -> None:
        """Make or change a connection, as under Admin, Connections."""
        path = f"/api/v2/connections/{said['connection_id']}"
        if self._client.get(path).is_success:
            self._call("PATCH", path, json=said)
        else:
            self._call("POST", "/api/v2/connections", json=said)

    def disconnect(self, name: str) -> None:
        """Delete a connection."""
        answer = self._client.delete(f"/api/v2/connections/{name}")
        if not answer.is_success:
            raise DemoError(f"deleting connection {name}: {answer.status_code} {answer.text[:500]}")

    def page(self, path: str) -> str:
        """The text of a page of a plugin."""
        answer = self._client.get(path)
        if not answer.is_success:
            raise DemoError(f"GET {path}: {answer.status_code} {answer.text[:500]}")
        return answer.text


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
