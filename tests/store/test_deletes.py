"""Delete removes both copies and the index entry in one step, in every stage."""

import pytest
import redis

from relay_jobs import JobStore, Stage
from tests.store.records import (
    READS_LEGACY,
    STAGES,
    dump,
    enqueue,
    fields,
    legacy,
    new_store,
    put_both,
    put_legacy,
    put_scoped,
    scoped,
    set_stage,
)


@pytest.mark.parametrize("made_in", STAGES, ids=str)
def test_both_copies_and_the_index_entry_go(client: redis.Redis, stage: Stage, made_in: Stage) -> None:
    """Whatever stage made the job, and whatever stage deletes it, nothing of it is left to come back."""
    set_stage(client, made_in)
    enqueue(new_store(client), job_id="j")
    set_stage(client, stage)
    new_store(client).delete_job("j", "acme")
    assert client.exists(legacy("j"), scoped("j")) == 0
    for later in STAGES:
        set_stage(client, later)
        assert new_store(client).get_job("j", "acme") is None
        assert new_store(client).list_jobs("acme").items == ()


def test_a_job_with_both_copies_is_deleted_with_its_index_entry(staged: JobStore, client: redis.Redis) -> None:
    """The index entry goes in the same step as the copies."""
    put_both(client, "j")
    client.zadd("ai:index:acme", {"j": 1, "other": 2})
    assert staged.delete_job("j", "acme") is True
    assert client.exists(legacy("j"), scoped("j")) == 0
    assert client.zrange("ai:index:acme", 0, -1) == [b"other"]
    assert staged.delete_job("j", "acme") is False


def test_a_copy_that_the_stage_does_not_read_goes_too(staged: JobStore, stage: Stage, client: redis.Redis) -> None:
    """A job that is unknown here answers False, and the copy that another stage would read is gone as well."""
    (put_scoped if stage in READS_LEGACY else put_legacy)(client, "j")
    client.zadd("ai:index:acme", {"j": 1})
    known = staged.delete_job("j", "acme")
    assert known is (stage is Stage.NEW_FIRST)
    assert client.exists(legacy("j"), scoped("j"), "ai:index:acme") == 0


def test_a_partial_copy_of_a_deleted_job_goes_too(client: redis.Redis) -> None:
    """What the predecessor left under the workspace key does not outlive its job."""
    for where in (*READS_LEGACY, Stage.NEW_FIRST):
        set_stage(client, where)
        put_legacy(client, "j")
        client.hset(scoped("j"), "status", "running")
        assert new_store(client).delete_job("j", "acme") is True
        assert client.exists(legacy("j"), scoped("j")) == 0


def test_a_foreign_job_is_not_deleted(staged: JobStore, client: redis.Redis) -> None:
    """Another workspace's delete answers as for an unknown id and changes nothing."""
    enqueue(staged, "acme", job_id="j")
    before = dump(client)
    assert staged.delete_job("j", "other") is False
    assert dump(client) == before


def test_an_extra_copy_goes_without_the_foreign_job_of_the_same_id(staged: JobStore, client: redis.Redis) -> None:
    """Where two workspaces have a copy of one id, each deletes only its own."""
    put_legacy(client, "j", "other")
    put_scoped(client, "j", "acme")
    staged.delete_job("j", "acme")
    assert client.exists(legacy("j")) == 1
    assert client.exists(scoped("j")) == 0


def test_what_is_no_job_is_not_deleted(staged: JobStore, client: redis.Redis) -> None:
    """A key of another type, or a legacy hash without an owner, is not this workspace's to delete."""
    client.set(scoped("string"), "third generation")
    put_legacy(client, "nobody", "")
    client.hset(legacy("mismatch"), mapping=fields("other-id"))
    before = dump(client)
    for job_id in ("string", "nobody", "mismatch"):
        assert staged.delete_job(job_id, "acme") is False
    assert dump(client) == before


def test_a_deleted_job_is_not_handed_out(staged: JobStore, client: redis.Redis) -> None:
    """The queue entry of a deleted job is skipped, and so is its claim."""
    enqueue(staged, job_id="j")
    enqueue(staged, job_id="k")
    staged.delete_job("j", "acme")
    claimed = staged.claim("w")
    assert claimed is not None
    assert claimed.job_id == "k"
    staged.delete_job("k", "acme")
    assert staged.claim("w") is None
    assert client.zcard("ai:migration:claims") == client.hlen("ai:migration:claimants") == 0


def test_a_deleted_id_may_be_used_again(staged: JobStore) -> None:
    """A job that takes the id of a deleted one is a new job, whoever enqueues it."""
    enqueue(staged, "acme", job_id="j", params=1)
    staged.delete_job("j", "acme")
    assert staged.enqueue("other", "mail", "send", 2, "u", job_id="j").created
    assert staged.get_job("j", "acme") is None
    job = staged.get_job("j", "other")
    assert job is not None
    assert job.params == 2
