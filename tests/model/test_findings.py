"""What the models found in the code: each counterexample, step by step, on real servers."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from relay_jobs import Enqueued, JobStore, Settings, Stage, runs
from relay_jobs.errors import FlagConflict, GateRefused, Refused, UsageError
from relay_jobs.pace import Pace
from relay_jobs.preflight import has_jobs
from relay_jobs.stages import Flags
from tests.engines.restarts import Restartable
from tests.engines.world import Rests, World
from tests.servers import real_client, real_server, running
from tests.store.records import put_both, put_legacy, put_scoped, set_stage

__all__ = ["real_client", "real_server", "running"]

pytestmark = pytest.mark.redis


@pytest.fixture
def world(real_client: redis.Redis) -> World:
    """Nothing recorded, no job."""
    return World(real_client, Rests())


@pytest.fixture(params=["valkey", "redis7"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Callable[[], None]]]:
    """In dual_write, and what kills the server, to come back from its last snapshot."""
    server = Restartable(request.param, tmp_path)

    def die() -> None:
        server.stop()
        server._process = server._start()

    with server.client() as client:
        set_stage(client, Stage.DUAL_WRITE)
        yield World(client, Rests()), die
    server.stop()


def state(world: World) -> None:
    """No old process is left; the move itself is refused for want of a verification."""
    with pytest.raises(GateRefused):
        world.migration.set_stage(Stage.NEW_FIRST, legacy_writers_gone=True)


def test_a_verification_that_the_statement_overtook_does_not_open_new_only(world: World) -> None:
    """NEEDING_BEFORE_STATEMENT: an old process creates behind a walk, and the walk is recorded last."""
    set_stage(world.client, Stage.DUAL_WRITE)
    put_both(world.client, "seen")
    world.backfill()
    overtaken = iter(world.migration.verify())
    assert [next(overtaken).direction for _ in range(2)] == ["legacy", "workspace"]
    put_legacy(world.client, "behind")
    state(world)
    assert world.verify().missing == 1
    world.migration.set_stage(Stage.NEW_FIRST)
    list(overtaken)
    with pytest.raises(GateRefused, match="might still write"):
        world.migration.set_stage(Stage.NEW_ONLY)


def test_a_verification_from_before_an_override_does_not_open_new_only(world: World) -> None:
    """The same without a statement: whoever overrides one gate has not overridden the next."""
    set_stage(world.client, Stage.DUAL_WRITE)
    put_both(world.client, "seen")
    world.backfill()
    world.verify()
    put_legacy(world.client, "behind")
    world.migration.set_stage(Stage.NEW_FIRST, override="drill")
    with pytest.raises(GateRefused, match="might still write"):
        world.migration.set_stage(Stage.NEW_ONLY)


def test_what_was_mended_on_another_server_process_does_not_open_new_first(
    mortal: tuple[World, Callable[[], None]],
) -> None:
    """PREFERRING_ON_ANY_SERVER: the repair is lost with the server, its verification is recorded on the next one."""
    world, die = mortal
    put_legacy(world.client, "j", status="completed")
    put_scoped(world.client, "j")
    state(world)
    world.client.save()
    mending = iter(world.migration.verify(repair=True, run="mender"))
    assert next(step.direction for step in mending if step.direction != "legacy") == "workspace"
    die()
    list(mending)
    with pytest.raises(GateRefused, match="another server process"):
        world.migration.set_stage(Stage.NEW_FIRST)


def test_no_token_is_given_twice_because_the_server_came_back_older(mortal: tuple[World, Callable[[], None]]) -> None:
    """TOKEN_OF_ANY_SERVER: the first try of a task is fenced by the second one."""
    world, die = mortal
    put_legacy(world.client, "j")
    world.client.save()
    first = runs.join(world.client, world.open(), 0, "task", 30)
    die()
    second = runs.join(world.client, world.open(), 0, "task", 30)
    assert first.token != second.token


@pytest.fixture
def unsealed(world: World, real_client: redis.Redis) -> str:
    """A job that was enqueued in sealed, its legacy copy never written; now in new_only."""
    world.migration.set_stage(Stage.SEALED)
    made = JobStore(real_client).enqueue("acme", "mail", "send", {}, "ada")
    world.migration.set_stage(Stage.NEW_ONLY)
    return made.job_id


def test_a_process_that_reads_legacy_is_refused_while_legacy_copies_are_missing(
    real_client: redis.Redis, unsealed: str
) -> None:
    """FLAGGED_READS_UNREVERSED: it would not find the job, or find it stale."""
    assert JobStore(real_client).get_job(unsealed, "acme") is not None
    flagged = JobStore(real_client, Settings(flags=Flags(read_prefers_new=False)))
    for call in (
        lambda: flagged.get_job(unsealed, "acme"),
        lambda: flagged.list_jobs("acme"),
        lambda: flagged.update_status(unsealed, "running", "acme"),
        lambda: flagged.claim("worker"),
        lambda: flagged.delete_job(unsealed, "acme"),
        lambda: flagged.enqueue("acme", "mail", "send", {}, "ada"),
    ):
        with pytest.raises(FlagConflict):
            call()


def test_a_workspace_is_asked_for_while_no_legacy_copy_tells_it(real_client: redis.Redis, unsealed: str) -> None:
    """The job exists, so it is not called unknown."""
    with pytest.raises(UsageError, match="workspace_id is required"):
        JobStore(real_client).update_status(unsealed, "running")
    assert JobStore(real_client).update_status(unsealed, "running", "acme").status == "running"


def enqueued_after_the_look(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> list[Enqueued]:
    """A job that comes right after a move has looked whether there is any; it is in the list then."""
    made: list[Enqueued] = []

    def looked(client: redis.Redis, pace: Pace) -> bool:
        found = has_jobs(client, pace)
        if not made:
            made.append(store.enqueue("acme", "mail", "send", {}, "ada"))
        return found

    monkeypatch.setattr("relay_jobs.moves.has_jobs", looked)
    return made


def test_a_job_that_is_enqueued_while_a_server_is_found_empty_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMPTINESS_SEEN_IN_ONE_SCHEMA: written in legacy, after the look and before the move to new_only."""
    world.migration.set_stage(Stage.LEGACY)
    store = JobStore(world.client)
    made = enqueued_after_the_look(store, monkeypatch)
    with suppress(GateRefused):
        world.migration.set_stage(Stage.NEW_ONLY)
    assert store.get_job(made[0].job_id, "acme") is not None


@pytest.mark.parametrize("back", ["set", "rollback"])
def test_a_job_that_is_enqueued_while_a_sealed_server_is_found_empty_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, back: str
) -> None:
    """The other way: written in sealed, after the look and before the move to where legacy is read."""
    world.migration.set_stage(Stage.SEALED)
    store = JobStore(world.client)
    made = enqueued_after_the_look(store, monkeypatch)
    with suppress(Refused):
        if back == "set":
            world.migration.set_stage(Stage.LEGACY)
        else:
            world.migration.rollback()
    assert store.get_job(made[0].job_id, "acme") is not None
