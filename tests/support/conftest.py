import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import redis
from typer.testing import CliRunner

from relay_jobs import JobStore, Settings
from relay_jobs.cli import app
from relay_jobs.errors import UnsupportedServer
from tests.proxy import Proxy
from tests.servers import Process, Running, real_server, running
from tests.support.pair import Pair

__all__ = ["real_server", "running"]

Refusal = Callable[..., None]

# Every command that reaches a server.
COMMANDS = (
    ("backfill", "--dry-run"),
    ("backfill", "--execute"),
    ("verify",),
    ("verify", "--repair"),
    ("preflight",),
    ("status",),
    ("stage", "show"),
    ("stage", "set", "legacy"),
    ("stage", "rollback", "--all"),
    ("quarantine", "list"),
    ("quarantine", "ack", "--reason", "r"),
    ("pause",),
    ("resume",),
    ("throttle", "--rps", "5"),
    ("metrics",),
)


def everything(server: Process) -> dict[bytes, bytes]:
    """Every key as the server would save it, by commands that an old one has too."""
    client = server.client()
    return {key: client.dump(key) for key in client.scan_iter()}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.redis) for name in ("valkey", "redis7")])
def name(request: pytest.FixtureRequest) -> str:
    """Each real server in turn."""
    return str(request.param)


@pytest.fixture
def refused_by_the_command_line() -> Refusal:
    """Every command ends with exit code 1 and one line."""

    def refused(port: int, words: str, login: str = "", commands: tuple[tuple[str, ...], ...] = COMMANDS) -> None:
        for command in commands:
            url = f"redis://{login}127.0.0.1:{port}"
            ran = CliRunner().invoke(app, [*command, "--redis-url", url, "--json"], catch_exceptions=False)
            assert ran.exit_code == 1, (command, ran.output)
            body = json.loads(ran.stdout)
            assert words in body["message"], (command, body)
            assert "Traceback" not in ran.output

    return refused


@pytest.fixture
def refused_by_airflow(monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """What every task does first fails before it has written anything."""

    def refused(port: int, words: str, login: str = "") -> None:
        from relay_jobs.hook import migration

        user, _, password = login.rstrip("@").partition(":")
        said = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "extra": {"db": 0}}
        who = {"login": user, "password": password} if login else {}
        monkeypatch.setenv("AIRFLOW_CONN_RELAY_REDIS", json.dumps({**said, **who}))
        run = SimpleNamespace(triggering_user_name="ada")
        with pytest.raises(UnsupportedServer, match=words):
            migration({"dag_run": run, "dag": SimpleNamespace(dag_id="relay_backfill"), "run_id": "r"})  # type: ignore[arg-type]

    return refused


@pytest.fixture
def refused_by_every_door(refused_by_the_command_line: Refusal, refused_by_airflow: Refusal) -> Refusal:
    """The library, the command line and Airflow refuse a server, and it is as it was before."""

    def refused(server: Process, words: str, login: str = "") -> None:
        before = everything(server)
        url = f"redis://{login}127.0.0.1:{server.port}"
        with redis.Redis.from_url(url) as client, pytest.raises(UnsupportedServer, match=words):
            JobStore(client, Settings())
        refused_by_the_command_line(server.port, words, login)
        refused_by_airflow(server.port, words, login)
        assert everything(server) == before

    return refused


@pytest.fixture
def pair(running: Running, name: str) -> Iterator[Pair]:
    """A primary with a replica in step, and the proxy before them."""
    primary = running.own(name)
    replica = running.replica_of(primary, name)
    with Proxy(primary.port) as proxy:
        yield Pair(primary, replica, proxy)
    primary.end()
    replica.end()
