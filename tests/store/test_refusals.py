"""A refused call has written nothing: the whole database is the same before and after."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import (
    IdempotencyConflict,
    InvalidJobId,
    InvalidPayload,
    InvalidWorkspace,
    JobExists,
    UsageError,
    WrongType,
)
from tests.store.records import copy_at, dump, enqueue, legacy, new_store, put_both, put_legacy, scoped

At = Callable[..., JobStore]
JOB: dict[str, Any] = {"action_provider": "mail", "action_name": "send", "params": {}, "actor_id": "u"}


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (InvalidWorkspace, {"workspace_id": "a:b"}),
        (InvalidWorkspace, {"workspace_id": ""}),
        (InvalidWorkspace, {"workspace_id": "acme\n"}),
        (InvalidWorkspace, {"workspace_id": "ä"}),
        (InvalidWorkspace, {"workspace_id": "-a"}),
        (InvalidWorkspace, {"workspace_id": "a" * 65}),
        (InvalidWorkspace, {"workspace_id": None}),
        (InvalidJobId, {"job_id": ""}),
        (InvalidJobId, {"job_id": "a\nb"}),
        (InvalidJobId, {"job_id": "a\x7f"}),
        (InvalidJobId, {"job_id": "\x1facme\x1fj"}),
        (InvalidJobId, {"job_id": "é" * 129}),
        (InvalidJobId, {"job_id": "\ud800"}),
        (InvalidJobId, {"job_id": 7}),
        (InvalidJobId, {"client_request_id": ""}),
        (InvalidJobId, {"client_request_id": "r" * 257}),
        (InvalidPayload, {"params": {1, 2}}),
        (InvalidPayload, {"params": float("inf")}),
        (InvalidPayload, {"params": {"a": 1, 2: 3}}),
        (InvalidPayload, {"actor_id": None}),
        (InvalidPayload, {"action_name": b"send"}),
        (InvalidPayload, {"actor_id": "\udbff"}),
        (UsageError, {"ttl_seconds": 0}),
        (UsageError, {"ttl_seconds": -1}),
        (UsageError, {"ttl_seconds": float("nan")}),
        (UsageError, {"ttl_seconds": 1e15}),
    ],
    ids=repr,
)
def test_an_argument_that_is_not_allowed_is_refused(
    client: redis.Redis, error: type[Exception], changes: dict[str, Any]
) -> None:
    """Bad input raises an error of its own class, before anything is written."""
    store = new_store(client)
    before = dump(client)
    with pytest.raises(error):
        store.enqueue(**{"workspace_id": "acme", **JOB, **changes})
    assert dump(client) == before


@pytest.mark.parametrize("key", ["ai:queue:pending", "ai:index:acme"])
def test_a_wrong_type_under_queue_or_index_refuses_an_enqueue_whole(
    staged: JobStore, client: redis.Redis, key: str
) -> None:
    """No hash and no idempotency key stays behind, and the retry succeeds once the key is repaired."""
    client.set(key, "not what it should be")
    before = dump(client)
    with pytest.raises(WrongType, match=f"'{key}' is of type string; nothing was written"):
        enqueue(staged, job_id="j", client_request_id="r")
    assert dump(client) == before
    client.delete(key)
    assert staged.enqueue("acme", **JOB, job_id="j", client_request_id="r").created


def test_a_wrong_type_under_the_idempotency_key_refuses_an_enqueue_whole(staged: JobStore, client: redis.Redis) -> None:
    """A request whose key is not a string cannot be told from its repeat, so nothing is written."""
    client.lpush("ai:idempotency:acme:r", "x")
    before = dump(client)
    with pytest.raises(WrongType, match="ai:idempotency:acme:r"):
        enqueue(staged, job_id="j", client_request_id="r")
    assert dump(client) == before


@pytest.mark.parametrize("key", [legacy("j"), scoped("j")])
def test_a_wrong_type_under_a_job_key_means_taken(staged: JobStore, client: redis.Redis, key: bytes) -> None:
    """What stands under a job's key is not overwritten, whatever it is."""
    client.set(key, "x")
    before = dump(client)
    with pytest.raises(JobExists):
        enqueue(staged, job_id="j")
    assert dump(client) == before
    assert staged.get_job("j", "acme") is None


