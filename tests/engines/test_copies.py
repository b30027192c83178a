"""What a backfill does to each kind of record, and to a record that changes between any two of its batches."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import IllegalTransition, JobNotFound
from relay_jobs.progress import Books, Phase
from tests.engines.traffic import Traffic
from tests.engines.world import World, acting, copies, equal, fill
from tests.store.records import copy_at, dump, enqueue, fields, legacy, new_store, put_legacy, put_scoped, scoped

ODD_IDS = ["team-a:42", "team-b:42", "a b", "*", "[x]?", "a\\b", "ü", "x" * 256, "{tag}", ":", "..", "%s"]
UUID = "6f1c2a34-9b7e-4c1d-8a55-0123456789ab"


def test_every_legacy_job_gets_a_whole_equal_copy_and_an_index_entry(world: World) -> None:
    """A pass copies all jobs, indexes them, and leaves the legacy schema as it was."""
    names = fill(world.client, 250)
    before = {key: value for key, value in dump(world.client).items() if key.startswith(b"ai:jobs:")}
    summary = world.backfill(batch=30)
    assert summary.books == Books(scanned=250, migrated=250)
    assert summary.complete
    assert all(equal(world.client, name) for name in names)
    assert world.client.zcard("ai:index:acme") == 250
    assert before == {key: value for key, value in dump(world.client).items() if key.startswith(b"ai:jobs:")}


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_an_odd_id_stays_what_it_is(world: World, job_id: str) -> None:
    """Colons, globs, spaces and the longest id keep their whole name, and no other job's copy is touched."""
    put_legacy(world.client, job_id)
    put_legacy(world.client, "42")
    assert world.backfill().books == Books(scanned=2, migrated=2)
    assert equal(world.client, job_id)
    assert copies(world.client) == {job_id.encode(), b"42"}


@pytest.mark.parametrize("workspace", [UUID, "WS_TEST", "a", "A" + "z-_9" * 15 + "xyz"])
def test_every_valid_workspace_is_copied(world: World, workspace: str) -> None:
    """UUIDs, the changelog's WS_TEST, one letter and 64 letters are workspaces."""
    put_legacy(world.client, "j", workspace)
    assert world.backfill().books == Books(scanned=1, migrated=1)
    assert equal(world.client, "j", workspace)


def test_values_and_names_are_carried_byte_for_byte(world: World) -> None:
    """Non-UTF-8 ids, field names and values, empty values and NUL bytes arrive unchanged."""
    job_id = b"\xff\xfe-\xc3"
    odd = {
        b"workspace_id": b"acme",
        b"\xff\x00name": b"\x80\x81\x00",
        b"empty": b"",
        b"": b"nameless",
        b"params": b"\xfe",
    }
    world.client.hset(legacy(job_id), mapping=odd)  # type: ignore[arg-type]
    assert world.backfill().books == Books(scanned=1, migrated=1)
    assert copy_at(world.client, scoped(job_id)) == odd


def test_a_hash_of_ten_thousand_fields_is_one_job(world: World) -> None:
    """A large hash is copied whole, found equal by a second pass and by a verification."""
    put_legacy(world.client, "big", **{f"f{number}": "v" * 20 for number in range(10_000)})
    assert world.backfill().books == Books(scanned=1, migrated=1)
    assert world.backfill("run-2").books == Books(scanned=1, exists=1)
    assert world.verify().equal == 1
    assert equal(world.client, "big")


def test_a_second_pass_finds_all_and_changes_nothing(world: World) -> None:
    """What is copied already exists; no copy is written again."""
    fill(world.client, 60)
    world.backfill()
    before = {key: value for key, value in dump(world.client).items() if not key.startswith(b"ai:migration:")}
    assert world.backfill("run-2").books == Books(scanned=60, exists=60)
    assert before == {key: value for key, value in dump(world.client).items() if not key.startswith(b"ai:migration:")}


