"""A promoted replica is another server: what was walked or proven before does not count, and what it has is whole."""

import threading
from collections.abc import Callable

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import GateRefused
from relay_jobs.progress import Phase
from tests.engines.world import Rests, World, acting, copies, equal, fill, total
from tests.store.records import copy_at, enqueue, legacy, new_store, put_both, put_legacy, raw, scoped, set_stage
from tests.support.pair import Pair

JOBS = 120


@pytest.fixture
def world(pair: Pair) -> World:
    """An operator in ``new_first`` whose client survives a failover."""
    client = pair.client()
    set_stage(client, Stage.NEW_FIRST)
    client.hset("ai:migration:stages", "*epoch", 1)
    return World(client, Rests())


@pytest.fixture
def store(pair: Pair, world: World) -> JobStore:
    """A process with the library whose client survives a failover."""
    return new_store(pair.client())


def test_a_pass_over_which_a_replica_is_promoted_starts_over(pair: Pair, world: World) -> None:
    """Its cursor means nothing there: it says so, its books balance, and every job has its copy."""
    fill(world.client, JOBS)
    opened = world.open(batch=20)
    reports = acting(world.walk(opened), lambda: None, pair.fail_over)
    assert [r.reason for r in reports if r.phase is Phase.RESTARTED] == [
        "the server process is another one, on which its cursor means nothing"
    ]
    world.close(opened)
    summary = world.migration.summary(opened)
    assert summary.complete
    assert summary.total.balanced
    assert summary.total.migrated + summary.total.exists == summary.total.scanned >= JOBS
    assert 0 < summary.total.exists < JOBS
    assert total(reports).scanned > summary.total.scanned
    assert len(copies(world.client)) == JOBS
    assert world.verify().verified


def test_a_pass_that_loses_its_last_steps_with_the_primary_starts_over(pair: Pair, world: World) -> None:
    """The checkpoint is as old as the copies, on the replica too; both are walked again."""
    fill(world.client, JOBS)
    opened = world.open(batch=20)
    reports = acting(world.walk(opened), lambda: None, pair.part, lambda: None, pair.promote)
    assert [r.phase for r in reports].count(Phase.RESTARTED) == 1
    world.close(opened)
    summary = world.migration.summary(opened)
    assert summary.total.balanced
    assert len(copies(world.client)) == JOBS
    assert world.verify().verified


@pytest.mark.parametrize("direction", ["legacy", "workspace"])
def test_a_verification_over_which_a_replica_is_promoted_starts_over(pair: Pair, world: World, direction: str) -> None:
    """In either direction; it says so, and its record is of the server that it was made on."""
    for name in fill(world.client, 250):
        put_both(world.client, name)
    checking = world.migration.verify()
    notices, acts = [], [pair.fail_over]
    for step in checking:
        notices += [step.notice] if step.notice else []
        if acts and step.direction == direction:
            acts.pop()()
    assert notices == ["starting over: the server process is another one; what was compared before proves nothing"]
    assert (checking.verdict.equal, checking.verdict.verified) == (250, True)
    record = world.migration.ladder.last(b"ai:migration:verifications")["*"]
    assert record["server"] == world.client.info("server")["run_id"]


@pytest.mark.parametrize("promoted", [False, True])
def test_what_was_proven_on_the_old_primary_opens_no_gate_on_the_new_one(
    pair: Pair, world: World, promoted: bool
) -> None:
    """It may have lost what was compared."""
    fill(world.client, 5)
    world.backfill()
    assert world.verify().verified
    if not promoted:
        assert world.migration.set_stage(Stage.NEW_ONLY).after is Stage.NEW_ONLY
        return
    pair.fail_over()
    with pytest.raises(GateRefused) as refused:
        world.migration.set_stage(Stage.NEW_ONLY)
    assert [reason.split(":")[0] for reason in refused.value.reasons] == [
        "the pass was made on another server process",
        "the verification was made on another server process",
    ]
    world.backfill(run="again")
    assert world.verify().verified
    assert world.migration.set_stage(Stage.NEW_ONLY).after is Stage.NEW_ONLY


def test_a_claim_survives(pair: Pair, store: JobStore) -> None:
    """Its worker renews and ends it on the promoted replica, and nobody else is offered the job."""
    enqueue(store, job_id="j")
    assert store.claim("w") is not None
    pair.fail_over()
    assert store.claim("other") is None
    store.heartbeat("j", "w")
    assert store.update_status("j", "completed", "acme", result=1).result == 1


def test_a_lease_survives(pair: Pair, world: World) -> None:
    """Whoever executes goes on executing, and nobody beside."""
    fill(world.client, 5)
    opened = world.open()
    pair.fail_over()
    assert world.holder() == opened.run.encode()


Call = Callable[[JobStore], object]

