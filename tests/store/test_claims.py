"""A worker holds a job for a lease; an expired claim is offered again, first, and the late worker is refused."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis

from relay_jobs import Job, JobStore, Settings, Stage
from relay_jobs.errors import ClaimLost, FlagConflict, IllegalTransition, UsageError
from tests.servers import Server
from tests.store.records import (
    READS_LEGACY,
    STAGES,
    WRITES_BOTH,
    copy_at,
    dump,
    enqueue,
    legacy,
    new_store,
    put_both,
    put_legacy,
    put_scoped,
    put_where_read,
    scoped,
    set_stage,
)

At = Callable[..., JobStore]
QUEUE = "ai:queue:pending"


def claimed(store: JobStore, worker: str = "w", timeout: float = 0) -> str | None:
    job = store.claim(worker, timeout)
    return None if job is None else job.job_id


def expire_claims(client: redis.Redis) -> None:
    """Let every lease have ended, without waiting for it."""
    for member in client.zrange("ai:migration:claims", 0, -1):
        client.zadd("ai:migration:claims", {member: 1})


def leftovers(client: redis.Redis) -> int:
    return client.zcard("ai:migration:claims") + client.hlen("ai:migration:claimants")


def test_jobs_come_in_the_order_of_the_queue(staged: JobStore, client: redis.Redis) -> None:
    """The oldest entry first, now running, and then none."""
    for job_id in ("a", "b:c d*", "é"):
        enqueue(staged, job_id=job_id)
    jobs = [staged.claim("w") for _ in range(3)]
    assert [job.job_id for job in jobs if job] == ["a", "b:c d*", "é"]
    assert all(job.status == "running" and job.started_at is not None for job in jobs if job)
    assert staged.claim("w") is None
    assert client.llen(QUEUE) == 0


def test_a_claim_writes_every_copy_of_the_stage(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """A claimed job is running in whatever the stage writes, and a copy that was absent is whole."""
    put_where_read(client, stage, "j", note="kept")
    client.rpush(QUEUE, "\x1facme\x1fj")
    assert claimed(staged) == "j"
    copies = [copy for copy in (copy_at(client, legacy("j")), copy_at(client, scoped("j"))) if copy]
    assert len(copies) == (2 if stage in WRITES_BOTH else 1)
    assert all(copy == copies[0] for copy in copies)
    assert (copies[0][b"status"], copies[0][b"note"]) == (b"running", b"kept")


def test_both_forms_of_queue_entries_are_understood(client: redis.Redis) -> None:
    """Entries of every stage are handed out in every stage that knows their jobs."""
    for stage in STAGES:
        client.flushall()
        set_stage(client, stage)
        put_both(client, "bare")
        put_both(client, "sealed")
        client.rpush(QUEUE, "bare", "\x1facme\x1fsealed")
        store = new_store(client)
        assert [claimed(store), claimed(store), claimed(store)] == ["bare", "sealed", None]


def test_entries_without_a_job_to_do_are_skipped(staged: JobStore, client: redis.Redis) -> None:
    """Unknown, deleted, finished and already held jobs do not stop the queue."""
    put_both(client, "done", status="completed")
    put_both(client, "broken", status="error")
    put_both(client, "j")
    put_both(client, "k")
    client.rpush(QUEUE, "ghost", "done", "broken", "\x1facme\x1fghost", "\x1f\x1f", "", "j", "j", "k")
    assert [claimed(staged), claimed(staged), claimed(staged)] == ["j", "k", None]
    assert client.llen(QUEUE) == 0


def test_an_entry_whose_id_cannot_be_asked_for_is_skipped(staged: JobStore, client: redis.Redis) -> None:
    """No worker could report on it: the next job is handed out, and the record stays as it was."""
    put_both(client, "j\x01")
    put_both(client, "k")
    before = copy_at(client, legacy("j\x01")), copy_at(client, scoped("j\x01"))
    client.rpush(QUEUE, "\x1facme\x1fj\x01", "\x1facme\x1fk")
    assert claimed(staged) == "k"
    assert (copy_at(client, legacy("j\x01")), copy_at(client, scoped("j\x01"))) == before


def test_an_expired_claim_whose_id_cannot_be_asked_for_ends(staged: JobStore, client: redis.Redis) -> None:
    """It would be offered again for good."""
    put_both(client, "j\x01", status="running")
    client.zadd("ai:migration:claims", {"\x1facme\x1fj\x01": 1})
    client.hset("ai:migration:claimants", mapping={"\x1facme\x1fj\x01": "t\x1fw", "w\x1fj\x01": "acme"})
    assert claimed(staged) is None
    assert client.exists("ai:migration:claims", "ai:migration:claimants") == 0


def test_many_dead_entries_are_skipped_within_one_claim(staged: JobStore, client: redis.Redis) -> None:
    """A long run of dead entries is gone through, not answered with none."""
    client.rpush(QUEUE, *(f"ghost{number}" for number in range(350)))
    enqueue(staged, job_id="j")
    assert claimed(staged) == "j"


@pytest.mark.parametrize(
    ("job_id", "changes"),
    [("nobody", {"workspace_id": ""}), ("bad", {"workspace_id": "a b"}), ("mismatch", {"job_id": "other"})],
)
def test_the_entry_of_a_quarantined_job_is_set_aside(
    at: At, client: redis.Redis, job_id: str, changes: dict[str, str]
) -> None:
    """The library cannot hand it out, so it is kept beside the queue, and the job is as it was."""
    store = at(Stage.DUAL_WRITE)
    client.hset(legacy(job_id), mapping={"job_id": job_id, "status": "pending", "workspace_id": "acme", **changes})
    client.rpush(QUEUE, job_id)
    before = copy_at(client, legacy(job_id))
    enqueue(store, job_id="j")
    assert claimed(store) == "j"
    assert client.lrange("ai:migration:set_aside", 0, -1) == [job_id.encode()]
    assert copy_at(client, legacy(job_id)) == before


def test_a_job_of_an_old_process_is_handed_out(at: At, client: redis.Redis) -> None:
    """A bare entry and a legacy copy, written without the library, are a job, and it is carried over."""
    for where in (*READS_LEGACY, Stage.NEW_FIRST):
        put_legacy(client, f"old-{where}")
        client.rpush(QUEUE, f"old-{where}")
        assert claimed(at(where)) == f"old-{where}"


def test_a_held_job_is_not_offered(staged: JobStore) -> None:
    """As long as the lease runs, no other worker gets the job."""
    enqueue(staged, job_id="j")
    assert claimed(staged, "a") == "j"
    assert claimed(staged, "b") is None


def test_an_expired_claim_is_offered_again_first(staged: JobStore, client: redis.Redis) -> None:
    """A job whose worker fell silent comes before the queue, still running since its first start."""
    enqueue(staged, job_id="j")
    enqueue(staged, job_id="k")
    first = staged.claim("a")
    expire_claims(client)
    again = staged.claim("b")
    assert first is not None
    assert again is not None
    assert (again.job_id, again.status, again.started_at) == ("j", "running", first.started_at)
    assert claimed(staged) == "k"


def test_a_claim_takes_its_entry_off_the_queue(staged: JobStore, client: redis.Redis) -> None:
    """What is handed out is queued no longer, and nothing else is taken off."""
    for job_id in ("a", "b"):
        enqueue(staged, job_id=job_id)
    assert claimed(staged) == "a"
    assert client.llen(QUEUE) == 1


def test_a_claim_that_changed_hands_leaves_nothing_behind(staged: JobStore, client: redis.Redis) -> None:
    """The first worker's entry goes when the second takes over, and the second's with the job's end."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    expire_claims(client)
    other = new_store(client)
    other.claim("b")
    other.update_status("j", "completed", "acme")
    assert leftovers(client) == 0


