import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
import redis
import uvicorn
from fastapi import FastAPI
from hypothesis import settings
from starlette.testclient import TestClient

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.api import create_app
from relay_jobs.api_keys import ApiKeys, Scope
from relay_jobs.api_server import server
from tests.servers import Server, real_client, real_server, running
from tests.store.records import new_store, set_stage

settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.load_profile("steady")

__all__ = ["real_client", "real_server", "running"]

Headers = dict[str, str]


def new_key(
    client: redis.Redis, workspace: str = "acme", *scopes: Scope, actor: str = "u1", life: timedelta | None = None
) -> Headers:
    """Headers with a new key, of every scope by default."""
    _, token = ApiKeys(client).create(workspace, actor, scopes or tuple(Scope), life)
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Api:
    """The application on one server, as tenants see it."""

    http: TestClient
    keys: ApiKeys
    redis: redis.Redis

    def key(self, workspace: str = "acme", *scopes: Scope, **options: Any) -> Headers:
        """Headers with a new key of this server."""
        return new_key(self.redis, workspace, *scopes, **options)

    def execute(self, headers: Headers, *actions: dict[str, Any]) -> list[str]:
        """Ids of the jobs of these actions."""
        answer = self.http.post("/ai/execute", headers=headers, json={"actions": list(actions) or [action()]})
        assert answer.status_code == 202, answer.text
        found: list[str] = answer.json()["job_ids"]
        return found

    def walk(self, headers: Headers, **query: Any) -> Iterator[dict[str, Any]]:
        """Every job of a listing, page by page."""
        while True:
            answer = self.http.get("/ai/jobs", headers=headers, params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert page["count"] == len(page["jobs"])
            yield from page["jobs"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]


def action(**changes: Any) -> dict[str, Any]:
    """One ordinary action."""
    return {"provider": "mail", "action": "send", "params": {"to": "x"}, **changes}


@pytest.fixture
def client(real_client: redis.Redis) -> redis.Redis:
    """Each real server in turn, on which jobs are written in both schemas."""
    set_stage(real_client, Stage.NEW_FIRST)
    return real_client


@pytest.fixture
def store(client: redis.Redis) -> JobStore:
    """The library on the same server, for what workers do."""
    return new_store(client)


@pytest.fixture
def open_api(real_server: Server, client: redis.Redis) -> Iterator[Callable[..., Api]]:
    """Opens the application on the server, on a client of its own with other options."""
    opened: list[TestClient] = []

    def start(settings: Settings | None = None, threads: int = 4, **options: Any) -> Api:
        app = create_app(real_server.client(**options), settings or Settings(retry_attempts=1), threads=threads)
        http = TestClient(app, raise_server_exceptions=False)
        http.__enter__()
        opened.append(http)
        return Api(http, ApiKeys(client), client)

    yield start
    for http in opened:
        http.__exit__()


@pytest.fixture
def serve() -> Iterator[Callable[[Api], int]]:
    """Serves an application on a port of its own, by the server that `relay-jobs serve` runs."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(api: Api) -> int:
        ready, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))
        made = server(cast("FastAPI", api.http.app), ready.set)
        thread = threading.Thread(target=made.run, args=([listener],))
        thread.start()
        running.append((made, thread))
        assert ready.wait(20)
        return int(listener.getsockname()[1])

    yield start
    for made, thread in running:
        made.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def api(open_api: Callable[..., Api]) -> Api:
    """The application on each real server in turn."""
    return open_api()
