"""The books balance on every path: partitions, overlap, limits, failures, a killed process, a lost reply."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from relay_jobs import Stage
from relay_jobs.errors import GateRefused
from relay_jobs.progress import Books, Phase
from tests.engines.test_copies import put_invalid
from tests.engines.world import Rests, World, copies, curtailed, equal, fill, total
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import copy_at, dump, legacy, put_legacy, put_scoped, scoped

WALKER = textwrap.dedent("""
    import sys, redis
    from relay_jobs import Settings
    from relay_jobs.migration import Migration
    port, run, partition = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    relay = Migration(redis.Redis(port=port), Settings(lease_seconds=0.3))
    opened = relay.open_pass(run=run, step="full", partitions=4, rps=1000, batch=5)
    for report in relay.walk(opened, partition, run):
        pass
""")


def put_everything(client: redis.Redis) -> None:
    """Every outcome of a pass at once, for acme and beta; delta is in stage ``legacy``."""
    fill(client, 40)
    fill(client, 20, "beta", "b")
    fill(client, 9, "delta", "d")
    client.hset("ai:migration:stages", "delta", "legacy")
    put_invalid(client)
    for number in range(7):
        put_scoped(client, f"job-{number:05d}")
    put_scoped(client, "job-00010", status="completed")
    client.hset(scoped("job-00011"), "status", "running")
    client.set(scoped("job-00012"), "text")


ALL = Books(scanned=84, migrated=51, exists=7, conflict=2, invalid=15, filtered=9)


def test_every_outcome_is_counted_once(world: World) -> None:
    """One walk over one of each: scanned is the sum of the rest, in reports, step, pass, record and counters alike."""
    put_everything(world.client)
    opened = world.open(batch=10)
    reports = list(world.walk(opened))
    world.close(opened)
    summary = world.migration.summary(opened)
    assert total(reports) == summary.books == summary.total == ALL
    assert world.migration.ladder.last(b"ai:migration:passes")["*"]["books"] == ALL.as_dict()
    outcomes = {name: 0 for name in ALL.as_dict()}
    for field, number in copy_at(world.client, b"ai:migration:counters").items():
        name = field.decode().partition(":")[0]
        if name in outcomes:
            outcomes[name] += int(number)
    # How many were scanned is their sum.
    assert outcomes == ALL.as_dict() | {"scanned": 0}


def test_a_dry_run_keeps_the_same_books(world: World) -> None:
    """Plan and run are one code path, so they agree on every outcome."""
    put_everything(world.client)
    assert world.dry_run(batch=3) == world.dry_run() == world.backfill().books == ALL


@pytest.mark.parametrize("partitions", [2, 16, 256])
def test_the_books_of_many_partitions_balance(world: World, partitions: int) -> None:
    """Overlap at the seams counts as exists; migrated is exact however the keyspace is divided."""
    put_everything(world.client)
    summary = world.backfill(partitions=partitions, batch=50)
    assert summary.total.balanced
    assert summary.total == summary.books
    assert summary.total.migrated == ALL.migrated
    assert summary.total.scanned >= ALL.scanned


def test_the_books_of_limited_runs_add_up_to_the_pass(world: World) -> None:
    """Each run has its own books, the pass has their sum."""
    put_everything(world.client)
    found, total_of_steps = None, Books()
    for turn in range(20):
        found = world.backfill(f"run-{turn}", max_keys=9, batch=4)
        assert found.books.balanced
        total_of_steps += found.books
        if found.complete:
            break
    assert found is not None
    assert found.total == total_of_steps == ALL


def test_the_books_of_a_chosen_workspace_balance(world: World) -> None:
    """What is not the scope's is filtered, and counted."""
    put_everything(world.client)
    found = world.backfill(workspaces=["beta"]).books
    assert found == Books(scanned=84, migrated=20, filtered=64)


def test_the_books_of_a_denied_run_balance(world: World, real_server: Server) -> None:
    """A user who may not write copies leaves errors in the books, not a clean end."""
    fill(world.client, 30)
    put_invalid(world.client)
    denied = curtailed(
        world, real_server.client(username="nowrite", password="x"), "nowrite", "%R~ai:job:*", "ai:jobs:*"
    )
    summary = denied.backfill()
    assert summary.books == Books(scanned=45, invalid=15, errors=30)
    assert copies(world.client) == set()
    assert world.counter("errors:acme") == 30
    assert summary.complete
    assert world.client.hget("ai:migration:indexed", "*") is None