def test_a_namesake_of_the_holder_is_refused(staged: JobStore, client: redis.Redis) -> None:
    """Two processes of one worker name: the one whose claim has expired and was taken over does not renew it."""
    late, other = staged, new_store(client)
    enqueue(late, job_id="j")
    late.claim("w")
    expire_claims(client)
    other.claim("w")
    with pytest.raises(ClaimLost):
        late.heartbeat("j", "w")
    other.heartbeat("j", "w")


def test_a_worker_without_the_claims_memory_renews_by_its_name(staged: JobStore, client: redis.Redis) -> None:
    """A process that did not claim the job itself renews it for the worker it names."""
    enqueue(staged, job_id="j")
    staged.claim("w")
    new_store(client).heartbeat("j", "w")
    with pytest.raises(ClaimLost):
        new_store(client).heartbeat("j", "v")


def test_an_expired_claim_of_a_sealed_workspace_is_not_offered_by_legacy(client: redis.Redis) -> None:
    """A process under READ_PREFERS_NEW=off refuses the call as soon as it meets a sealed workspace's job."""
    set_stage(client, Stage.NEW_ONLY)
    by_flag = JobStore(client, Settings.from_env({"READ_PREFERS_NEW": "off"}))
    set_stage(client, Stage.SEALED)
    enqueue(new_store(client), job_id="j")
    with pytest.raises(FlagConflict):
        by_flag.claim("w")
    new_store(client).claim("v")
    expire_claims(client)
    with pytest.raises(FlagConflict):
        by_flag.claim("w")


