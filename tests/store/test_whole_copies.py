"""A copy is whole or absent, in every stage, whatever was there before."""

from collections.abc import Callable

import pytest
import redis

from relay_jobs import JobStore, Stage
from tests.store.records import (
    READS_LEGACY,
    WRITES_BOTH,
    copy_at,
    dump,
    enqueue,
    fields,
    is_whole,
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
CARRIES_TO_SCOPED = (Stage.DUAL_WRITE, Stage.NEW_FIRST)
CARRIES_TO_LEGACY = (Stage.NEW_FIRST, Stage.NEW_ONLY)

WRITTEN = {
    Stage.LEGACY: {b"ai:jobs:j"},
    Stage.DUAL_WRITE: {b"ai:jobs:j", b"ai:job:acme:j"},
    Stage.NEW_FIRST: {b"ai:jobs:j", b"ai:job:acme:j"},
    Stage.NEW_ONLY: {b"ai:jobs:j", b"ai:job:acme:j"},
    Stage.SEALED: {b"ai:job:acme:j"},
}


def copies(client: redis.Redis) -> set[bytes]:
    return {key for key in (legacy("j"), scoped("j")) if client.exists(key)}


def test_enqueue_writes_what_the_stage_writes(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """A new job has exactly the copies of its stage, all of them equal, and an index entry in every stage."""
    enqueue(staged, job_id="j")
    assert copies(client) == WRITTEN[stage]
    assert len({tuple(sorted(copy_at(client, key).items())) for key in WRITTEN[stage]}) == 1
    assert client.zrange("ai:index:acme", 0, -1) == [b"j"]


def test_the_hash_of_a_new_job_has_every_field(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """Code without the library finds each field that it knows, the empty ones too."""
    enqueue(staged, job_id="j")
    for key in WRITTEN[stage]:
        copy = copy_at(client, key)
        assert set(copy) == {name.encode() for name in fields("j")}
        assert (copy[b"status"], copy[b"params"], copy[b"result"]) == (b"pending", b'{"to":"x"}', b"")


def test_queue_entries_are_bare_until_the_seal(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """Code without the library can pop every entry of the stages in which it may run."""
    enqueue(staged, job_id="j")
    entry = b"\x1facme\x1fj" if stage is Stage.SEALED else b"j"
    assert client.lrange("ai:queue:pending", 0, -1) == [entry]


def test_a_time_to_live_is_the_same_instant_in_both_copies(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """Both copies of a new job with a time to live end at the same millisecond."""
    enqueue(staged, job_id="j", ttl_seconds=77.5)
    ends = {client.pexpiretime(key) for key in WRITTEN[stage]}
    assert len(ends) == 1
    assert 76_000 < client.pttl(next(iter(WRITTEN[stage]))) <= 77_500


def test_an_update_writes_every_copy_of_the_stage(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """After an update the copies that the stage writes are whole and equal."""
    enqueue(staged, job_id="j")
    staged.update_status("j", "running", "acme")
    staged.update_status("j", "completed", "acme", result={"n": 1})
    found = [copy_at(client, key) for key in WRITTEN[stage]]
    assert all(copy == found[0] and is_whole(copy) for copy in found)
    assert (found[0][b"status"], found[0][b"result"]) == (b"completed", b'{"n":1}')


@pytest.mark.parametrize("there", [None, {"status": "running"}, {"status": "running", "result": "old"}], ids=str)
@pytest.mark.parametrize("where", CARRIES_TO_SCOPED, ids=str)
def test_an_update_carries_a_whole_legacy_job_over(
    at: At, client: redis.Redis, where: Stage, there: dict[str, str] | None
) -> None:
    """An absent or partial workspace copy becomes the whole job, its unknown fields and bytes included."""
    put_legacy(client, "j", note=b"\xff\xfe\x00raw", colour="blue")
    if there:
        client.hset(scoped("j"), mapping={**there, "stray": "x"})
    at(where).update_status("j", "running", "acme")
    copy = copy_at(client, scoped("j"))
    assert copy == copy_at(client, legacy("j"))
    assert (copy[b"note"], copy[b"colour"], copy[b"status"]) == (b"\xff\xfe\x00raw", b"blue", b"running")
    assert client.zrange("ai:index:acme", 0, -1) == [b"j"]


@pytest.mark.parametrize("where", CARRIES_TO_LEGACY, ids=str)
def test_an_update_carries_a_whole_workspace_job_back(at: At, client: redis.Redis, where: Stage) -> None:
    """A job that only has its workspace copy gets a whole legacy copy, so that the way back is open."""
    put_scoped(client, "j", note=b"\xff")
    at(where).update_status("j", "running", "acme")
    assert copy_at(client, legacy("j")) == copy_at(client, scoped("j"))
    assert copy_at(client, legacy("j"))[b"note"] == b"\xff"


@pytest.mark.parametrize("where", WRITES_BOTH, ids=str)
def test_a_carried_copy_expires_at_the_same_instant(at: At, client: redis.Redis, where: Stage) -> None:
    """The copy that an update makes carries the absolute expiry, not a new time to live."""
    put_where_read(client, where, "j")
    right, other = (legacy("j"), scoped("j")) if where in READS_LEGACY else (scoped("j"), legacy("j"))
    client.pexpire(right, 123_456)
    ends = client.pexpiretime(right)
    at(where).update_status("j", "running", "acme")
    assert client.pexpiretime(right) == client.pexpiretime(other) == ends


@pytest.mark.parametrize("where", CARRIES_TO_SCOPED, ids=str)
def test_a_partial_hash_never_loses_its_own_expiry_to_a_job_without_one(
    at: At, client: redis.Redis, where: Stage
) -> None:
    """A partial copy's time to live does not become the job's."""
    put_legacy(client, "j")
    client.hset(scoped("j"), "status", "running")
    client.pexpire(scoped("j"), 50_000)
    at(where).update_status("j", "running", "acme")
    assert client.pttl(scoped("j")) == -1


def test_an_update_of_an_expired_job_makes_no_ghost(staged: JobStore, client: redis.Redis) -> None:
    """A job that has expired is unknown, and the update leaves no hash with two fields behind."""
    enqueue(staged, job_id="j")
    client.delete(legacy("j"), scoped("j"))
    before = dump(client)
    with pytest.raises(LookupError):
        staged.update_status("j", "running", "acme")
    assert dump(client) == before


def test_a_key_of_another_type_is_no_copy_and_stays(at: At, client: redis.Redis) -> None:
    """A string under the workspace key is neither read nor overwritten; the legacy copy is updated all the same."""
    put_legacy(client, "j")
    client.set(scoped("j"), "third generation")
    store = at(Stage.NEW_FIRST)
    assert store.update_status("j", "running", "acme").status == "running"
    assert client.get(scoped("j")) == b"third generation"
    assert copy_at(client, legacy("j"))[b"status"] == b"running"


def test_an_invalid_legacy_record_is_not_written(at: At, client: redis.Redis) -> None:
    """A workspace copy's update leaves a legacy hash alone that belongs to another workspace or to nobody."""
    for job_id, owner in (("foreign", "other"), ("nobody", ""), ("bad", "no such workspace!")):
        put_scoped(client, job_id)
        put_legacy(client, job_id, owner)
        before = copy_at(client, legacy(job_id))
        at(Stage.NEW_FIRST).update_status(job_id, "running", "acme")
        assert copy_at(client, legacy(job_id)) == before


@pytest.mark.parametrize("where", WRITES_BOTH, ids=str)
def test_the_copy_that_the_stage_reads_decides(at: At, client: redis.Redis, where: Stage) -> None:
    """Whether a transition is legal is decided on the right copy, and both get the same change."""
    put_both(client, "j")
    right, other = (legacy("j"), scoped("j")) if where in READS_LEGACY else (scoped("j"), legacy("j"))
    client.hset(right, "status", "running")
    at(where).update_status("j", "completed", "acme", result=1)
    assert copy_at(client, right)[b"status"] == copy_at(client, other)[b"status"] == b"completed"


def test_old_and_new_readers_agree_after_every_step(client: redis.Redis) -> None:
    """Two processes on adjacent stages, in either order, each read what the other has just written."""
    for low, high in zip(Stage, list(Stage)[1:4], strict=False):
        for writer, reader in ((low, high), (high, low)):
            client.flushall()
            put_legacy(client, "j")
            client.copy(legacy("j"), scoped("j"))
            set_stage(client, writer)
            store = new_store(client)
            if writer is Stage.LEGACY:
                continue
            store.update_status("j", "running", "acme")
            set_stage(client, reader)
            found = new_store(client).get_job("j", "acme")
            assert found is not None
            assert found.status == "running"
