"""A real Airflow on its embedded defaults: SQLite, LocalExecutor, four components, free loopback ports.

The components are started one by one and not by `airflow standalone`: that restarts none that died, says nothing
about it, and leaves its children behind on SIGTERM.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import dataclass

import httpx

from demo.processes import Children, DemoError
from demo.server import free_ports
from demo.world import CHECKOUT, World, child_environment

USER, PASSWORD = "admin", "relay-demo"
"""A fixed login is acceptable only because the server listens on loopback and ends with the demo."""

POOLS = CHECKOUT / "config" / "pools.json"

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass(frozen=True)
class Ports:
    """All that Airflow listens on; the two log servers collide with any other Airflow unless they are moved too."""

    api: int
    worker_logs: int
    trigger_logs: int

    @classmethod
    def free(cls) -> Ports:
        return cls(*free_ports(3))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api}"


def connection_json(redis_url: str) -> str:
    """Return Airflow's connection for a Redis URL; as JSON, because Airflow ignores the database in a URL's path."""
    url = httpx.URL(redis_url)
    database = int(url.path.strip("/") or 0)
    return json.dumps({"conn_type": "redis", "host": url.host, "port": url.port or 6379, "extra": {"db": database}})


def airflow_environment(world: World, redis_url: str, ports: Ports) -> dict[str, str]:
    """Return the environment of all components; every setting that is not here is Airflow's default."""
    home = world.home.airflow
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_RELAY_REDIS": connection_json(redis_url),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # More than about eight writers lock an SQLite database for longer than the scheduler waits, and it exits.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{ports.url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": ports.url,
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_logs),
        # The DAGs do not change while the demo runs, and importing them every 30 s costs the traffic its processor.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # The default of 5 s lets an approval that is answered quickly fail, and holds slots of short tasks.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    return child_environment(world.home, redis_url) | settings


def prepare(world: World, children: Children, environment: dict[str, str]) -> None:
    """Make login and database."""
    (world.home.airflow / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    children.run("airflow-db-migrate", command, environment, world.home.logs / "airflow-db-migrate.log")


def start_components(world: World, children: Children, environment: dict[str, str]) -> None:
    """Start the four components; they import for some ten seconds before they answer."""
    for component in COMPONENTS:
        command = [sys.executable, "-m", "airflow", component]
        children.start(f"airflow-{component}", command, environment, world.home.logs / f"airflow-{component}.log")


def unhealthy(health: dict[str, dict[str, str | None]]) -> list[str]:
    """Return the components of a health answer that are not healthy."""
    needed = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return [name for name in needed if health.get(name, {}).get("status") != "healthy"]


def wait_until_healthy(world: World, children: Children, ports: Ports, patience: float = 120.0) -> None:
    """Wait until Airflow calls all its components healthy, or one has ended, or the patience has."""
    waiting = "api-server"
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        refuse_dead(world, children)
        try:
            answer = httpx.get(f"{ports.url}/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            time.sleep(0.3)
            continue
        missing = unhealthy(answer.json()) if answer.is_success else ["api-server"]
        if not missing:
            return
        waiting = ", ".join(missing)
        time.sleep(0.3)
    raise DemoError(f"Airflow was not healthy after {patience:.0f} s (waiting for {waiting}); see {world.home.logs}")


def refuse_dead(world: World, children: Children) -> None:
    """Raise if a component has ended: nobody restarts it, and a run would hang for ever."""
    for name, code in children.dead([f"airflow-{each}" for each in COMPONENTS]).items():
        raise DemoError(f"{name} ended with {code}; see {world.home.logs / f'{name}.log'}")
