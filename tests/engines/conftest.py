from collections.abc import Callable, Iterator

import pytest
import redis

from relay_jobs import JobStore, Stage
from tests.engines.world import Rests, World
from tests.servers import any_client, any_server, real_client, real_server, running, server_client
from tests.store.records import new_store, set_stage

__all__ = ["any_client", "any_server", "real_client", "real_server", "running", "server_client"]


@pytest.fixture
def client(real_client: redis.Redis) -> redis.Redis:
    """Each real server in turn."""
    return real_client


@pytest.fixture
def rests() -> Rests:
    """What the engines ask to rest, without resting."""
    return Rests()


@pytest.fixture
def world(client: redis.Redis, rests: Rests) -> Iterator[World]:
    """A server in stage ``dual_write``."""
    set_stage(client, Stage.DUAL_WRITE)
    client.hset("ai:migration:stages", "*epoch", 1)
    world = World(client, rests)
    yield world
    world.end()


@pytest.fixture
def store(world: World) -> JobStore:
    """A process that uses the library."""
    return new_store(world.client)


@pytest.fixture
def staged(world: World) -> Callable[[Stage], World]:
    """The same server with another stage recorded for all."""

    def record(stage: Stage) -> World:
        set_stage(world.client, stage)
        return world

    return record