def test_a_copy_expires_at_the_same_millisecond(world: World) -> None:
    """The absolute expiry is carried, not the time that was left."""
    put_legacy(world.client, "j")
    world.client.pexpireat(legacy("j"), int(time.time() * 1000) + 86_400_123)
    world.backfill()
    assert world.client.pexpiretime(scoped("j")) == world.client.pexpiretime(legacy("j")) > 0


def test_a_newer_copy_is_never_overwritten(world: World) -> None:
    """A whole copy that differs stays as it is and is counted as a conflict."""
    put_legacy(world.client, "j")
    put_scoped(world.client, "j", status="completed", result='{"n":1}')
    opened = world.open()
    reports = list(world.walk(opened))
    assert reports[-1].counts == Books(scanned=1, conflict=1)
    assert [(s.job_id, s.workspace_id, s.reason) for s in reports[-1].samples] == [("j", "acme", "differs")]
    assert copy_at(world.client, scoped("j"))[b"result"] == b'{"n":1}'


def test_a_copy_with_another_expiry_is_a_conflict(world: World) -> None:
    """Expiry is part of equality."""
    put_legacy(world.client, "j")
    put_scoped(world.client, "j")
    world.client.pexpireat(scoped("j"), int(time.time() * 1000) + 1_000_000)
    assert world.backfill().books == Books(scanned=1, conflict=1)


@pytest.mark.parametrize(
    "partial",
    [
        {"status": "completed", "result": "{}"},
        {"job_id": "j", "status": "running"},
        {"workspace_id": "other", "status": "running"},
        {"workspace_id": "acme", "job_id": "another"},
        {"workspace_id": ""},
    ],
)
def test_a_hash_that_is_no_copy_is_replaced_whole(world: World, partial: dict[str, str]) -> None:
    """What the predecessor left under a workspace key gives way to the valid job, none of its fields stays."""
    put_legacy(world.client, "j")
    world.client.hset(scoped("j"), mapping={**partial, "left_over": "1"})  # type: ignore[arg-type]
    world.client.pexpireat(scoped("j"), int(time.time() * 1000) + 1_000_000)
    assert world.dry_run() == Books(scanned=1, migrated=1)
    assert world.backfill().books == Books(scanned=1, migrated=1)
    assert equal(world.client, "j")


def test_a_key_of_another_type_is_a_conflict_and_stays(world: World) -> None:
    """Nothing but a hash can be a copy, and nothing but a hash is replaced."""
    for name in ("a", "b", "c"):
        put_legacy(world.client, name)
    world.client.set(scoped("a"), "text")
    world.client.rpush(scoped("b"), "entry")
    assert world.dry_run() == Books(scanned=3, migrated=1, conflict=2)
    assert world.backfill().books == Books(scanned=3, migrated=1, conflict=2)
    assert world.client.get(scoped("a")) == b"text"
    assert world.client.lrange(scoped("b"), 0, -1) == [b"entry"]


def put_invalid(client: redis.Redis) -> dict[bytes, bytes]:
    """One record of each kind that cannot be moved; reasons by id."""
    client.set(legacy("text"), "x")
    client.rpush(legacy("list"), "x")
    client.hset(legacy("no-workspace"), mapping={"job_id": "no-workspace", "status": "pending"})
    client.hset(legacy("empty-workspace"), mapping=fields("empty-workspace", ""))  # type: ignore[arg-type]
    for name, workspace in [("colon", "a:b"), ("long", "w" * 65), ("dash", "-a"), ("newline", "a\n"), ("glob", "a*")]:
        client.hset(legacy(name), mapping=fields(name, workspace))  # type: ignore[arg-type]
    client.hset(legacy("not-utf8"), mapping=fields("not-utf8") | {"workspace_id": b"\xffacme"})  # type: ignore[arg-type]
    client.hset(legacy("mismatch"), mapping=fields("another"))  # type: ignore[arg-type]
    client.hset(legacy("no-id"), mapping=fields(""))  # type: ignore[arg-type]
    client.hset(legacy(b"ctrl\x1f"), mapping={"workspace_id": "acme"})
    client.hset(legacy("y" * 257), mapping={"workspace_id": "acme"})
    client.hset(legacy(""), mapping={"workspace_id": "acme"})
    return {
        **dict.fromkeys((b"text", b"list"), b"wrong_type"),
        **dict.fromkeys((b"no-workspace", b"empty-workspace"), b"no_workspace"),
        **dict.fromkeys((b"colon", b"long", b"dash", b"newline", b"glob", b"not-utf8"), b"bad_workspace"),
        **dict.fromkeys((b"mismatch", b"no-id"), b"id_mismatch"),
        **dict.fromkeys((b"ctrl\x1f", b"y" * 257, b""), b"bad_id"),
    }