def test_a_pass_beside_processes_without_the_library_has_not_indexed_everything(world: World) -> None:
    """What they enqueue behind the pass is in no index, so it alone serves after a later pass only."""
    fill(world.client, 3)
    assert world.backfill().complete
    assert world.client.hget("ai:migration:indexed", "*") is None
    with pytest.raises(GateRefused):
        world.migration.set_stage(Stage.NEW_FIRST, legacy_writers_gone=True)
    world.backfill()
    assert world.client.hget("ai:migration:indexed", "*") == b"1"


def test_a_run_that_may_not_write_the_index_copies_nothing_unindexed(world: World, real_server: Server) -> None:
    """A copy without its index entry would be missing from listings."""
    fill(world.client, 5)
    noindex = real_server.client(username="noindex", password="x")
    assert curtailed(world, noindex, "noindex", "ai:job:*", "ai:jobs:*").backfill().books.errors == 5
    assert copies(world.client) == set()


def test_one_denied_job_does_not_hold_up_the_others(world: World, real_server: Server) -> None:
    """An error belongs to its key, and its sample names the job, its workspace and the code, not the command."""
    fill(world.client, 10)
    fill(world.client, 3, "beta", "b")
    client = real_server.client(username="acme", password="x")
    acme = curtailed(world, client, "acme", "ai:job:acme:*", "ai:index:*", "ai:jobs:*")
    reports = list(acme.walk(acme.open()))
    assert total(reports) == Books(scanned=13, migrated=10, errors=3)
    samples = {sample for report in reports for sample in report.samples}
    assert {(s.workspace_id, s.finding, s.reason) for s in samples} == {("beta", "errors", "NOPERM")}


@pytest.fixture
def small(real_server: Server) -> Iterator[redis.Redis]:
    """A server whose memory limit a test may set."""
    client = real_server.client()
    yield client
    client.config_set("maxmemory", 0)


def test_a_full_server_gives_the_step_up_whole(world: World, small: redis.Redis) -> None:
    """Out of memory nothing is written and the checkpoint stays; with memory again the walk goes on."""
    fill(world.client, 30)
    opened = world.open(batch=10)
    walk = world.walk(opened)
    next(walk)
    before = dump(small)
    small.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        next(walk)
    small.config_set("maxmemory", 0)
    assert dump(small) == before
    assert world.backfill().total == Books(scanned=30, migrated=30)


def test_a_full_server_is_no_reason_to_skip_a_job_without_writing(world: World, small: redis.Redis) -> None:
    """Not even a batch of records that need no write passes the checkpoint then."""
    put_invalid(world.client)
    opened = world.open()
    before = dump(small)
    small.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        next(world.walk(opened))
    small.config_set("maxmemory", 0)
    assert dump(small) == before


