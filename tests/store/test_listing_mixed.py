"""Listing while the index is not complete yet: every job that exists throughout a walk, exactly once."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import redis

from relay_jobs import JobStore, Page, Stage
from relay_jobs.errors import InvalidCursor
from tests.servers import Server
from tests.store.records import (
    complete_index,
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
from tests.store.test_listing import walk


def pages(store: JobStore, limit: int, **given: str | None) -> Iterator[Page]:
    cursor = None
    for _ in range(3000):
        page = store.list_jobs("acme", limit=limit, cursor=cursor, **given)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return
    raise AssertionError("the walk does not end")


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_indexed_and_other_jobs_once_each(staged: JobStore, client: redis.Redis, stage: Stage, limit: int) -> None:
    """Jobs with one copy or two, indexed or not, are one row each, and foreign ones none."""
    for number in range(6):
        enqueue(staged, job_id=f"indexed{number}")
        put_where_read(client, stage, f"old{number}")
        put_both(client, f"both:{number}")
        put_both(client, f"foreign{number}", "other")
        client.set(f"ai:job:third{number}", "{}")
    found = walk(staged, limit)
    assert sorted(found) == sorted(f"{name}{n}" for name in ("indexed", "old", "both:") for n in range(6))
    assert set(found[:6]) == {f"indexed{number}" for number in range(6)}


def test_ids_of_all_kinds_are_found_by_the_scan(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """Ids with colons, globs and foreign bytes, and workspaces whose names begin alike."""
    odd = ["a:b", "*", "[x]", "é", "\udcff", "acme:x", ""]
    for job_id in odd[:-1]:
        raw = job_id.encode("utf-8", "surrogateescape")
        mapping = {"workspace_id": "acme", "status": "pending"}
        client.hset(legacy(raw), mapping=mapping)
        client.hset(scoped(raw), mapping=mapping)
    put_where_read(client, stage, "near", "acme-2")
    assert sorted(walk(staged, 3)) == sorted(odd[:-1])


def test_a_status_filter_holds_for_all(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """The filter is applied to indexed and other jobs alike."""
    for number in range(8):
        put_where_read(client, stage, f"old{number}", status="running" if number % 2 else "pending")
        enqueue(staged, job_id=f"new{number}")
    staged.update_status("new3", "running", "acme")
    assert sorted(walk(staged, 2, status="running")) == ["new3", "old1", "old3", "old5", "old7"]


def test_what_is_not_readable_is_not_listed(client: redis.Redis) -> None:
    """Only whole jobs that the stage reads are rows."""
    put_legacy(client, "legacy")
    put_scoped(client, "scoped")
    client.hset(scoped("partial"), "status", "running")
    client.hset(legacy("nobody"), "status", "running")
    client.set(legacy("string"), "x")
    client.hset(legacy("mismatch"), mapping={"workspace_id": "acme", "job_id": "other"})
    for stage, expected in (
        (Stage.LEGACY, ["legacy"]),
        (Stage.DUAL_WRITE, ["legacy"]),
        (Stage.NEW_FIRST, ["legacy", "scoped"]),
        (Stage.NEW_ONLY, ["scoped"]),
        (Stage.SEALED, ["scoped"]),
    ):
        set_stage(client, stage)
        assert sorted(walk(new_store(client))) == expected


def traffic(store: JobStore, client: redis.Redis, stage: Stage) -> Iterator[None]:
    """What happens between two pages: jobs come, go, and are carried over and indexed by updates."""
    for number in itertools.count():
        enqueue(store, job_id=f"new{number}")
        if number < 20:
            store.delete_job(f"dying{number}", "acme")
            store.update_status(f"old{number}", "running", "acme")
            store.update_status(f"idx{number}", "running", "acme")
        yield


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_walk_under_traffic(real_server: Server, stage: Stage, limit: int) -> None:
    """Jobs that exist throughout appear exactly once while others come and go and updates index what was not."""
    client = real_server.client()
    set_stage(client, stage)
    store = new_store(client)
    for number in range(20):
        put_where_read(client, stage, f"old{number}")
        put_where_read(client, stage, f"dying{number}")
        put_where_read(client, stage, f"quiet{number}")
        put_both(client, f"foreign{number}", "other")
        enqueue(store, job_id=f"idx{number}")
    found: list[str] = []
    for page, _ in zip(pages(store, limit), traffic(store, client, stage), strict=False):
        found += [job.job_id for job in page.items]
    for name in ("old", "quiet", "idx"):
        assert sorted(job_id for job_id in found if job_id.startswith(name)) == sorted(f"{name}{n}" for n in range(20))
    assert len(found) == len(set(found))


def test_jobs_that_get_their_legacy_copy_back_are_not_met_again(real_server: Server) -> None:
    """Far more of them than a walk remembers, so that no hash seed hides what is met a second time."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    store = new_store(client)
    for number in range(600):
        put_scoped(client, f"only{number}")
    found: list[str] = []
    for page in pages(store, 200):
        found += [job.job_id for job in page.items]
        for job in page.items:
            store.update_status(job.job_id, "running", "acme")
    assert len(found) == len(set(found)) == 600