CALLS: dict[str, tuple[Call, Callable[[redis.Redis], object], object]] = {
    "enqueue": (
        lambda store: enqueue(store, job_id="new"),
        lambda client: raw(client, "LRANGE", "ai:queue:pending", 0, -1),
        [b"j", b"new"],
    ),
    "claim": (lambda store: store.claim("w"), lambda client: client.llen("ai:queue:pending"), 0),
    "update": (
        lambda store: store.update_status("j", "running", "acme").status,
        lambda client: {client.hget(key, "status") for key in (legacy("j"), scoped("j"))},
        {b"running"},
    ),
    "delete": (
        lambda store: store.delete_job("j", "acme"),
        lambda client: client.exists(legacy("j"), scoped("j")),
        0,
    ),
}


@pytest.mark.parametrize("lost", [False, True], ids=["replicated", "lost"])
@pytest.mark.parametrize("name_of_call", CALLS)
def test_a_call_whose_reply_is_lost_in_a_failover_happens_once(
    pair: Pair, store: JobStore, name_of_call: str, lost: bool
) -> None:
    """Sent again, it finds its outcome, or has not happened; what it is told is what the new primary holds."""
    call, observe, expected = CALLS[name_of_call]
    enqueue(store, job_id="j")
    if lost:
        pair.part()
    pair.proxy.lose_reply(then=pair.promote if lost else pair.fail_over)
    assert call(store)
    assert pair.proxy.spent
    assert observe(pair.client()) == expected
    assert equal(pair.client(), "j") or name_of_call == "delete"


def test_an_update_of_a_job_that_was_lost_is_told_so(pair: Pair, store: JobStore) -> None:
    """What an asynchronous failover has lost is unknown; no part of it comes back."""
    enqueue(store, job_id="kept")
    pair.part()
    enqueue(store, job_id="lost")
    pair.promote()
    with pytest.raises(LookupError):
        store.update_status("lost", "running", "acme")
    client = pair.client()
    assert not client.exists(legacy("lost"), scoped("lost"))
    assert raw(client, "LRANGE", "ai:queue:pending", 0, -1) == [b"kept"]
    assert raw(client, "ZRANGE", "ai:index:acme", 0, -1) == [b"kept"]


class Worker:
    """Works through the library on a server until that dies."""

    def __init__(self, number: int, client: redis.Redis) -> None:
        self._number, self._store = number, new_store(client)
        self.warm = threading.Event()
        self.failures: list[Exception] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for turn in range(100_000):
                self._work(turn)
                if turn == 10:
                    self.warm.set()
        except redis.ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001 -- told to the test's own thread
            self.failures.append(error)
        self.warm.set()

    def _work(self, turn: int) -> None:
        job_id = f"w{self._number}-{turn}"
        enqueue(self._store, job_id=job_id)
        self._store.update_status(job_id, "running", "acme")
        self._store.update_status(f"job-{(self._number * 100 + turn) % 200:05d}", "running", "acme")
        if turn % 3 == 0:
            self._store.delete_job(job_id, "acme")


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_a_primary_killed_at_work_leaves_no_partial_copy(pair: Pair, world: World, stage: Stage) -> None:
    """The effects of a script reach the replica whole or not at all, wherever its stream ends."""
    set_stage(world.client, stage)
    for name in fill(world.client, 200):
        put_both(world.client, name)
    opened = world.open(batch=25)
    workers = [Worker(number, pair.primary.client()) for number in (0, 1)]
    for worker in workers:
        worker.warm.wait(60)
    acting(world.walk(opened), lambda: None, lambda: None, pair.promote)
    for worker in workers:
        worker.thread.join(60)
    assert [worker.failures for worker in workers] == [[], []]
    client = pair.client()
    jobs = {key.removeprefix(b"ai:jobs:") for key in client.scan_iter("ai:jobs:*", count=1000)}
    assert len(jobs) > 210
    assert [name for name in jobs if not equal(client, name)] == []
    assert copies(client) == jobs == set(raw(client, "ZRANGE", "ai:index:acme", 0, -1))
    assert all(b"params" in copy_at(client, scoped(name)) for name in jobs)
    world.close(opened)
    verdict = world.verify()
    assert (verdict.verified, verdict.unindexed, verdict.malformed) == (True, 0, 0)


def test_a_stage_that_was_lost_in_a_failover_is_the_older_one_for_everybody(pair: Pair, world: World) -> None:
    """A move that the replica never saw has not happened: each script reads the stage where it runs."""
    put_legacy(world.client, "j")
    pair.part()
    assert world.migration.rollback()
    assert world.migration.ladder.recorded().of("*") is Stage.DUAL_WRITE
    pair.promote()
    assert world.migration.ladder.recorded().of("*") is Stage.NEW_FIRST
    new_store(pair.client()).update_status("j", "running", "acme")
    assert equal(pair.client(), "j")