def test_every_record_that_cannot_be_moved_is_quarantined_with_its_reason(world: World) -> None:
    """It stays where it is, gets no copy, and the pass goes on to its end."""
    reasons = put_invalid(world.client)
    put_legacy(world.client, "good")
    before = {key for key in dump(world.client) if key.startswith(b"ai:jobs:")}
    books = Books(scanned=len(reasons) + 1, migrated=1, invalid=len(reasons))
    assert world.dry_run() == books
    assert world.backfill(batch=4).books == books
    assert world.quarantined() == reasons
    assert {key for key in dump(world.client) if key.startswith(b"ai:jobs:")} == before
    assert {key for key in dump(world.client) if key.startswith(b"ai:job:")} == {scoped("good")}


def test_the_third_generation_is_not_touched(world: World) -> None:
    """Older records keep every byte, even where their id makes them look like a workspace copy."""
    put_legacy(world.client, "42")
    for name in ("abc", "acme:42", "acme:other:7", ":", "acme:"):
        world.client.set(f"ai:job:{name}", '{"id": 1}')
    before = {key: value for key, value in dump(world.client).items() if key.startswith(b"ai:job:")}
    assert world.backfill().books == Books(scanned=1, conflict=1)
    verdict = world.verify()
    assert (verdict.third_generation, verdict.extra, verdict.malformed) == (4, 0, 0)
    assert {key: value for key, value in dump(world.client).items() if key.startswith(b"ai:job:")} == before


def test_two_workspaces_with_the_same_id_at_its_end_keep_apart(world: World) -> None:
    """Keys are told apart by their fixed prefix: no job lands in a workspace that its id names."""
    put_legacy(world.client, "beta:42", "acme")
    put_legacy(world.client, "42", "beta")
    assert world.backfill().books == Books(scanned=2, migrated=2)
    assert equal(world.client, "beta:42", "acme")
    assert equal(world.client, "42", "beta")


def test_only_the_chosen_workspaces_are_copied(world: World) -> None:
    """Foreign jobs and records of unknown workspace are filtered, foreign invalid ones too."""
    for workspace, count in [("acme", 5), ("beta", 7), ("gamma", 3)]:
        fill(world.client, count, workspace, workspace)
    put_invalid(world.client)
    world.client.hset(legacy("mine"), mapping=fields("other", "acme"))  # type: ignore[arg-type]
    summary = world.backfill(workspaces=["acme", "gamma"])
    assert (summary.books.migrated, len(copies(world.client, "beta"))) == (8, 0)
    assert world.quarantined() == {b"mine": b"id_mismatch", b"mismatch": b"id_mismatch", b"no-id": b"id_mismatch"} | {
        name: b"bad_id" for name in (b"ctrl\x1f", b"y" * 257, b"")
    }
    assert summary.books.balanced


def test_a_workspace_in_stage_legacy_is_filtered(world: World) -> None:
    """Where only the legacy schema is written a copy would go stale."""
    world.client.hset("ai:migration:stages", "beta", "legacy")
    fill(world.client, 5)
    fill(world.client, 4, "beta", "b")
    assert world.dry_run() == Books(scanned=9, migrated=5, filtered=4)
    assert world.backfill().books == Books(scanned=9, migrated=5, filtered=4)
    assert copies(world.client, "beta") == set()


