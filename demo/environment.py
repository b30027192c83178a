"""Everything that the walk stands on: folders, server, jobs, traffic, Airflow; made in order, ended in one call."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from demo import airflow
from demo.commands import Operator
from demo.processes import Children, DemoError, end_leftovers, ignore_signals
from demo.rest import AirflowApi
from demo.screen import Screen
from demo.seed import Seeded, fill
from demo.server import start_server
from demo.traffic import Traffic
from demo.wild import make_records
from demo.world import Home, World

T = TypeVar("T")


def make_folders(home: Home) -> None:
    """Begin with empty folders; `.gitignore` keeps them out of the repository whatever its own says."""
    for folder in (home.valkey, home.airflow, home.ledgers, home.logs, home.tmp):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (home.root / ".gitignore").write_text("*\n")


@dataclass
class Environment:
    """The running demo."""

    world: World
    screen: Screen
    children: Children
    redis_url: str = ""
    ports: airflow.Ports = field(default_factory=airflow.Ports.free)
    airflow_seconds: float = 0
    _booting: Future[None] | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @classmethod
    def make(cls, world: World, screen: Screen) -> Environment:
        record = world.home.root / "sessions.json"
        if left := end_leftovers(record):
            screen.say(f"ended {left} processes that an earlier demo left when it was killed")
        make_folders(world.home)
        return cls(world, screen, Children(record))

    @property
    def operator(self) -> Operator:
        return Operator(self.world, self.redis_url, self.screen)

    @property
    def traffic(self) -> Traffic:
        return Traffic(self.world, self.children, self.redis_url)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    def start_store(self) -> Seeded:
        """Start the server and fill it."""
        self.redis_url = start_server(self.world, self.children)
        with self.client() as client:
            return fill(client, make_records(self.world), self.world.home.ledgers)

    def boot_airflow(self) -> None:
        """Start Airflow beside everything else: it takes half a minute, and the first steps do not need it."""
        self._booting = self.beside(self._boot)

    def _boot(self) -> None:
        begin = time.monotonic()
        settings = airflow.airflow_environment(self.world, self.redis_url, self.ports)
        airflow.prepare(self.world, self.children, settings)
        airflow.start_components(self.world, self.children, settings)
        airflow.wait_until_healthy(self.world, self.children, self.ports)
        self.airflow_seconds = time.monotonic() - begin

    def airflow_api(self, dag_id: str) -> AirflowApi:
        """Wait for Airflow and for the DAG, log in, and import the pools."""
        if self._booting is None:
            raise DemoError("Airflow was not started")
        self._booting.result()
        api = AirflowApi(self.ports.url)
        api.import_pools(airflow.POOLS)
        api.wait_for_dag(dag_id)
        return api

    def stop_airflow(self) -> None:
        """End Airflow before the rest, to have its share of the processor; it has nothing to finish."""
        self.children.stop([f"airflow-{each}" for each in airflow.COMPONENTS], patience=2)

    def beside(self, work: Callable[[], T]) -> Future[T]:
        """Do something while the walk goes on; one thing at a time."""
        return self._thread.submit(work)

    def check(self) -> None:
        """Raise if anything that must run has ended by itself."""
        self.traffic.check()
        airflow.refuse_dead(self.world, self.children)
        if code := self.children.dead(["valkey"]):
            raise DemoError(f"the server ended with {code}; see {self.world.home.logs}")

    def end(self) -> None:
        """End everything, whatever state it is in; a second Ctrl-C cannot interrupt that."""
        ignore_signals()
        self.children.end()
        self._thread.shutdown(cancel_futures=True)
        for folder in (self.world.home.tmp, self.world.home.valkey):
            shutil.rmtree(folder, ignore_errors=True)
