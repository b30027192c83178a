"""Several jobs in one call: all of them are queued, or none."""

from collections.abc import Callable

import pytest
import redis

from chaos.proxy import Proxy
from relay_jobs import Enqueued, JobStore, NewJob, Stage
from relay_jobs.errors import IdempotencyConflict, InvalidJobId, InvalidPayload, JobExists, UsageError, WrongType
from tests.servers import Server
from tests.store.records import WRITES_LEGACY, copy_at, dump, enqueue, legacy, new_store, scoped, set_stage

At = Callable[..., JobStore]
QUEUE = "ai:queue:pending"


def new(number: int, **given: object) -> NewJob:
    return NewJob("mail", "send", {"n": number}, **given)  # type: ignore[arg-type]


def test_all_are_made_in_their_order(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """Each job is stored as by a call of its own, indexed, and queued in the order given."""
    answers = staged.enqueue_many("acme", [new(n, job_id=f"j{n}") for n in range(3)], "u1")
    assert answers == tuple(Enqueued(f"j{n}", created=True) for n in range(3))
    enqueue(staged, job_id="alone", params={"n": 9})
    for number in range(3):
        for key in (legacy, scoped):
            copy, single = copy_at(client, key(f"j{number}")), copy_at(client, key("alone"))
            assert set(copy) == set(single)
            assert copy.get(b"params") == (b'{"n":%d}' % number if single else None)
    entries = [f"j{n}" if stage in WRITES_LEGACY else f"\x1facme\x1fj{n}" for n in range(3)]
    assert [entry.decode() for entry in client.lrange(QUEUE, 0, 2)] == entries
    assert client.zcard("ai:index:acme") == 4
    jobs = [staged.claim("w") for _ in range(3)]
    assert [job.params for job in jobs if job] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_ids_are_made_up_where_none_is_given(staged: JobStore) -> None:
    """Every job gets an id of its own."""
    answers = staged.enqueue_many("acme", [new(0), new(0)], "u1")
    assert len({answer.job_id for answer in answers}) == 2
    assert all(staged.get_job(answer.job_id, "acme") for answer in answers)


def test_a_lifetime_belongs_to_its_job(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """Of two jobs only the one with a lifetime expires."""
    staged.enqueue_many("acme", [new(0, job_id="a", ttl_seconds=60), new(1, job_id="b")], "u1")
    key = legacy if stage in WRITES_LEGACY else scoped
    assert client.pttl(key("a")) > 0
    assert client.pttl(key("b")) == -1


def test_a_repeated_request_among_them_is_a_repeat(staged: JobStore, client: redis.Redis) -> None:
    """Earlier requests and those of the same call are answered with the first job; only new ones are made."""
    first = staged.enqueue_many("acme", [new(0, client_request_id="r", job_id="a")], "u1")
    answers = staged.enqueue_many(
        "acme",
        [
            new(0, client_request_id="r", job_id="b"),
            new(1, client_request_id="s", job_id="c"),
            new(1, client_request_id="s", job_id="d"),
            new(2, job_id="e"),
        ],
        "u1",
    )
    assert first == (Enqueued("a", created=True),)
    assert [(answer.job_id, answer.created) for answer in answers] == [
        ("a", False),
        ("c", True),
        ("c", False),
        ("e", True),
    ]
    assert client.llen(QUEUE) == 3
    assert not client.exists(*(key(job_id) for key in (legacy, scoped) for job_id in "bd"))
    again = staged.enqueue_many("acme", [new(1, client_request_id="s")], "u1")
    assert again == (Enqueued("c", created=False),)


@pytest.mark.parametrize("bad", range(3))
def test_one_that_is_refused_refuses_all(staged: JobStore, client: redis.Redis, bad: int) -> None:
    """A taken id, a conflicting request or a bad argument, wherever it stands, leaves nothing behind."""
    enqueue(staged, job_id="taken")
    enqueue(staged, client_request_id="used")
    refused: list[tuple[NewJob, type[Exception], str]] = [
        (new(9, job_id="taken"), JobExists, "taken"),
        (new(9, client_request_id="used"), IdempotencyConflict, "used"),
        (new(9, job_id=""), InvalidJobId, "job id"),
        (NewJob("mail", "send", {1, 2}), InvalidPayload, "params"),
        (new(9, ttl_seconds=0), UsageError, "ttl_seconds"),
    ]
    before = dump(client)
    for job, error, named in refused:
        jobs = [new(0, client_request_id="r"), new(1)]
        jobs.insert(bad, job)
        with pytest.raises(error, match=named):
            staged.enqueue_many("acme", jobs, "u1")
        assert dump(client) == before


@pytest.mark.parametrize(
    "pair", [{"job_id": ("x", "x")}, {"client_request_id": ("x", "x")}], ids=["one id", "one request, two payloads"]
)
def test_two_that_contradict_each_other_refuse_all(
    staged: JobStore, client: redis.Redis, pair: dict[str, tuple[str, str]]
) -> None:
    """One id for two jobs, or one request id for two payloads, within one call."""
    ((name, values),) = pair.items()
    before = dump(client)
    with pytest.raises((JobExists, IdempotencyConflict)):
        staged.enqueue_many("acme", [new(n, **{name: value}) for n, value in enumerate(values)], "u1")
    assert dump(client) == before


def test_a_wrong_type_under_one_request_refuses_all(staged: JobStore, client: redis.Redis) -> None:
    """The key of the last request is looked at before the first job is written."""
    client.rpush("ai:idempotency:acme:r", "x")
    before = dump(client)
    with pytest.raises(WrongType):
        staged.enqueue_many("acme", [new(0), new(1, client_request_id="r")], "u1")
    assert dump(client) == before


@pytest.mark.parametrize("number", [0, 101])
def test_the_number_is_bounded(staged: JobStore, client: redis.Redis, number: int) -> None:
    """No job is no call, and more than a hundred would hold up everyone else."""
    before = dump(client)
    with pytest.raises(UsageError, match=f"invalid number of jobs {number}: allowed is 1 to 100"):
        staged.enqueue_many("acme", [new(n) for n in range(number)], "u1")
    assert dump(client) == before


def test_the_largest_call(staged: JobStore, client: redis.Redis) -> None:
    """A hundred jobs with request ids are one step."""
    jobs = [new(n, client_request_id=f"r{n}") for n in range(100)]
    first = staged.enqueue_many("acme", jobs, "u1")
    assert all(answer.created for answer in first)
    again = staged.enqueue_many("acme", jobs, "u1")
    assert [answer.job_id for answer in again] == [answer.job_id for answer in first]
    assert not any(answer.created for answer in again)
    assert client.llen(QUEUE) == 100


def test_a_lost_reply_makes_none_twice(real_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry answers with the jobs that were made."""
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    with Proxy(real_server.port) as proxy:
        far = new_store(real_server.client(port=proxy.port))
        proxy.lose_reply()
        answers = far.enqueue_many("acme", [new(0), new(1, client_request_id="r")], "u1")
        assert proxy.spent
    assert [answer.created for answer in answers] == [True, True]
    assert client.lrange(QUEUE, 0, -1) == [answer.job_id.encode() for answer in answers]
