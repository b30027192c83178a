"""What a job costs, counted at the server and at the client: commands, those inside scripts too, and round trips.

Counts are the same on every machine. Where one of these numbers changes, it is a decision.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.migration import Migration
from tests.servers import Server
from tests.store.records import complete_index, enqueue, fields, new_store, set_stage

JOBS, WORKSPACES = 600, 12
NOT_OURS = {"config|resetstat", "info", "hello", "client|setinfo", "client|setname", "select"}


class Sends(redis.Connection):
    """Counts what is sent at once: one round trip."""

    count = 0

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send, and count."""
        Sends.count += 1
        super().send_packed_command(command, check_health)


@pytest.fixture
def watched(real_server: Server) -> redis.Redis:
    """A client whose round trips are counted."""
    pool = redis.ConnectionPool(connection_class=Sends, host="127.0.0.1", port=real_server.port)
    client = redis.Redis(connection_pool=pool)
    real_server.opened.append(client)
    return client


@pytest.fixture
def cost(watched: redis.Redis, real_client: redis.Redis) -> Callable[[Callable[[], object]], tuple[Counter[str], int]]:
    """Commands and round trips of a call that is not the first."""

    def count(call: Callable[[], object]) -> tuple[Counter[str], int]:
        watched.ping()
        real_client.config_resetstat()
        before = Sends.count
        call()
        sent = Sends.count - before
        found = real_client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): about["calls"] for name, about in found.items()}
        return Counter({name: number for name, number in calls.items() if name not in NOT_OURS}), sent

    return count


@pytest.fixture
def store(watched: redis.Redis) -> JobStore:
    """A store in ``dual_write``, with its scripts loaded."""
    set_stage(watched, Stage.DUAL_WRITE)
    store = new_store(watched)
    store.get_job(enqueue(store), "acme")
    store.list_jobs("acme")
    return store


BARE = {"hmget": 1, "hset": 1, "copy": 1, "zadd": 1, "rpush": 1}


def test_an_enqueue_is_one_round_trip_and_few_commands(cost: Any, store: JobStore) -> None:
    """Both copies, index, queue and idempotency, with every check; the request id tells a retry from a second call."""
    found, sent = cost(lambda: enqueue(store, client_request_id="r"))
    assert found == {"evalsha": 1, "get": 1, "set": 2, **BARE}
    assert sent == 1


def test_an_enqueue_without_a_request_keeps_its_outcome_instead(cost: Any, store: JobStore) -> None:
    """A look for the outcome, and the outcome; and no job of the same id may be there or held."""
    found, sent = cost(lambda: enqueue(store))
    assert found == {"evalsha": 1, "get": 1, "set": 1, "hget": 1, "exists": 1, **BARE}
    assert sent == 1


def test_a_read_asks_for_the_stage_and_for_the_job(cost: Any, store: JobStore) -> None:
    """Two commands, however many fields the hash has."""
    job_id = enqueue(store)
    found, sent = cost(lambda: store.get_job(job_id, "acme"))
    assert found == {"evalsha": 1, "hmget": 2}
    assert sent == 1


def test_a_read_that_falls_back_asks_once_more(cost: Any, store: JobStore, watched: redis.Redis) -> None:
    """In ``new_first`` a job that is not copied yet costs one command more."""
    watched.hset("ai:jobs:old", mapping=fields("old"))
    set_stage(watched, Stage.NEW_FIRST)
    found, sent = cost(lambda: store.get_job("old", "acme"))
    assert found == {"evalsha": 1, "hmget": 3}
    assert sent == 1


@pytest.mark.parametrize("jobs", [60, 600])
def test_a_page_costs_a_page(cost: Any, store: JobStore, watched: redis.Redis, jobs: int) -> None:
    """Fifty jobs are fifty reads and one look into the index, however many jobs there are."""
    for _ in range(jobs):
        enqueue(store)
    set_stage(watched, Stage.NEW_FIRST)
    complete_index(watched)
    found, sent = cost(lambda: store.list_jobs("acme", limit=50))
    # The stage, the index's epoch, and the jobs.
    assert found == {"evalsha": 1, "hmget": 2 + 50, "hget": 1, "type": 1, "zrevrange": 1}
    assert sent == 1


@pytest.fixture
def migration(watched: redis.Redis) -> Migration:
    """A keyspace of legacy jobs, in ``dual_write``."""
    with watched.pipeline(transaction=False) as pipe:
        for number in range(JOBS):
            pipe.hset(f"ai:jobs:job-{number}", mapping=fields(f"job-{number}", f"ws-{number % WORKSPACES}"))
        pipe.execute()
    migration = Migration(watched, Settings(), who="guard", sleep=lambda _: None)
    for stage in (Stage.LEGACY, Stage.DUAL_WRITE):
        migration.set_stage(stage)
    return migration


def backfill(migration: Migration, **options: Any) -> None:
    """A whole pass; at full speed if nothing else is said."""
    opened = migration.open_pass(run="guard", step="full", **{"full_speed": True, **options})
    for _ in migration.walk(opened, 0, "guard"):
        pass
    for _ in migration.close(opened, "guard"):
        pass
    migration.release("guard")
    assert migration.summary(opened).books.migrated == JOBS


def verify(migration: Migration) -> None:
    """A whole verification at full speed."""
    checking = migration.verify(full_speed=True)
    for _ in checking:
        pass
    assert checking.verdict.equal == JOBS


def test_a_backfill_at_full_speed_has_few_commands_a_key(cost: Any, migration: Migration) -> None:
    """Read and copy; the index is written by the workspace, and what a batch costs once is shared by its keys."""
    found, sent = cost(lambda: backfill(migration))
    assert found["copy"] == JOBS
    assert found["hmget"] <= JOBS + 10
    assert found["zadd"] <= 2 * WORKSPACES + 1
    assert found.total() <= 2.3 * JOBS
    assert sent <= 26


def test_a_polite_backfill_sends_each_step_at_once(cost: Any, migration: Migration) -> None:
    """Between two looks at the clock; here nothing rests, so that a step may have to ask for its turn again."""
    found, sent = cost(lambda: backfill(migration, full_speed=False, batch=100))
    assert found["copy"] == JOBS
    assert found["zadd"] <= 2 * WORKSPACES * 8
    assert found["time"] <= 3 * found["evalsha"]
    assert found.total() <= 3.3 * JOBS
    assert sent <= 50


def test_a_verification_has_few_commands_a_job(cost: Any, migration: Migration) -> None:
    """Both copies are compared in one step, whole batches at a time."""
    backfill(migration)
    found, sent = cost(lambda: verify(migration))
    assert found["dump"] == 2 * JOBS
    assert found.total() <= 7.1 * JOBS
    assert sent <= 12
