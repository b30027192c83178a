"""One request makes one job, however often and from however many places it is sent."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import IdempotencyConflict, JobExists
from tests.servers import Server
from tests.store.records import dump, enqueue, new_store, set_stage

JOB: dict[str, Any] = {"action_provider": "mail", "action_name": "send", "params": {"b": 1, "a": [2]}, "actor_id": "u"}
DAY_MS = 24 * 3600 * 1000


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Answers, or errors, of calls that begin at the same moment."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        try:
            return call(number)
        except (IdempotencyConflict, JobExists) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_repeat_gives_the_first_id(staged: JobStore, client: redis.Redis) -> None:
    """A repeated request answers with the first job, makes no second one and queues nothing."""
    first = staged.enqueue("acme", **JOB, client_request_id="r")
    again = staged.enqueue("acme", **JOB | {"params": {"a": [2], "b": 1}}, client_request_id="r", job_id="another")
    assert (first.created, again.created) == (True, False)
    assert first.job_id == again.job_id
    assert client.llen("ai:queue:pending") == 1
    assert staged.get_job("another", "acme") is None


def test_the_request_is_remembered_for_a_day(staged: JobStore, client: redis.Redis) -> None:
    """The idempotency key is a string with the job id that lives 24 hours."""
    job_id = enqueue(staged, client_request_id="a:b *")
    assert client.get("ai:idempotency:acme:a:b *") == job_id.encode()
    assert DAY_MS - 60_000 < client.pttl("ai:idempotency:acme:a:b *") <= DAY_MS


def test_another_payload_is_another_request(staged: JobStore) -> None:
    """The same request id with another payload raises; the first job is as it was."""
    job_id = enqueue(staged, client_request_id="r", params=1)
    with pytest.raises(IdempotencyConflict):
        enqueue(staged, client_request_id="r", params=2)
    job = staged.get_job(job_id, "acme")
    assert job is not None
    assert job.params == 1


def test_parts_of_a_payload_do_not_run_together(staged: JobStore) -> None:
    """Provider and action that give the same text side by side are two payloads."""
    staged.enqueue("acme", "ab", "c", 1, "u", client_request_id="r")
    with pytest.raises(IdempotencyConflict):
        staged.enqueue("acme", "a", "bc", 1, "u", client_request_id="r")


def test_a_request_of_an_old_process_is_honoured(staged: JobStore, client: redis.Redis) -> None:
    """An idempotency key without a digest, as the code before the library wrote it, gives its job's id."""
    client.set("ai:idempotency:acme:r", "old-job", ex=86_400)
    before = dump(client).keys()
    answer = staged.enqueue("acme", **JOB, client_request_id="r")
    assert (answer.job_id, answer.created) == ("old-job", False)
    assert {key for key in dump(client).keys() - before if not key.startswith(b"ai:migration:call:")} == set()


def test_a_request_outlives_the_stage(client: redis.Redis) -> None:
    """A repeat after a move gives the id of the job that was made before it."""
    set_stage(client, Stage.LEGACY)
    first = enqueue(new_store(client), client_request_id="r")
    for stage in Stage:
        set_stage(client, stage)
        assert enqueue(new_store(client), client_request_id="r") == first


def test_without_a_request_id_two_calls_are_two_jobs(staged: JobStore) -> None:
    """Equal calls are never taken for one."""
    assert len({enqueue(staged) for _ in range(5)}) == 5


def test_a_request_id_is_no_job_id(staged: JobStore, client: redis.Redis) -> None:
    """A request id that equals another job's id has nothing to do with it."""
    enqueue(staged, job_id="x")
    assert staged.enqueue("acme", **JOB, client_request_id="x").created
    assert client.llen("ai:queue:pending") == 2


def test_one_of_many_simultaneous_requests_is_first(real_server: Server, stage: Stage) -> None:
    """However many processes send one request at once, one creates the job and all have its id."""
    client = real_server.client()
    set_stage(client, stage)
    stores = [new_store(real_server.client()) for _ in range(8)]
    for trial in range(10):
        answers = at_once(8, lambda n, r=f"r{trial}": stores[n].enqueue("acme", **JOB, client_request_id=r))
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.job_id for answer in answers}) == 1
    assert client.llen("ai:queue:pending") == 10


def test_one_of_many_simultaneous_payloads_is_first(real_server: Server) -> None:
    """Of one request id with several payloads at once, one is accepted and the others conflict."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    stores = [new_store(real_server.client()) for _ in range(6)]
    answers = at_once(6, lambda n: stores[n].enqueue("acme", **JOB | {"params": n}, client_request_id="r"))
    assert sum(isinstance(answer, IdempotencyConflict) for answer in answers) == 5
    assert client.llen("ai:queue:pending") == 1


def test_one_of_many_takes_an_id(real_server: Server) -> None:
    """A job id is given to one of those who ask for it at once, whatever their workspaces."""
    client = real_server.client()
    set_stage(client, Stage.DUAL_WRITE)
    stores = [new_store(real_server.client()) for _ in range(6)]
    answers = at_once(6, lambda n: stores[n].enqueue(f"w{n % 2}", **JOB, job_id="j"))
    assert sum(isinstance(answer, JobExists) for answer in answers) == 5
    assert client.llen("ai:queue:pending") == 1