# A writer acts between any two batches of one key each.

Writer = Callable[[JobStore, redis.Redis, str], object]


def _finish(store: JobStore, _: redis.Redis, name: str) -> None:
    store.update_status(name, "running", "acme")
    store.update_status(name, "completed", "acme", result={"n": name})


def _raw_finish(_: JobStore, client: redis.Redis, name: str) -> None:
    client.hset(legacy(name), mapping={"status": "completed", "result": "{}"})


def _delete(store: JobStore, _: redis.Redis, name: str) -> None:
    store.delete_job(name, "acme")


def _raw_delete(_: JobStore, client: redis.Redis, name: str) -> None:
    client.delete(legacy(name))


def _expire(_: JobStore, client: redis.Redis, name: str) -> None:
    for key in (legacy(name), scoped(name)):
        client.pexpireat(key, 1_000)


def _drop_field(_: JobStore, client: redis.Redis, name: str) -> None:
    client.hdel(legacy(name), "actor_id")


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
@pytest.mark.parametrize("writer", [_finish, _delete, _expire])
def test_a_writer_that_acts_between_any_two_batches_loses_nothing(
    staged: Callable[[Stage], World], writer: Writer, stage: Stage
) -> None:
    """Whatever was updated, deleted or expired before or after its batch ends the same in both schemas."""
    world = staged(stage)
    store, names = new_store(world.client), fill(world.client, 30)

    def act(name: str) -> None:
        # In new_only a job without its copy is unknown.
        with suppress(JobNotFound):
            writer(store, world.client, name)

    reports = acting(world.walk(world.open(batch=1)), *(lambda name=name: act(name) for name in names[:10]))
    world.close(world.open())
    assert reports[-1].phase is Phase.DONE
    assert sum(r.counts.errors + r.counts.conflict for r in reports) == 0
    alive = {name for name in names if world.client.exists(legacy(name))}
    assert all(equal(world.client, name) for name in alive)
    assert copies(world.client) == {name.encode() for name in alive}
    assert world.verify().verified


@pytest.mark.parametrize("writer", [_raw_finish, _drop_field])
def test_an_old_process_that_acts_between_batches_makes_a_difference_that_is_seen(
    world: World, writer: Writer, store: JobStore
) -> None:
    """A raw write before the copy is carried, one after it is different, and repair lets legacy win."""
    names = fill(world.client, 30)
    acts = [lambda name=name: writer(store, world.client, name) for name in names[:10]]
    acting(world.walk(world.open(batch=1)), *acts)
    late = {name for name in names if copy_at(world.client, legacy(name)) != copy_at(world.client, scoped(name))}
    verdict = world.verify()
    assert (verdict.different, verdict.equal) == (len(late), 30 - len(late))
    assert world.verify(repair=True, run="run-1").repaired == len(late)
    assert all(equal(world.client, name) for name in names)


def test_an_old_process_that_deletes_between_batches_leaves_an_extra_that_repair_removes(
    world: World, store: JobStore
) -> None:
    """In dual_write a workspace copy alone is of a deleted job."""
    names = fill(world.client, 30)
    acts = [lambda name=name: _raw_delete(store, world.client, name) for name in names[:10]]
    acting(world.walk(world.open(batch=1)), *acts)
    gone = copies(world.client) - {name.encode() for name in names[10:]}
    assert world.verify().extra == len(gone)
    assert world.verify(repair=True, run="run-1").repaired == len(gone)
    assert copies(world.client) == {name.encode() for name in names[10:]}
    assert set(world.client.zrange("ai:index:acme", 0, -1)) == copies(world.client)


