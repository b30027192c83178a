"""One executing run per database: who holds the lease, who waits, who is fenced."""

import time

import pytest
import redis

from relay_jobs import runs
from relay_jobs.errors import Fenced, LeaseHeld
from relay_jobs.progress import Books, Phase
from tests.engines.world import Rests, World, copies, fill
from tests.store.records import copy_at, dump, put_legacy

LEASE = b"ai:migration:lease"


@pytest.fixture
def quick(world: World) -> World:
    """An operator whose leases live for 0.3 s."""
    return World(world.client, time.sleep, lease_seconds=0.3)


def test_a_second_run_waits_one_lease_and_is_then_refused(world: World, rests: Rests) -> None:
    """The refusal names the holder and when its lease ends."""
    world.open("first")
    with pytest.raises(LeaseHeld, match="held by first") as refused:
        world.open("second")
    assert refused.value.holder == "first"
    assert 25 < refused.value.expires_in <= 30
    assert "expires in 30 s" in str(refused.value)
    assert 30 <= sum(rests) <= 31.5


def test_a_run_that_does_not_wait_is_refused_at_once(world: World, rests: Rests) -> None:
    """``wait=False`` is the DAG's ``on_busy: refuse``."""
    world.open("first")
    with pytest.raises(LeaseHeld):
        world.open("second", wait=False)
    assert rests == []


def test_a_refused_run_has_written_nothing(world: World) -> None:
    """No run, no step, no checkpoint, no token."""
    fill(world.client, 3)
    world.open("first")
    before = {key: value[:2] for key, value in dump(world.client).items()}
    with pytest.raises(LeaseHeld):
        world.open("second", workspaces=["acme"], restart=True)
    assert {key: value[:2] for key, value in dump(world.client).items()} == before


def test_a_dead_holder_blocks_for_no_longer_than_its_lease(quick: World) -> None:
    """After 0.3 s without renewal the next run gets it, although nobody gave it back."""
    quick.open("dead")
    assert 0 < quick.client.pttl(LEASE) <= 300
    quick.open("next")
    assert quick.holder() == b"next"


def test_a_living_holder_renews_with_every_batch(world: World) -> None:
    """Both leases, of the run and of the partition, begin anew."""
    fill(world.client, 30)
    walk = world.walk(world.open(batch=5))
    for _ in range(3):
        next(walk)
        for key in (LEASE, b"ai:migration:progress:all:lease:0"):
            assert world.client.pttl(key) > 29_000
            world.client.pexpire(key, 5_000)


@pytest.mark.parametrize("state", ["waiting", "paused"])
def test_a_holder_that_may_not_work_renews_too(world: World, state: str) -> None:
    """A throttled or paused run keeps what it has."""
    fill(world.client, 30)
    walk = world.walk(world.open(batch=5, rps=1 if state == "waiting" else None))
    next(walk)
    if state == "paused":
        world.migration.pause("lunch")
    world.client.pexpire(LEASE, 5_000)
    assert next(walk).phase == state
    assert world.client.pttl(LEASE) > 29_000


def test_a_lease_that_is_given_back_is_free_at_once(world: World, rests: Rests) -> None:
    """Nobody waits for it."""
    fill(world.client, 3)
    world.backfill("first")
    assert world.backfill("second", wait=False).complete
    assert rests == []


def test_nobody_gives_back_the_lease_of_another(world: World) -> None:
    """A run that was taken over cannot free its successor's lease."""
    world.open("first")
    world.migration.release("second")
    assert world.holder() == b"first"


def test_the_next_try_of_a_task_takes_over_at_once_and_the_zombie_is_fenced(world: World, rests: Rests) -> None:
    """Same owner, new token: the process that was thought dead stops at its next batch, having written nothing."""
    fill(world.client, 30)
    opened = world.open(batch=5)
    zombie = world.walk(opened, owner="dag/run/task/0")
    next(zombie)
    heir = world.walk(opened, owner="dag/run/task/0")
    assert next(heir).phase is Phase.RESUMED
    before = {key: value[:2] for key, value in dump(world.client).items()}
    with pytest.raises(Fenced, match="has taken over partition 0"):
        next(zombie)
    assert {key: value[:2] for key, value in dump(world.client).items()} == before
    list(heir)
    assert rests == []
    world.close(opened)
    assert world.migration.summary(opened).total == Books(scanned=30, migrated=30)


def test_a_second_owner_of_a_partition_waits_and_is_refused(world: World, rests: Rests) -> None:
    """A partition is one unit of work."""
    fill(world.client, 30)
    opened = world.open(batch=5, partitions=2)
    first = world.walk(opened, 1, "task/1")
    next(first)
    with pytest.raises(LeaseHeld, match="partition 1 is held by task/1"):
        next(world.walk(opened, 1, "task/other"))
    assert 30 <= sum(rests) <= 31.5
    next(world.walk(opened, 0, "task/other"))


