"""A real Airflow for the live tests: its components as processes, its database, and the job store beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from demo import airflow
from demo.airflow import COMPONENTS, POOLS, Ports
from demo.environment import make_folders
from demo.processes import Children, sessions_members
from demo.server import start_server
from demo.world import Home, World
from relay_jobs.airflow import CONNECTION, POOL
from tests.live.backends import Backend
from tests.live.keeper import end_keeper, start_keeper
from tests.live.postgres import Postgres
from tests.live.rest import LiveApi
from tests.live.runs import LiveRun
from tests.live.waiting import wait_until

DAG = "relay_backfill"
SLOTS = json.loads(POOLS.read_text())[POOL]["slots"]

# Airflow's own defaults are 300 s for each of them but the health, which is 30 s: how soon it sees that something died.
QUICK = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
}


@dataclass
class Deployment:
    """One Airflow, and what a test does to it."""

    backend: Backend
    world: World
    children: Children
    keeper: subprocess.Popen[bytes]
    ports: Ports = field(default_factory=Ports.free)
    redis_url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    database: Postgres | None = None

    @classmethod
    def start(cls, backend: Backend) -> Deployment:
        """Start everything, and wait until Airflow calls itself healthy."""
        home = Home(Path(tempfile.mkdtemp(prefix=f"relay-live-{backend.name}-")))
        make_folders(home)
        record = home.root / "sessions.json"
        children = Children(record)
        database = Postgres(children, home.logs) if backend.database == "postgres" else None
        folders = [home.root, *([database.folder] if database else [])]
        made = cls(backend, World(home), children, start_keeper(record, *folders), database=database)
        try:
            made._start()
        except BaseException:
            made.end()
            raise
        return made

    def _start(self) -> None:
        if self.database:
            self.database.start()
        self.redis_url = start_server(self.world, self.children)
        self.environment = self._environment()
        airflow.prepare(self.world, self.children, self.environment)
        for component in (*COMPONENTS, *self.backend.components):
            self.revive(component)
        airflow.wait_until_healthy(self.world, self.children, self.ports, patience=300)
        self.api.import_pools(POOLS)
        self.connect()
        self.api.wait_for_dag(DAG)

    def _environment(self) -> dict[str, str]:
        made = airflow.airflow_environment(self.world, self.redis_url, self.ports)
        # Kept in Airflow's database, so that a test can change it; what is in the environment would win.
        del made[f"AIRFLOW_CONN_{CONNECTION.upper()}"]
        if self.database:
            made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self.database.url
        # A process that is killed leaves no measurement worth reading, and measuring makes all of them slow.
        return (
            {name: value for name, value in made.items() if not name.startswith("COV")} | QUICK | self.backend.settings
        )

    @property
    def api(self) -> LiveApi:
        """A session with the REST API; logged in anew if there is none."""
        if self._api is None:
            self._api = LiveApi(self.ports.url)
        return self._api

    _api: LiveApi | None = None

    def store(self) -> redis.Redis:
        """A client of the job store."""
        return redis.Redis.from_url(self.redis_url)

    def connect(self, **changes: Any) -> None:
        """Make the connection to the job store, or a wrong one."""
        url = httpx.URL(self.redis_url)
        said = {"conn_type": "redis", "host": url.host, "port": url.port, "extra": json.dumps({"db": 0})}
        self.api.connect({"connection_id": CONNECTION, **said, "schema": None, "password": None, **changes})

    def trigger(self, dag_id: str = DAG, **conf: Any) -> LiveRun:
        """Start a run."""
        return LiveRun(self.api, dag_id, self.api.trigger(dag_id, conf))

    def revive(self, component: str) -> None:
        """Start a component."""
        arguments = self.backend.components.get(component, (component,))
        command = [sys.executable, "-m", "airflow", *arguments]
        name = self._name(component)
        self.children.start(name, command, self.environment, self.world.home.logs / f"{name}.log")

    @staticmethod
    def _name(component: str) -> str:
        return f"airflow-{component}"

    def kill(self, component: str) -> None:
        """SIGKILL for the component's own process; its children get no word of it."""
        child = self.children.running.pop(self._name(component))
        child.send_signal(signal.SIGKILL)
        child.wait()

    def revive_dead(self) -> list[str]:
        """Start what does not run, as docker-compose does by its restart policy; which components those were."""
        ended = self.children.dead()
        every = (*COMPONENTS, *self.backend.components)
        dead = [name for name in every if self._name(name) in ended or self._name(name) not in self.children.running]
        for component in dead:
            self.children.running.pop(self._name(component), None)
            self.revive(component)
        return dead

    def wait_until_healthy(self) -> None:
        """Wait until Airflow calls all its components healthy."""
        airflow.wait_until_healthy(self.world, self.children, self.ports, patience=300)

    def restart_database(self) -> None:
        """Stop PostgreSQL, which cuts off its clients, and start it on the same data."""
        assert self.database, f"{self.backend.name} has no database server"
        self.database.stop()
        self.database.start()

    def working(self) -> list[psutil.Process]:
        """Processes that run a task: those whose supervisor waits for them in the same session, by pid."""
        return _task_processes(set(self.children.sessions))

    def clean(self) -> None:
        """End every run and every task, and make all that a test may have changed as it was; the store is emptied."""
        self.revive_dead()
        self.wait_until_healthy()
        for dag_id in ("relay_backfill", "relay_verify", "relay_stage"):
            self.api.pause(dag_id, paused=False)
            for run_id in self.api.runs(dag_id, "running", "queued"):
                self.api.end_run(dag_id, run_id)
        self.api.resize_pool(POOL, SLOTS)
        self.connect()
        self._end_tasks()
        with self.store() as client:
            client.flushall()

    def _end_tasks(self) -> None:
        for pid in sessions_members(set(self.children.sessions)):
            os.kill(pid, signal.SIGCONT)
        for process in self.working():
            process.kill()
        wait_until(lambda: not self.working(), lambda: f"tasks go on: {self.working()}")

    def end(self) -> None:
        """End everything, and take its folders away."""
        if self._api:
            self._api.close()
        if self.database:
            self.database.stop()
        self.children.end()
        end_keeper(self.keeper)


def _task_processes(sessions: set[int]) -> list[psutil.Process]:
    found = []
    for pid in sessions_members(sessions):
        # A supervisor puts the task that it forks into a process group of its own.
        if os.getpgid(pid) == pid and os.getsid(pid) != pid:
            found.append(psutil.Process(pid))
    return found
