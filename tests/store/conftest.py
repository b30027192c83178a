import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings

from relay_jobs import JobStore, Stage
from tests.servers import any_client, any_server, real_client, real_server, running, server_client
from tests.store.records import STAGES, new_store, set_stage

settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.load_profile("steady")

__all__ = ["any_client", "any_server", "real_client", "real_server", "running", "server_client"]


HERE = Path(__file__).parent
# Valkey runs every stage; between them the other two run every stage once more.
STAGES_ON = {
    "fake": {Stage.DUAL_WRITE, Stage.SEALED},
    "redis7": {Stage.LEGACY, Stage.NEW_FIRST, Stage.NEW_ONLY},
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.path.parent == HERE and not _is_wanted(item)]
    config.hook.pytest_deselected(items=left_out)
    dropped = set(left_out)
    items[:] = [item for item in items if item not in dropped]


def _is_wanted(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    server = params.get("any_server", params.get("real_server"))
    return "stage" not in params or params["stage"] in STAGES_ON.get(server, Stage)


@pytest.fixture
def client(any_client: redis.Redis) -> redis.Redis:
    """The fake and each real server in turn."""
    return any_client


@pytest.fixture(params=STAGES, ids=str)
def stage(request: pytest.FixtureRequest) -> Stage:
    """Each stage in turn; recorded only by ``staged``."""
    return Stage(request.param)


@pytest.fixture
def at(client: redis.Redis) -> Callable[..., JobStore]:
    """A store on a server with the stage recorded."""

    def open_at(stage: Stage, **settings: Any) -> JobStore:
        set_stage(client, stage)
        return new_store(client, **settings)

    return open_at


@pytest.fixture
def staged(at: Callable[..., JobStore], stage: Stage) -> JobStore:
    """A store in each stage in turn."""
    return at(stage)


@pytest.fixture
def forge() -> Callable[[object], str]:
    """Makes a cursor out of any values, as someone might who has looked into one."""

    def encode(values: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")

    return encode