def test_a_partition_of_a_dead_owner_is_free_after_its_lease(quick: World) -> None:
    """And what it had done is not done again."""
    fill(quick.client, 30)
    opened = quick.open(batch=5)
    dead = quick.walk(opened, owner="dead")
    next(dead)
    done = len(copies(quick.client))
    reports = list(quick.walk(opened, owner="next"))
    assert sum(report.counts.scanned for report in reports) == 30 - done
    with pytest.raises(Fenced):
        next(dead)


def test_a_run_that_lost_its_lease_is_fenced(quick: World) -> None:
    """A process that was stopped for longer than its lease, in another scope, cannot work beside its successor."""
    fill(quick.client, 30)
    zombie = quick.walk(quick.open("old", batch=5))
    next(zombie)
    done = copies(quick.client)
    time.sleep(0.35)
    quick.open("new", workspaces=["beta"])
    with pytest.raises(Fenced, match="new has taken over"):
        next(zombie)
    assert copies(quick.client) == done


def test_a_run_that_lost_its_lease_cannot_join_again(world: World) -> None:
    """Its next try waits like anybody else."""
    fill(world.client, 30)
    opened = world.open("old")
    world.migration.release("old")
    world.open("new")
    with pytest.raises(LeaseHeld, match="held by new"):
        next(world.walk(opened))


def test_a_walk_that_is_stopped_early_gives_its_partition_back(world: World, rests: Rests) -> None:
    """Ctrl-C between two batches blocks nobody."""
    fill(world.client, 30)
    opened = world.open(batch=5)
    for owner in ("first", "second", "third"):
        # The second one is stopped at its notice that it goes on.
        walk = world.walk(opened, owner=owner)
        next(walk)
        walk.close()
    assert rests == []


def test_tokens_only_grow(world: World) -> None:
    """Each join and each new pass gets a higher one."""
    opened = world.open()
    # What stands before the colon is the server process.
    tokens = [int(runs.join(world.client, opened, 0, "run-1", 30).token.split(":")[1]) for _ in range(3)]
    assert tokens == sorted(set(tokens))
    world.backfill(restart=True)
    assert int(copy_at(world.client, b"ai:migration:progress:all")[b"generation"]) > tokens[-1]


def test_only_one_of_many_runs_gets_the_lease(world: World, client: redis.Redis) -> None:
    """Taking it is one atomic step."""
    world.open("run-0", wait=False)
    for number in range(1, 5):
        with pytest.raises(LeaseHeld, match="held by run-0"):
            world.open(f"run-{number}", wait=False)
    assert client.hget(LEASE, "holder") == b"run-0"


def test_a_repair_holds_the_lease_and_is_fenced_without_it(world: World) -> None:
    """Repair writes, so it is a run like any other; what it had mended stays mended."""
    fill(world.client, 300)
    mending = iter(world.migration.verify(repair=True, run="mender"))
    next(mending)
    assert world.holder() == b"mender"
    with pytest.raises(LeaseHeld):
        world.open("other", wait=False)
    world.client.delete(LEASE)
    world.open("other", wait=False)
    mended = copies(world.client)
    with pytest.raises((Fenced, LeaseHeld), match="other"):
        next(mending)
    assert copies(world.client) == mended


def test_a_repair_renews_the_lease_with_every_step(world: World) -> None:
    """Also where it finds nothing to mend."""
    fill(world.client, 300)
    world.backfill()
    mending = world.migration.verify(repair=True, run="mender")
    for _ in mending:
        assert world.client.pttl(LEASE) > 29_000
        world.client.pexpire(LEASE, 5_000)


def test_a_repair_is_fenced_inside_its_step(world: World) -> None:
    """Each job's repair checks the lease itself: one taken over between two of them stops the second."""
    names = fill(world.client, 2)
    mending = world.migration.verify(repair=True, run="mender")
    stolen: list[int] = []

    def steal(_: float) -> None:
        if not stolen:
            stolen.append(world.client.hset(LEASE, "holder", "thief"))

    for name in names:
        world.client.hset(f"ai:job:acme:{name}", mapping={"workspace_id": "acme"})
    mending._engine._sleep = steal
    # Not by its run, which renews the lease before each of them and would find it taken.
    runs.take_lease(world.client, "mender", 30)
    with pytest.raises(Fenced, match="thief"):
        list(mending._engine.steps())
    assert [world.client.hlen(f"ai:job:acme:{name}") for name in names] == [1, 1]


def test_a_repair_that_ends_early_gives_the_lease_back(world: World) -> None:
    """Whether it was stopped or failed, the next run begins at once."""
    fill(world.client, 300)
    mending = iter(world.migration.verify(repair=True, run="mender"))
    next(mending)
    mending.close()  # type: ignore[attr-defined]
    assert world.holder() is None


def test_a_look_takes_no_lease(world: World) -> None:
    """A verification that only reads runs beside a backfill."""
    put_legacy(world.client, "j")
    world.open("first")
    assert world.verify().missing == 1
    assert world.holder() == b"first"
