import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from relay_jobs.cli import app
from tests.servers import Server, real_client, real_server, running

__all__ = ["real_client", "real_server", "running"]


@dataclass(frozen=True)
class Ran:
    """What an invocation left."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def url(real_server: Server) -> str:
    return f"redis://127.0.0.1:{real_server.port}"


@pytest.fixture
def relay_jobs(url: str) -> Callable[..., Ran]:
    """Runs a command against the server, with --json unless told otherwise."""

    def run(*words: str, as_json: bool = True) -> Ran:
        more = ["--redis-url", url, *(["--json"] if as_json else [])]
        result = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def legacy(real_client: redis.Redis) -> Callable[..., None]:
    """Writes legacy jobs as a process without the library does."""

    def write(count: int, workspace: str = "WS_TEST", prefix: str = "job") -> None:
        with real_client.pipeline(transaction=False) as pipe:
            for number in range(count):
                job_id = f"{prefix}-{number}"
                fields = {"job_id": job_id, "workspace_id": workspace, "status": "pending", "params": "{}"}
                pipe.hset(f"ai:jobs:{job_id}", mapping=fields)
            pipe.execute()

    return write


@pytest.fixture
def at_new_first(relay_jobs: Callable[..., Ran]) -> None:
    """The ladder climbed to new_first, as an operator does on an empty server."""
    assert relay_jobs("stage", "set", "new_first").code == 0