def test_two_walks_at_once(real_server: Server) -> None:
    """Walks that began at different times each see what was there all along, once, however they interleave."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    store = new_store(client)
    for number in range(30):
        put_legacy(client, f"old{number:02}")
    walks = [pages(store, 2)]
    found: list[list[str]] = [[], [], []]
    for number in range(30):
        if number in {5, 10}:
            walks.append(pages(store, 3))
        store.update_status(f"old{number:02}", "running", "acme")
        for mine, each in zip(found, walks, strict=False):
            page = next(each, None)
            mine += [job.job_id for job in page.items] if page else []
    for mine, each in zip(found, walks, strict=True):
        mine += [job.job_id for page in each for job in page.items]
        assert sorted(mine) == [f"old{number:02}" for number in range(30)]


def test_a_walk_after_late_entries_sees_them_once(client: redis.Redis) -> None:
    """What was indexed behind one walk's back is an ordinary entry to the next."""
    set_stage(client, Stage.DUAL_WRITE)
    store = new_store(client)
    for job_id in "abcd":
        put_legacy(client, job_id)
    store.list_jobs("acme", limit=1)
    store.update_status("a", "running", "acme")
    assert sorted(walk(store, 1)) == ["a", "b", "c", "d"]
    store.update_status("b", "running", "acme")
    assert sorted(walk(store, 3)) == ["a", "b", "c", "d"]


def test_late_entries_are_remembered_as_long_as_a_walk(client: redis.Redis) -> None:
    """A walk that goes on for hours, page by page, does not forget what was indexed behind its back."""
    set_stage(client, Stage.DUAL_WRITE)
    store = new_store(client)
    for number in range(5):
        put_legacy(client, f"old{number}")
        enqueue(store, job_id=f"new{number}")
    page = store.list_jobs("acme", limit=1)
    store.update_status("old0", "running", "acme")
    client.pexpire("ai:migration:late:acme", 60_000)
    store.list_jobs("acme", limit=1, cursor=page.next_cursor)
    assert client.pttl("ai:migration:late:acme") >= client.pttl("ai:migration:walk:acme") - 5