def test_the_entry_of_an_invalid_record_does_not_hand_out_the_copy(at: At, client: redis.Redis) -> None:
    """A bare entry goes by its legacy record; if that is not valid, a copy of the workspace it names is not meant."""
    store = at(Stage.NEW_FIRST)
    put_both(client, "j")
    client.hset(legacy("j"), "job_id", "other")
    client.rpush(QUEUE, "j")
    assert claimed(store) is None
    assert client.lrange("ai:migration:set_aside", 0, -1) == [b"j"]


def test_the_late_worker_is_refused(staged: JobStore, client: redis.Redis) -> None:
    """Once another worker holds the job, heartbeat and update of the first change nothing."""
    late, other = staged, new_store(client)
    enqueue(late, job_id="j")
    late.claim("a")
    expire_claims(client)
    other.claim("b")
    before = dump(client)
    with pytest.raises(ClaimLost, match="job 'j' is not held by this worker"):
        late.heartbeat("j", "a")
    for status, outcome in (("completed", {"result": 1}), ("failed", {"error": "x"}), ("running", {})):
        with pytest.raises(ClaimLost):
            late.update_status("j", status, "acme", **outcome)  # type: ignore[arg-type]
    assert dump(client) == before
    assert other.update_status("j", "completed", "acme", result=2).result == 2


def test_the_late_worker_cannot_change_what_the_other_finished(staged: JobStore, client: redis.Redis) -> None:
    """After the second worker's result the first one's is another outcome."""
    late, other = staged, new_store(client)
    enqueue(late, job_id="j")
    late.claim("a")
    expire_claims(client)
    other.claim("b")
    other.update_status("j", "completed", "acme", result=2)
    with pytest.raises(IllegalTransition):
        late.update_status("j", "completed", "acme", result=1)
    job = late.get_job("j", "acme")
    assert job is not None
    assert job.result == 2


def test_a_late_worker_that_nobody_replaced_may_finish(staged: JobStore, client: redis.Redis) -> None:
    """A lease that has ended without another claim costs nothing."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    expire_claims(client)
    assert staged.update_status("j", "completed", "acme").status == "completed"
    assert claimed(staged) is None
    assert leftovers(client) == 0


def test_a_terminal_status_ends_the_claim(staged: JobStore, client: redis.Redis) -> None:
    """A finished job is neither held nor offered again, and nothing of the claim is left."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    staged.update_status("j", "failed", "acme", error="x")
    assert leftovers(client) == 0
    with pytest.raises(ClaimLost):
        staged.heartbeat("j", "a")
    assert claimed(staged) is None


def test_a_status_that_is_no_end_keeps_the_claim(at: At, client: redis.Redis) -> None:
    """A held job that an old process has put back to pending is still held when its worker goes on."""
    store = at(Stage.DUAL_WRITE)
    enqueue(store, job_id="j")
    store.claim("w")
    for key in (legacy("j"), scoped("j")):
        client.hset(key, "status", "pending")
    store.update_status("j", "running", "acme")
    assert store.heartbeat("j", "w") > datetime.now(UTC)


def test_a_heartbeat_renews_the_lease(at: At, client: redis.Redis) -> None:
    """The lease ends one lease after the heartbeat, in the future, as the answer says."""
    store = at(Stage.NEW_FIRST, claim_lease_seconds=30)
    enqueue(store, job_id="j")
    store.claim("a")
    client.zadd("ai:migration:claims", {"\x1facme\x1fj": 1})
    ends = store.heartbeat("j", "a")
    assert timedelta(seconds=25) < ends - datetime.now(UTC) <= timedelta(seconds=31)
    assert client.zscore("ai:migration:claims", "\x1facme\x1fj") == round(ends.timestamp() * 1000)
    assert claimed(store, "b") is None


def test_a_short_lease_ends_by_itself(at: At) -> None:
    """The server's clock ends a lease; no process has to say so."""
    store = at(Stage.NEW_FIRST, claim_lease_seconds=0.02)
    enqueue(store, job_id="j")
    assert claimed(store, "a") == "j"
    assert claimed(store, "b", timeout=5) == "j"


@pytest.mark.parametrize(("job_id", "worker"), [("j", "b"), ("ghost", "a"), ("a", "j")])
def test_a_heartbeat_of_another_is_refused(staged: JobStore, client: redis.Redis, job_id: str, worker: str) -> None:
    """Only the worker that holds a job renews it."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    before = dump(client)
    with pytest.raises(ClaimLost):
        staged.heartbeat(job_id, worker)
    assert dump(client) == before


def test_a_worker_that_claims_its_own_expired_job_again_holds_it(staged: JobStore, client: redis.Redis) -> None:
    """The same worker may be the one to which the job is offered again."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    expire_claims(client)
    assert claimed(staged, "a") == "j"
    staged.heartbeat("j", "a")
    assert staged.update_status("j", "completed", "acme").status == "completed"
    assert leftovers(client) == 0