def _becomes_a_replica(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")


def _misses_its_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


def _cannot_save(client: redis.Redis) -> None:
    client.config_set("save", "3600 1")
    # What is to be written has a directory in its place.
    found: dict[str, Any] = client.config_get("dir") | client.config_get("dbfilename")
    Path(found["dir"], found["dbfilename"]).mkdir()
    client.bgsave()
    _until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


@pytest.mark.parametrize("state", [_becomes_a_replica, _misses_its_replicas, _cannot_save])
def test_a_server_on_which_every_write_fails_gives_the_step_up_whole(
    real_start: Server, state: Callable[[redis.Redis], None]
) -> None:
    """READONLY, NOREPLICAS and MISCONF are about the server, not about a job: nothing is counted."""
    client = real_start.client()
    client.hset("ai:migration:stages", "*", "dual_write")
    world = World(client, Rests())
    fill(client, 30)
    walk = world.walk(world.open(batch=10))
    next(walk)
    before = dump(client)
    state(client)
    with pytest.raises(redis.exceptions.ResponseError):
        next(walk)
    assert dump(client) == before
    client.replicaof("NO", "ONE")
    client.config_set("min-replicas-to-write", 0)
    client.config_set("save", "")
    assert world.backfill().total == Books(scanned=30, migrated=30)
    world.end()


@pytest.fixture(params=["valkey", "redis7"])
def name(request: pytest.FixtureRequest) -> str:
    """Each real server in turn."""
    return str(request.param)


@pytest.fixture
def real_start(running: "object", name: str) -> Iterator[Server]:
    """A server of this test's own."""
    server = running.start(name)  # type: ignore[attr-defined]
    yield server
    server.close()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_process_leaves_exact_books(world: World, real_server: Server) -> None:
    """SIGKILL in the middle of a partition: the totals are those of an undisturbed pass."""
    fill(world.client, 600)
    walker = subprocess.Popen([sys.executable, "-c", WALKER, str(real_server.port), "dead", "1"])

    def scanned() -> int:
        return sum(int(n) for field, n in world.checkpoint().items() if field.startswith(b"scanned:"))

    _until(lambda: scanned() >= 40)
    walker.kill()
    walker.wait()
    assert b"done:1" not in world.checkpoint()
    heir = World(world.client, time.sleep, lease_seconds=0.3)
    opened = heir.open("heir", batch=5)
    assert opened.resumed
    assert opened.partitions == 4
    for number in range(4):
        list(heir.walk(opened, number))
    heir.close(opened)
    summary = heir.migration.summary(opened)
    steps = [copy_at(world.client, f"ai:migration:run:{run}:full".encode()) for run in ("dead", "heir")]
    assert sum((Books.from_hash(step) for step in steps), Books()) == summary.total
    assert summary.total.balanced
    assert (summary.total.migrated, len(copies(world.client))) == (600, 600)
    assert world.counter("migrated:acme") == 600


@pytest.fixture
def proxy(real_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A network that loses what it is told to."""
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    with Proxy(real_server.port) as proxy:
        yield proxy


@pytest.fixture
def far(world: World, real_server: Server, proxy: Proxy) -> World:
    """An operator behind that network, whose client tries again."""
    return World(real_server.client(port=proxy.port, retry=Retry(NoBackoff(), 3)), Rests())


@pytest.mark.parametrize("lose", ["lose_reply", "refuse"])
def test_a_lost_reply_in_a_pass_leaves_exact_books(far: World, proxy: Proxy, lose: str) -> None:
    """Opening, joining, every batch and completing: whichever reply is lost, each key is counted once."""
    fill(far.client, 30)
    for turn in range(1, 9):
        run = f"run-{turn}"
        opened = far.open(run, batch=10)
        walk = far.walk(opened)
        for step in range(turn):
            if step == turn - 1:
                getattr(proxy, lose)()
            if next(walk, None) is None:
                break
        list(walk)
        far.close(opened)
        assert proxy.spent
        summary = far.migration.summary(opened)
        assert summary.complete
        assert summary.books == summary.total
        assert summary.total == (Books(scanned=30, migrated=30) if turn == 1 else Books(scanned=30, exists=30))


def test_a_lost_reply_without_a_retry_is_no_lost_batch(world: World, real_server: Server, proxy: Proxy) -> None:
    """The caller's error is no more than that: the batch is in the books, and the next process goes on after it."""
    fill(world.client, 30)
    once = World(real_server.client(port=proxy.port), Rests())
    walk = once.walk(once.open(batch=10))
    first = next(walk).counts.migrated
    proxy.lose_reply()
    with pytest.raises(redis.exceptions.ConnectionError):
        next(walk)
    seen = Books.from_hash(copy_at(world.client, b"ai:migration:run:run-1:full"))
    assert seen.balanced
    assert seen.migrated == len(copies(world.client)) > first
    assert world.backfill().total == Books(scanned=30, migrated=30)


def test_a_lost_reply_in_a_repair_repairs_once(far: World, proxy: Proxy) -> None:
    """A repair that is sent again finds the copies equal."""
    put_legacy(far.client, "j")
    proxy.hold(proxy.lose_reply)
    verdict = far.verify(repair=True)
    assert (verdict.equal, verdict.missing, verdict.repaired) == (1, 0, 1)
    assert equal(far.client, "j")


def test_a_verification_counts_every_legacy_key_once(world: World) -> None:
    """legacy = equal + different + missing + quarantined, in one walk over one of each."""
    put_everything(world.client)
    verdict = world.verify()
    legacy_keys = sum(1 for _ in world.client.scan_iter(legacy("*")))
    counted = verdict.equal + verdict.different + verdict.missing + verdict.quarantined + verdict.filtered
    assert counted == legacy_keys == 84
    assert (verdict.equal, verdict.different, verdict.missing, verdict.quarantined) == (7, 1, 52, 15)


def test_a_limited_partition_ends_by_itself(world: World) -> None:
    """The last report of a walk says whether it came to its end."""
    fill(world.client, 10)
    assert list(world.walk(world.open(max_keys=3)))[-1].phase is Phase.LIMITED
    assert list(world.walk(world.open(step="more")))[-1].phase is Phase.DONE
    assert [report.phase for report in world.walk(world.open(step="again"), owner="another")] == [Phase.DONE]