def test_a_walk_that_rested_too_long_is_refused(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """After an hour's rest the walk can no longer know what it has missed, and says so."""
    for number in range(4):
        put_where_read(client, stage, f"old{number}")
        enqueue(staged, job_id=f"new{number}")
    cursors = [page.next_cursor for page in pages(staged, 1)][:-1]
    client.delete("ai:migration:walk:acme")
    for cursor in (cursors[0], cursors[-1]):
        with pytest.raises(InvalidCursor, match="too old"):
            staged.list_jobs("acme", cursor=cursor)
    later = staged.list_jobs("acme", limit=1)
    assert later.next_cursor is not None
    with pytest.raises(InvalidCursor, match="too old"):
        staged.list_jobs("acme", cursor=cursors[0])


def test_a_walk_that_rested_too_long_in_the_index_is_refused(staged: JobStore, client: redis.Redis) -> None:
    """So is one that has not come to the keyspace yet, also if another walk has begun since."""
    for number in range(3):
        enqueue(staged, job_id=f"j{number}")
    cursor = staged.list_jobs("acme", limit=1).next_cursor
    client.delete("ai:migration:walk:acme")
    with pytest.raises(InvalidCursor, match="too old"):
        staged.list_jobs("acme", limit=1, cursor=cursor)
    assert staged.list_jobs("acme", limit=1).next_cursor is not None
    with pytest.raises(InvalidCursor, match="too old"):
        staged.list_jobs("acme", limit=1, cursor=cursor)


def test_jobs_with_two_copies_are_one_row_however_far_apart(client: redis.Redis) -> None:
    """The keyspace shows both keys of a job, with more jobs between them than a cursor could remember."""
    set_stage(client, Stage.DUAL_WRITE)
    store = new_store(client)
    for number in range(600):
        put_both(client, f"j{number}")
    found = walk(store, 50)
    assert len(found) == len(set(found)) == 600


def test_a_complete_index_ends_the_scans(client: redis.Redis) -> None:
    """From new_first on and after a complete pass a new walk is along the index; below it is not."""
    put_legacy(client, "old")
    complete_index(client)
    for stage, expected in ((Stage.DUAL_WRITE, ["old"]), (Stage.NEW_FIRST, []), (Stage.DUAL_WRITE, ["old"])):
        set_stage(client, stage)
        assert walk(new_store(client)) == expected


def test_a_small_workspace_among_many_jobs(real_server: Server) -> None:
    """Each page is a bounded amount of work, and reads the hashes of no foreign job whole."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    with client.pipeline(transaction=False) as many:
        for number in range(6000):
            many.hset(f"ai:jobs:foreign{number}", mapping={"workspace_id": "other", "job_id": f"foreign{number}"})
        many.execute()
    for number in range(5):
        put_legacy(client, f"old{number}")
    store = new_store(client)
    client.config_resetstat()
    found, count = [], 0
    for page in pages(store, 50):
        found += [job.job_id for job in page.items]
        count += 1
    assert sorted(found) == [f"old{number}" for number in range(5)]
    assert 1 < count < 10
    calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] <= 60


def test_a_cursor_fits_into_a_request_line(real_server: Server) -> None:
    """Whatever the page size, a cursor is short enough for a query string."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    made = [f"{number:03}" + "x" * 200 for number in range(400)]
    with client.pipeline(transaction=False) as many:
        for job_id in made:
            put_legacy(many, job_id)
        many.execute()
    store = new_store(client)
    for limit in (7, 1000):
        found = []
        for page in pages(store, limit):
            found += [job.job_id for job in page.items]
            assert len(page.next_cursor or "") < 8_000
        assert sorted(found) == made


def test_a_shrinking_keyspace_shows_no_job_twice(real_server: Server) -> None:
    """When the server makes its table smaller under a walk, SCAN repeats itself; the walk does not."""
    client = real_server.client()
    set_stage(client, Stage.NEW_FIRST)
    store = new_store(client)
    made = sorted(f"old{number:03}" for number in range(300))
    for job_id in made:
        put_legacy(client, job_id)
    filler = [f"filler{number}" for number in range(30_000)]
    for start in range(0, len(filler), 1000):
        client.mset(dict.fromkeys(filler[start : start + 1000], ""))
    found: list[str] = []
    for number, page in enumerate(pages(store, 20)):
        found += [job.job_id for job in page.items]
        if number == 3:
            for start in range(0, len(filler), 1000):
                client.delete(*filler[start : start + 1000])
    assert len(found) == len(set(found))
    assert sorted(found) == made


GARBAGE = ["", "x", "é", "e30", "W10", "bnVsbA", "WzFd", "====", "a" * 5000, "W" * 20_000, "\x00", "W1tbW1tbW1tb"]


@pytest.mark.parametrize("cursor", [*GARBAGE, 7, b"x"], ids=lambda cursor: repr(cursor)[:20])
def test_garbage_is_no_cursor(staged: JobStore, client: redis.Redis, cursor: str) -> None:
    """Whatever a caller sends as a cursor is refused with one error, and nothing is written."""
    before = dump(client)
    with pytest.raises(InvalidCursor):
        staged.list_jobs("acme", cursor=cursor)
    assert dump(client) == before


FORGED = [
    ["acme", "", "1", "1", "j", None, [], 7],
    ["acme", "", "1", "1", "j", "0", [], "x" * 100_000],
    ["acme", "", "1", "1", "j", None, ""],
    ["acme", "", "1", "1", "j", None, [], [], ""],
    ["acme", "", "x", "1", "j", None, [], ""],
    ["acme", "", "1", "1e5", "j", None, [], ""],
    ["acme", "", "1", "--1", "j", None, [], ""],
    ["acme", "", "1", "1-", "j", None, [], ""],
    ["acme", "", "1", "nan", "j", None, [], ""],
    ["acme", "", "1", "1", 7, None, [], ""],
    ["acme", "", "1", "1", "\ud800", None, [], ""],
    ["acme", "", "1", "1", "j", "x", [], ""],
    ["acme", "", "1", "1", "j", "-1", [], ""],
    ["acme", "", "1", "1", "j", "9" * 30, [], ""],
    ["acme", "", "1", "1", "j", 5, [], ""],
    ["acme", "", "1", "1", "j", "0", [7], ""],
    ["acme", "", "1", "1", "j", "0", ["\ud800"], ""],
    ["acme", "", "1", "1", "j", "0", None, ""],
    ["acme", "", "\u0661", "1", "j", None, [], ""],
    ["acme", "", "9" * 400, "1", "j", None, [], ""],
    ["acme", "", "", "1", "j", None, [], ""],
    ["acme", "", "1", "", "j", "end", [], ""],
]


def test_a_forged_cursor_is_refused_or_harmless(
    client: redis.Redis, forge: Callable[[object], str], staged: JobStore
) -> None:
    """A cursor that was put together by hand gives an error of ours or a page of the caller's own jobs."""
    enqueue(staged, "other", job_id="foreign")
    enqueue(staged, "acme", job_id="mine")
    staged.list_jobs("acme", limit=1)
    for values in FORGED:
        try:
            page = staged.list_jobs("acme", cursor=forge(values))
        except InvalidCursor:
            continue
        assert {job.job_id for job in page.items} <= {"mine"}


def test_a_forged_cursor_opens_no_foreign_job(
    client: redis.Redis, forge: Callable[[object], str], staged: JobStore
) -> None:
    """Ids in a cursor are looked at as the caller's own."""
    enqueue(staged, "other", job_id="foreign")
    staged.list_jobs("acme")
    page = staged.list_jobs("acme", cursor=forge(["acme", "", "1", "", "", "end", ["foreign", "ghost"], ""]))
    assert page.items == ()


def test_reading_changes_no_job(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """A walk leaves every job and every live index entry as it was."""
    for number in range(5):
        put_where_read(client, stage, f"old{number}")
        enqueue(staged, job_id=f"new{number}")
    before = {key: value for key, value in dump(client).items() if not key.startswith(b"ai:migration:")}
    walk(staged, 2)
    assert {key: value for key, value in dump(client).items() if not key.startswith(b"ai:migration:")} == before
    assert copy_at(client, scoped("old0")) == {} or stage in {Stage.NEW_FIRST, Stage.NEW_ONLY, Stage.SEALED}