def test_a_taken_id_is_refused_whoever_has_it(staged: JobStore, client: redis.Redis, stage: Stage) -> None:
    """A second enqueue of an id does not overwrite the first."""
    enqueue(staged, "acme", job_id="j")
    put_legacy(client, "old", "third")
    before = dump(client)
    owners = {"j": ["acme"] if stage is Stage.SEALED else ["acme", "other"], "old": ["acme", "third"]}
    for job_id, workspaces in owners.items():
        for workspace in workspaces:
            with pytest.raises(JobExists, match=f"job id '{job_id}' is taken"):
                enqueue(staged, workspace, job_id=job_id, client_request_id="r")
    assert dump(client) == before


def test_a_conflicting_repeat_is_refused(staged: JobStore, client: redis.Redis) -> None:
    """The same client_request_id with another payload raises and writes nothing."""
    enqueue(staged, client_request_id="r")
    before = dump(client)
    for changes in ({"params": 2}, {"action_name": "other"}, {"action_provider": "other"}):
        with pytest.raises(IdempotencyConflict, match="client_request_id 'r'"):
            enqueue(staged, client_request_id="r", **changes)
    assert dump(client) == before


def test_a_wrong_type_under_the_index_does_not_stop_the_work(at: At, client: redis.Redis) -> None:
    """One workspace's broken index blocks neither its updates nor the queue that all workspaces share."""
    put_legacy(client, "j")
    put_legacy(client, "k")
    client.rpush("ai:queue:pending", "j")
    client.set("ai:index:acme", "x")
    store = at(Stage.DUAL_WRITE)
    claimed = store.claim("w")
    assert claimed is not None
    assert claimed.job_id == "j"
    store.update_status("k", "running", "acme")
    assert copy_at(client, scoped("k")) == copy_at(client, legacy("k"))


def test_a_wrong_type_under_the_index_refuses_a_delete_whole(staged: JobStore, client: redis.Redis) -> None:
    """A delete that could not take the index entry along takes nothing."""
    put_both(client, "j")
    client.set("ai:index:acme", "x")
    before = dump(client)
    with pytest.raises(WrongType, match="ai:index:acme"):
        staged.delete_job("j", "acme")
    assert dump(client) == before


def test_a_wrong_type_under_the_index_is_named_by_a_listing(staged: JobStore, client: redis.Redis) -> None:
    """A listing along an index that is none says which key is wrong."""
    client.set("ai:index:acme", "x")
    with pytest.raises(WrongType, match="ai:index:acme"):
        staged.list_jobs("acme")


def test_a_wrong_type_under_the_queue_refuses_a_claim(staged: JobStore, client: redis.Redis) -> None:
    """A queue that is no list is named, and nothing is written."""
    client.set("ai:queue:pending", "x")
    before = dump(client)
    with pytest.raises(WrongType, match="ai:queue:pending"):
        staged.claim("w")
    assert dump(client) == before


@pytest.mark.parametrize("key", [legacy("j"), scoped("j")])
def test_a_wrong_type_under_a_job_key_is_no_job(staged: JobStore, client: redis.Redis, key: bytes) -> None:
    """Reads, updates and lists go on over a key of another type."""
    client.lpush(key, "x")
    client.zadd("ai:index:acme", {"j": 1})
    before = dump(client)
    assert staged.get_job("j", "acme") is None
    with pytest.raises(LookupError):
        staged.update_status("j", "running", "acme")
    assert dump(client) == before
    assert staged.list_jobs("acme").items == ()
