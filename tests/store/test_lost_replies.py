"""A reply that is lost after the commit, and a command that is lost before it: the caller cannot tell, and need not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, repeat
from types import SimpleNamespace

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.errors import IllegalTransition, JobExists
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import dump, enqueue, legacy, new_store, put_both, scoped, set_stage

Lose = Callable[[Proxy], None]


@pytest.fixture
def proxy(real_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    with Proxy(real_server.port) as proxy:
        yield proxy


@pytest.fixture(params=[Stage.LEGACY, Stage.NEW_FIRST, Stage.SEALED], ids=str)
def stage(request: pytest.FixtureRequest) -> Stage:
    """The stages that write one copy, both, and the other one."""
    return Stage(request.param)


@pytest.fixture
def far(real_server: Server, proxy: Proxy, stage: Stage) -> JobStore:
    """A store behind the proxy, in each stage in turn."""
    set_stage(real_server.client(), stage)
    return new_store(real_server.client(port=proxy.port))


@pytest.fixture(params=["before", "after", "both"])
def lose(request: pytest.FixtureRequest) -> Lose:
    """Ways in which the network fails under a call."""

    def plan(proxy: Proxy) -> None:
        if request.param in {"before", "both"}:
            proxy.refuse()
        if request.param in {"after", "both"}:
            proxy.lose_reply()
            proxy.lose_reply()

    return plan


def test_an_enqueue_is_done_once(far: JobStore, proxy: Proxy, lose: Lose, real_client: redis.Redis) -> None:
    """The caller learns the id of the one job that was made, with or without a request id of its own."""
    for number, given in enumerate(({}, {"client_request_id": "r"}, {"job_id": "mine"}), start=1):
        lose(proxy)
        answer = far.enqueue("acme", "mail", "send", {}, "u", **given)
        assert answer.created
        assert proxy.spent
        assert real_client.llen("ai:queue:pending") == real_client.zcard("ai:index:acme") == number
        assert far.get_job(answer.job_id, "acme") is not None


def test_an_update_is_done_once(far: JobStore, proxy: Proxy, lose: Lose) -> None:
    """The retry answers with the job, and is no second transition."""
    enqueue(far, job_id="j")
    lose(proxy)
    assert far.update_status("j", "running", "acme").status == "running"
    lose(proxy)
    job = far.update_status("j", "completed", "acme", result=[1])
    assert (job.status, job.result) == ("completed", [1])
    assert proxy.spent


def test_a_delete_is_done_once(far: JobStore, proxy: Proxy, lose: Lose) -> None:
    """The retry says that the job was there."""
    enqueue(far, job_id="j")
    lose(proxy)
    assert far.delete_job("j", "acme") is True
    assert proxy.spent
    assert far.get_job("j", "acme") is None


def test_a_claim_is_done_once(far: JobStore, proxy: Proxy, lose: Lose) -> None:
    """The retry hands out the job that was taken, not the next one."""
    enqueue(far, job_id="j")
    enqueue(far, job_id="k")
    lose(proxy)
    job = far.claim("w")
    assert job is not None
    assert (job.job_id, job.status) == ("j", "running")
    assert proxy.spent
    far.heartbeat("j", "w")
    assert far.update_status("j", "completed", "acme").status == "completed"


def test_reads_and_heartbeats_are_sent_again(far: JobStore, proxy: Proxy, lose: Lose) -> None:
    """Calls that change nothing, or nothing twice, simply go on."""
    enqueue(far, job_id="j")
    far.claim("w")
    lose(proxy)
    assert far.heartbeat("j", "w") is not None
    lose(proxy)
    assert far.get_job("j", "acme") is not None
    lose(proxy)
    assert [job.job_id for job in far.list_jobs("acme").items] == ["j"]


def test_a_deleted_job_that_was_made_anew_survives_the_retry(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """A delete whose reply was lost does not delete the next job of that id."""
    enqueue(far, job_id="j", params=1)
    near = new_store(real_client)
    proxy.lose_reply(then=lambda: enqueue(near, job_id="j", params=2))
    assert far.delete_job("j", "acme") is True
    job = near.get_job("j", "acme")
    assert job is not None
    assert job.params == 2


def test_an_enqueue_does_not_bring_back_what_was_deleted_meanwhile(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """The retry of an enqueue answers with its id although the job is gone, and does not make it again."""
    near = new_store(real_client)
    proxy.lose_reply(then=lambda: near.delete_job("j", "acme"))
    assert far.enqueue("acme", "mail", "send", {}, "u", job_id="j").created
    assert near.get_job("j", "acme") is None
    assert real_client.exists(legacy("j"), scoped("j")) == 0


def test_an_update_does_not_undo_what_followed_it(far: JobStore, proxy: Proxy, real_client: redis.Redis) -> None:
    """Between commit and retry another process may finish the job; the retry leaves that alone."""
    enqueue(far, job_id="j")
    near = new_store(real_client)
    proxy.lose_reply(then=lambda: near.update_status("j", "completed", "acme", result=1))
    far.update_status("j", "running", "acme")
    job = near.get_job("j", "acme")
    assert job is not None
    assert (job.status, job.result) == ("completed", 1)


def test_a_claimed_job_that_expires_meanwhile_is_not_handed_out(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """Between commit and retry the job may expire; the retry takes the next one."""
    enqueue(far, job_id="j")
    enqueue(far, job_id="k")
    proxy.lose_reply(then=lambda: real_client.delete(legacy("j"), scoped("j")))
    job = far.claim("w")
    assert job is not None
    assert job.job_id == "k"


def test_a_claim_that_another_took_over_meanwhile_is_not_handed_out(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """Between commit and retry the lease may end and another worker take the job; the retry takes the next one."""
    for job_id in ("j", "k"):
        enqueue(far, job_id=job_id)
    near = new_store(real_client)

    def taken_over() -> None:
        real_client.zadd("ai:migration:claims", {"\x1facme\x1fj": 1})
        assert near.claim("other").job_id == "j"

    proxy.lose_reply(then=taken_over)
    job = far.claim("w")
    assert job is not None
    assert job.job_id == "k"
    near.heartbeat("j", "other")


def test_a_claimed_job_that_is_finished_meanwhile_is_not_handed_out(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """Between commit and retry another process may finish the job; the retry takes the next one."""
    for job_id in ("j", "k"):
        enqueue(far, job_id=job_id)
    proxy.lose_reply(then=lambda: new_store(real_client).update_status("j", "completed", "acme"))
    job = far.claim("w")
    assert job is not None
    assert job.job_id == "k"


def test_a_claimed_job_that_expires_meanwhile_is_not_held(
    far: JobStore, proxy: Proxy, real_client: redis.Redis
) -> None:
    """The claim of a job that expired before the retry ends with the retry."""
    enqueue(far, job_id="j")
    proxy.lose_reply(then=lambda: real_client.delete(legacy("j"), scoped("j")))
    assert far.claim("w") is None
    assert not real_client.exists("ai:migration:claims", "ai:migration:claimants")


def test_a_stage_that_moves_between_commit_and_retry_changes_no_answer(
    real_server: Server, proxy: Proxy, real_client: redis.Redis
) -> None:
    """The retry of a write that took effect in one stage is answered in the next, without a second effect."""
    far, near = new_store(real_server.client(port=proxy.port)), new_store(real_client)
    for low, high in ((Stage.LEGACY, Stage.DUAL_WRITE), (Stage.DUAL_WRITE, Stage.NEW_FIRST)):
        real_client.flushall()
        set_stage(real_client, low)
        proxy.lose_reply(then=lambda stage=high: set_stage(real_client, stage))
        assert enqueue(far, job_id="j") == "j"
        assert near.get_job("j", "acme") is not None
        assert real_client.llen("ai:queue:pending") == 1


def test_two_calls_are_never_one(far: JobStore, proxy: Proxy, real_client: redis.Redis) -> None:
    """An equal call after one whose reply was lost is a call of its own."""
    proxy.lose_reply()
    assert enqueue(far) != enqueue(far)
    proxy.lose_reply()
    enqueue(far, job_id="j")
    with pytest.raises(JobExists):
        enqueue(far, job_id="j")
    put_both(real_client, "old", status="running")
    proxy.lose_reply()
    far.update_status("old", "completed", "acme", result=1)
    with pytest.raises(IllegalTransition):
        far.update_status("old", "completed", "acme", result=2)
    proxy.lose_reply()
    assert far.delete_job("old", "acme") is True
    assert far.delete_job("old", "acme") is False


def test_many_callers_on_a_bad_line_do_their_work_once(real_server: Server, proxy: Proxy) -> None:
    """Replies are lost at random under four threads; every job is made, finished and counted once."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    far = new_store(real_server.client(port=proxy.port), retry_attempts=10)
    numbers = count()
    for _ in range(8):
        proxy.lose_reply()

    def work(_: int) -> str:
        job_id = far.enqueue("acme", "mail", "send", next(numbers), "u").job_id
        far.update_status(job_id, "running", "acme")
        return far.update_status(job_id, "completed", "acme", result=1).job_id

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(work, range(20)))
    assert proxy.spent
    assert len(set(made)) == 20 == client.llen("ai:queue:pending")