@pytest.mark.parametrize("shown", [2, 5])
def test_a_listing_that_a_backfill_overtakes_shows_each_job_once(world: World, store: JobStore, shown: int) -> None:
    """A step that indexes many jobs at once tells the listing of each: it has left the index, or is about to."""
    names = fill(world.client, 30)
    new = enqueue(store)
    page = store.list_jobs("acme", limit=shown)
    found = [job.job_id for job in page.items]
    world.backfill(batch=100)
    while page.next_cursor:
        page = store.list_jobs("acme", limit=shown, cursor=page.next_cursor)
        found += [job.job_id for job in page.items]
    assert sorted(found) == sorted([*names, new])


def test_a_job_that_is_gone_between_scan_and_its_turn_is_counted_as_gone(world: World, store: JobStore) -> None:
    """A key that one SCAN step returned and that is deleted before it is examined does not come back."""
    names = fill(world.client, 40)
    assert next(world.walk(world.open(batch=40, max_keys=5))).phase is Phase.LIMITED
    world.migration.release("run-1")
    waiting = [
        key.removeprefix(b"ai:jobs:").decode()
        for key in world.client.lrange("ai:migration:progress:all:pending:0", 0, -1)
    ]
    assert len(waiting) > 5
    for name in waiting[:5]:
        store.delete_job(name, "acme")
    summary = world.backfill("run-2", batch=40)
    assert summary.total == Books(scanned=40, migrated=35, gone=5)
    assert copies(world.client) == {name.encode() for name in names} - {name.encode() for name in waiting[:5]}


def test_a_job_that_expires_between_scan_and_its_turn_does_not_come_back(world: World) -> None:
    """Also where the server has not removed it yet."""
    fill(world.client, 40)
    assert next(world.walk(world.open(batch=40, max_keys=5))).phase is Phase.LIMITED
    world.migration.release("run-1")
    waiting = world.client.lrange("ai:migration:progress:all:pending:0", 0, 4)
    for key in waiting:
        world.client.pexpire(key, 20)
    time.sleep(0.03)
    assert world.backfill("run-2", batch=40).total == Books(scanned=40, migrated=35, gone=5)
    assert not copies(world.client) & {key.removeprefix(b"ai:jobs:") for key in waiting}


def test_old_processes_in_threads_leave_only_what_a_repair_mends(world: World) -> None:
    """Raw updates and deletes during a pass: no partial copy, and after one repair both schemas say the same."""
    names = fill(world.client, 200)

    def write() -> None:
        for turn, name in enumerate(names):
            if turn % 3:
                world.client.hset(legacy(name), mapping={"status": "completed", "result": str(turn)})
            else:
                world.client.delete(legacy(name))

    old = threading.Thread(target=write)
    old.start()
    summary = world.backfill(batch=5, partitions=2)
    old.join()
    assert summary.total.balanced
    whole = [copy_at(world.client, scoped(name)) for name in names]
    assert all(len(copy) in {0, 11} for copy in whole)
    world.verify(repair=True)
    assert world.verify().verified
    assert copies(world.client) == {name.encode() for turn, name in enumerate(names) if turn % 3}


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST], ids=str)
def test_live_writers_in_threads_and_a_backfill_end_equal(staged: Callable[[Stage], World], stage: Stage) -> None:
    """Enqueues, outcomes and deletes during passes of several partitions: no partial copy, no lost outcome."""
    world = staged(stage)
    traffic = Traffic(world.client, fill(world.client, 240))
    traffic.during(lambda turn: world.backfill(f"run-{turn}", partitions=4, batch=7))
    assert world.backfill("last").books.balanced
    assert traffic.nothing_lost()
    assert world.verify().verified


def test_an_outcome_between_copy_and_a_later_pass_is_kept(world: World, store: JobStore) -> None:
    """A second pass over a job that has moved on finds it equal: updates write both copies."""
    put_legacy(world.client, "j")
    world.backfill()
    _finish(store, world.client, "j")
    assert world.backfill("run-2").books == Books(scanned=1, exists=1)
    with pytest.raises(IllegalTransition):
        store.update_status("j", "running", "acme")
    assert copy_at(world.client, scoped("j"))[b"status"] == b"completed"
