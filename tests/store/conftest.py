import base64
import json
from collections.abc import Callable
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