def test_claims_of_jobs_that_are_gone_end_quietly(staged: JobStore, client: redis.Redis) -> None:
    """A claimed job that has expired or was finished without the library is not offered again."""
    for job_id in ("gone", "done"):
        enqueue(staged, job_id=job_id)
        staged.claim("a")
    client.delete(legacy("gone"), scoped("gone"))
    for key in (legacy("done"), scoped("done")):
        if client.exists(key):
            client.hset(key, "status", "completed")
    expire_claims(client)
    assert claimed(staged, "b") is None
    assert leftovers(client) == 0


def test_a_claim_of_an_expired_job_does_not_hold_the_next_of_its_id(staged: JobStore, client: redis.Redis) -> None:
    """A job that takes the id of an expired one is handed out at once, and the old worker cannot finish it."""
    late = new_store(client)
    enqueue(late, job_id="j")
    late.claim("a")
    client.delete(legacy("j"), scoped("j"))
    enqueue(staged, job_id="j", params=2)
    with pytest.raises(ClaimLost):
        late.heartbeat("j", "a")
    job = staged.claim("b")
    assert job is not None
    assert job.params == 2
    with pytest.raises(ClaimLost):
        late.update_status("j", "completed", "acme")


def test_others_may_finish_a_held_job(staged: JobStore, client: redis.Redis) -> None:
    """A process that never claimed the job, such as an operator's, is no stale worker."""
    enqueue(staged, job_id="j")
    staged.claim("a")
    assert new_store(client).update_status("j", "failed", "acme", error="given up").status == "failed"
    assert leftovers(client) == 0


def test_a_claim_does_not_wait_unless_told(staged: JobStore) -> None:
    """Timeout 0 answers at once; a small one answers when it is over."""
    started = time.monotonic()
    assert staged.claim("w") is None
    assert staged.claim("w", timeout_seconds=0.03) is None
    assert time.monotonic() - started >= 0.03


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_is_none_is_refused(staged: JobStore, timeout: float) -> None:
    """A negative wait is an error of the caller."""
    with pytest.raises(UsageError, match="timeout_seconds"):
        staged.claim("w", timeout)


@pytest.mark.parametrize("worker", ["", "a\x1fb", "w" * 257])
def test_a_worker_id_follows_the_rule_of_ids(staged: JobStore, worker: str) -> None:
    """A worker id that could be mistaken for something else is refused."""
    with pytest.raises(UsageError, match="invalid worker id"):
        staged.claim(worker)


def test_a_waiting_claim_gets_the_job_that_arrives(real_server: Server) -> None:
    """A worker that waits is served by a job that is queued meanwhile."""
    set_stage(real_server.client(), Stage.NEW_FIRST)
    waiting, other = new_store(real_server.client()), new_store(real_server.client())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(waiting.claim, "w", 20)
        enqueue(other, job_id="j")
        job = answer.result(20)
    assert isinstance(job, Job)
    assert job.job_id == "j"


def test_no_job_is_held_twice(real_server: Server, stage: Stage) -> None:
    """Many workers at once share the queue without a job in two hands, and none is left."""
    set_stage(real_server.client(), stage)
    store = new_store(real_server.client())
    made = {enqueue(store, f"w{number % 3}") for number in range(60)}
    barrier = threading.Barrier(6)

    def work(number: int) -> list[str]:
        own = new_store(real_server.client())
        barrier.wait()
        mine = []
        while (job := own.claim(f"worker{number}")) is not None:
            mine.append(job.job_id)
            own.update_status(job.job_id, "completed", job.workspace_id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        taken = [job_id for mine in pool.map(work, range(6)) for job_id in mine]
    assert sorted(taken) == sorted(made)


@pytest.mark.parametrize("low", STAGES[1:4], ids=str)
def test_a_claim_outlives_a_move(client: redis.Redis, low: Stage) -> None:
    """A job that was claimed in one stage is renewed and finished in the next."""
    high = STAGES[low.rung + 1]
    for before, after in ((low, high), (high, low)):
        client.flushall()
        set_stage(client, before)
        store = new_store(client)
        enqueue(store, job_id="j")
        store.claim("w")
        set_stage(client, after)
        store.heartbeat("j", "w")
        assert store.update_status("j", "completed", "acme").status == "completed"
        assert leftovers(client) == 0


def test_a_scoped_job_is_claimed_by_its_sealed_entry_where_the_stage_reads_it(client: redis.Redis) -> None:
    """After the way back from the seal, entries of that time are still good where workspace copies are read."""
    for stage in STAGES[2:]:
        client.flushall()
        set_stage(client, stage)
        put_scoped(client, "j")
        client.rpush(QUEUE, "\x1facme\x1fj")
        assert claimed(new_store(client)) == "j"
