import os
from collections.abc import Iterator

import pytest
import redis

from relay_jobs.migration import Migration
from relay_jobs.stages import Stage
from tests.live.backends import BACKENDS
from tests.live.deployment import Deployment
from tests.live.postgres import programs

CHOSEN = os.environ.get("LIVE_BACKENDS", "").split()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones to ``make live``, which names the backends that it wants."""
    chosen, left = [], []
    for item in items:
        backend = item.callspec.params.get("deployment") if hasattr(item, "callspec") else None
        wanted = backend in CHOSEN if CHOSEN else item.get_closest_marker("long") is None
        (chosen if backend is None or wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = chosen


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A running Airflow, started once for all tests of its backend."""
    backend = BACKENDS[request.param]
    if backend.database == "postgres" and programs() is None:
        why = "PostgreSQL is not installed"
        pytest.fail(why) if os.environ.get("CI", "").lower() == "true" else pytest.skip(why)
    started = Deployment.start(backend)
    yield started
    started.end()


@pytest.fixture
def live(deployment: Deployment) -> Deployment:
    """The Airflow with nothing at work, an empty job store, and every setting as it was."""
    deployment.clean()
    return deployment


@pytest.fixture
def store(live: Deployment) -> Iterator[redis.Redis]:
    """The job store, whose default stage is ``new_first``, where a backfill may run."""
    with live.store() as client:
        migration = Migration(client, who="test")
        for stage in (Stage.LEGACY, Stage.DUAL_WRITE, Stage.NEW_FIRST):
            migration.set_stage(stage)
        yield client