def test_when_the_line_stays_dead_the_error_is_redis_own(real_server: Server, proxy: Proxy) -> None:
    """After the last retry redis-py's error passes through, and what was not sent has no effect."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    store = new_store(real_server.client(port=proxy.port), retry_attempts=1)
    before = dump(client)
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(RedisConnectionError):
        enqueue(store)
    assert dump(client) == before


def test_a_call_that_took_too_long_is_not_sent_again(
    real_server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome is kept for two minutes; a call that failed after one is not sent where it may be forgotten."""
    set_stage(real_server.client(), Stage.NEW_FIRST)
    store = new_store(real_server.client(port=proxy.port))
    began_and_failed = chain([0.0], repeat(61.0))
    monkeypatch.setattr("relay_jobs.calls.time", SimpleNamespace(monotonic=lambda: next(began_and_failed)))
    proxy.lose_reply()
    with pytest.raises(RedisConnectionError):
        enqueue(store)
    assert real_server.client().llen("ai:queue:pending") == 1


def test_a_call_is_one_round_trip(real_server: Server, proxy: Proxy) -> None:
    """Every call but a waiting claim and a listing is one command once the server knows the scripts."""
    set_stage(real_server.client(), Stage.NEW_FIRST)
    store = JobStore(real_server.client(port=proxy.port), Settings())

    def calls() -> None:
        enqueue(store, job_id="j")
        store.get_job("j", "acme")
        store.claim("w")
        store.heartbeat("j", "w")
        store.update_status("j", "completed", "acme")
        store.delete_job("j", "acme")

    calls()
    before = len(proxy.commands)
    calls()
    assert proxy.commands[before:] == [b"EVALSHA"] * 6
