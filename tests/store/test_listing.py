"""Pages along a complete index: newest first, a page costs a page."""

from datetime import UTC, datetime, timedelta

import pytest
import redis

from relay_jobs import JobStore, Page, Settings, Stage
from relay_jobs.errors import InvalidCursor, InvalidPayload, UsageError
from tests.servers import Server
from tests.store.records import (
    complete_index,
    dump,
    enqueue,
    legacy,
    new_store,
    put_both,
    put_legacy,
    put_scoped,
    scoped,
    set_stage,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NEW = (Stage.NEW_FIRST, Stage.NEW_ONLY, Stage.SEALED)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=NEW, ids=str)
def indexed(request: pytest.FixtureRequest, client: redis.Redis, clock: Clock) -> JobStore:
    """A store whose index is complete, in each stage in which it alone serves."""
    set_stage(client, request.param)
    complete_index(client)
    return JobStore(client, Settings(), now=clock)


def walk(store: JobStore, limit: int = 50, **given: str | None) -> list[str]:
    """Ids of a whole walk, in order."""
    found, cursor = [], None
    for _ in range(2000):
        page = store.list_jobs("acme", limit=limit, cursor=cursor, **given)
        assert len(page.items) <= limit
        found += [job.job_id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the walk does not end")


def test_newest_first_with_ties_by_id(indexed: JobStore, clock: Clock) -> None:
    """By enqueued_at, then by job_id in byte order, both descending."""
    for seconds, job_id in ((0, "b"), (0, "c"), (2, "a"), (1, "z"), (1, "é"), (1, "Z")):
        clock.now = START + timedelta(seconds=seconds)
        enqueue(indexed, job_id=job_id)
    assert walk(indexed) == ["a", "é", "z", "Z", "c", "b"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_of_any_size_hold_every_job_once(indexed: JobStore, clock: Clock, limit: int) -> None:
    """A walk is the same sequence whatever the page size, over jobs of one microsecond too."""
    made = []
    for number in range(14):
        clock.now = START + timedelta(microseconds=number // 5)
        made.append((number // 5, enqueue(indexed, job_id=f"j{number:02}")))
    assert walk(indexed, limit) == [job_id for _, job_id in sorted(made, reverse=True)]


def test_a_microsecond_is_an_order(indexed: JobStore, clock: Clock) -> None:
    """Two jobs a microsecond apart are in order."""
    for number, job_id in enumerate(["c", "a", "b"]):
        clock.now = START + timedelta(microseconds=number)
        enqueue(indexed, job_id=job_id)
    assert walk(indexed, 1) == ["b", "a", "c"]


def test_a_walk_goes_on_behind_a_deleted_job(indexed: JobStore, clock: Clock) -> None:
    """The cursor's own job may be deleted, alone or with its neighbours of the same time."""
    for job_id in "abcdef":
        enqueue(indexed, job_id=job_id)
    page = indexed.list_jobs("acme", limit=2)
    assert [job.job_id for job in page.items] == ["f", "e"]
    indexed.delete_job("e", "acme")
    indexed.delete_job("d", "acme")
    rest = indexed.list_jobs("acme", limit=10, cursor=page.next_cursor)
    assert [job.job_id for job in rest.items] == ["c", "b", "a"]


def test_new_jobs_do_not_shift_a_walk(indexed: JobStore, clock: Clock) -> None:
    """What is enqueued behind the walk's back makes no job appear twice or not at all."""
    for job_id in "abcdef":
        clock.now += timedelta(seconds=1)
        enqueue(indexed, job_id=job_id)
    found, cursor = [], None
    for number in range(20):
        clock.now += timedelta(seconds=1)
        page = indexed.list_jobs("acme", limit=1, cursor=cursor)
        enqueue(indexed, job_id=f"new{number}")
        found += [job.job_id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list("fedcba")


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed"])
def test_a_status_filter(indexed: JobStore, client: redis.Redis, status: str) -> None:
    """Only jobs of that status, those that old records call `error` among the failed."""
    for number, present in enumerate(["pending", "running", "completed", "failed", "error", ""] * 3):
        put_both(client, f"{present or 'pending'}{number}", status=present)
        client.zadd("ai:index:acme", {f"{present or 'pending'}{number}": number})
    found = walk(indexed, 2, status=status)
    expected = {"failed": ["failed", "error"]}.get(status, [status])
    assert len(found) == (6 if status in {"failed", "pending"} else 3)
    assert all(any(job_id.startswith(name) for name in expected) for job_id in found)


def test_entries_of_jobs_that_are_gone_are_passed_and_swept(indexed: JobStore, client: redis.Redis) -> None:
    """Expired jobs leave entries behind, which cost a page nothing but a look, and go."""
    client.zadd("ai:index:acme", {f"gone{number}": 9e15 + number for number in range(300)})
    enqueue(indexed, job_id="j")
    assert walk(indexed, 10) == ["j"]
    assert client.zrange("ai:index:acme", 0, -1) == [b"j"]


def test_expired_jobs_are_not_listed(indexed: JobStore, client: redis.Redis) -> None:
    """A job whose time is over is in no page."""
    enqueue(indexed, job_id="j", ttl_seconds=3600)
    enqueue(indexed, job_id="k")
    client.pexpireat(legacy("j"), 1)
    client.pexpireat(scoped("j"), 1)
    assert walk(indexed) == ["k"]


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00", "1969-12-31T23:59:59", "?"])
def test_odd_times_do_not_break_a_walk(indexed: JobStore, client: redis.Redis, when: str) -> None:
    """Jobs from the edges of the calendar are walked over like any others."""
    set_stage(client, Stage.NEW_FIRST)
    for job_id in ("x", "y", "z"):
        put_legacy(client, job_id, enqueued_at=when)
        indexed.update_status(job_id, "running", "acme")
    enqueue(indexed, job_id="j")
    assert sorted(walk(indexed, 1)) == ["j", "x", "y", "z"]


@pytest.mark.parametrize("limit", [0, -1, 1001, 2.5, "5", None, True])
def test_a_limit_out_of_bounds_is_refused(indexed: JobStore, client: redis.Redis, limit: object) -> None:
    """A limit is a whole number from 1 to 1000."""
    before = dump(client)
    with pytest.raises(UsageError, match="invalid limit"):
        indexed.list_jobs("acme", limit=limit)  # type: ignore[arg-type]
    assert dump(client) == before


def test_an_unknown_status_is_refused(indexed: JobStore) -> None:
    """A filter that could match nothing says what there is."""
    with pytest.raises(InvalidPayload, match="allowed are pending, running, completed, failed"):
        indexed.list_jobs("acme", status="error")


def test_the_largest_page(indexed: JobStore, client: redis.Redis) -> None:
    """A thousand jobs fit on one page."""
    with client.pipeline(transaction=False) as many:
        for number in range(1003):
            put_both(many, f"j{number:04}")
            many.zadd("ai:index:acme", {f"j{number:04}": number})
        many.execute()
    page = indexed.list_jobs("acme", limit=1000)
    assert len(page.items) == 1000
    assert [job.job_id for job in indexed.list_jobs("acme", cursor=page.next_cursor).items] == [
        "j0002",
        "j0001",
        "j0000",
    ]


def test_a_cursor_belongs_to_its_listing(indexed: JobStore) -> None:
    """A cursor of another workspace or status is refused, so that it opens nothing."""
    for job_id in "abc":
        enqueue(indexed, job_id=job_id)
    cursor = indexed.list_jobs("acme", limit=1).next_cursor
    with pytest.raises(InvalidCursor, match="belongs to another listing"):
        indexed.list_jobs("other", cursor=cursor)
    with pytest.raises(InvalidCursor, match="belongs to another listing"):
        indexed.list_jobs("acme", status="pending", cursor=cursor)


def test_a_walk_in_the_index_goes_on_after_a_rollback(client: redis.Redis, indexed: JobStore) -> None:
    """A walk that began along the complete index ends there, although new walks look further."""
    set_stage(client, Stage.NEW_FIRST)
    for job_id in "abcd":
        enqueue(indexed, job_id=job_id)
    page = indexed.list_jobs("acme", limit=2)
    set_stage(client, Stage.DUAL_WRITE)
    rest = indexed.list_jobs("acme", limit=10, cursor=page.next_cursor)
    assert [job.job_id for job in (*page.items, *rest.items)] == ["d", "c", "b", "a"]


def test_an_index_of_an_older_epoch_does_not_serve_alone(client: redis.Redis) -> None:
    """Once dual-write began anew, what the old pass has indexed is no longer all."""
    set_stage(client, Stage.NEW_FIRST)
    complete_index(client, epoch=1)
    put_legacy(client, "old")
    store = new_store(client)
    assert walk(store) == []
    client.hset("ai:migration:stages", "*epoch", 2)
    assert walk(store) == ["old"]


def test_a_page_costs_a_page(real_server: Server) -> None:
    """Among many foreign jobs a page of five is one command and reads five hashes."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    complete_index(client)
    store = new_store(client)
    with client.pipeline(transaction=False) as many:
        for number in range(2000):
            many.hset(f"ai:jobs:foreign{number}", mapping={"workspace_id": "other"})
        many.execute()
    for number in range(30):
        enqueue(store, job_id=f"j{number}")
    store.list_jobs("acme", limit=5)
    client.config_resetstat()
    assert len(store.list_jobs("acme", limit=5).items) == 5
    calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 1
    # Two more ask for the stage and for the index.
    assert calls["cmdstat_hmget"] == 5 + 2
    assert "cmdstat_scan" not in calls


def test_an_extra_copy_of_a_foreign_job_is_shown_to_its_owner_only(indexed: JobStore, client: redis.Redis) -> None:
    """The index of one workspace never shows what another owns."""
    put_scoped(client, "j", "other")
    client.zadd("ai:index:acme", {"j": 1})
    client.zadd("ai:index:other", {"j": 1})
    assert walk(indexed) == []
    assert [job.job_id for job in indexed.list_jobs("other").items] == ["j"]


def test_an_empty_workspace_is_one_empty_page(staged: JobStore) -> None:
    """Where nothing is, there is no page to fetch."""
    assert staged.list_jobs("acme") == Page((), None)
