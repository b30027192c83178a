"""No job data in errors, logs and metrics: whatever fails, messages hold ids and reasons only."""

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from redis.exceptions import RedisError

from relay_jobs import JobStore, RelayJobsError, Settings, Stage
from relay_jobs.errors import UnsupportedServer
from relay_jobs.metrics import StoreMetrics
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import SECRET, complete_index, dump, enqueue, fields, legacy, new_store, scoped, set_stage

JOB: dict[str, Any] = {
    "action_provider": SECRET,
    "action_name": SECRET,
    "params": {SECRET: SECRET},
    "actor_id": SECRET,
}
OLD = {"params": SECRET, "actor_id": SECRET, "result": SECRET, "error": SECRET, "note": SECRET}


def calls(store: JobStore) -> dict[str, Callable[[], object]]:
    """Every call, each with a secret in whatever is job data."""
    return {
        "enqueue": lambda: store.enqueue("acme", **JOB, client_request_id="r"),
        "get": lambda: store.get_job("j", "acme"),
        "list": lambda: store.list_jobs("acme"),
        "complete": lambda: store.update_status("j", "completed", "acme", result={SECRET: SECRET}),
        "fail": lambda: store.update_status("j", "failed", "acme", error=SECRET),
        "run": lambda: store.update_status("k", "running", "acme"),
        "claim": lambda: store.claim("w"),
        "heartbeat": lambda: store.heartbeat("j", "w"),
        "delete": lambda: store.delete_job("j", "acme"),
    }


def told(error: BaseException) -> str:
    """All that a log or a page could show of an error, with its causes and attributes."""
    text = "".join(traceback.format_exception(error))
    while error is not None:
        text += f"{error!r} {error.args!r} {vars(error)!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    return text


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What was said of all errors; the test fails if the secret is in it, or in a log of any level."""
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        yield said
    assert SECRET not in "".join(said)
    assert SECRET not in caplog.text
    assert SECRET not in repr([record.args for record in caplog.records])


def fail_all(store: JobStore, heard: list[str]) -> set[str]:
    """Names of the calls that failed."""
    failed = set()
    for name, call in calls(store).items():
        try:
            call()
        except (RelayJobsError, RedisError) as error:
            heard.append(told(error))
            failed.add(name)
    return failed


def prepare(client: redis.Redis, stage: Stage) -> JobStore:
    set_stage(client, stage)
    for job_id in ("j", "k"):
        client.hset(legacy(job_id), mapping={**fields(job_id), **OLD})
        client.hset(scoped(job_id), mapping={**fields(job_id), **OLD})
    client.rpush("ai:queue:pending", "k")
    return new_store(client)


@pytest.mark.parametrize("key", ["ai:queue:pending", "ai:index:acme", "ai:idempotency:acme:r", "ai:migration:claims"])
def test_wrong_types(client: redis.Redis, stage: Stage, heard: list[str], key: str) -> None:
    """A key of a wrong type is named, with nothing of the job beside it."""
    store = prepare(client, stage)
    client.delete(key)
    client.hset(key, SECRET, SECRET)
    assert fail_all(store, heard)


def test_conflicts(staged: JobStore, heard: list[str]) -> None:
    """Conflicts, illegal transitions and taken ids say which id, not what."""
    staged.enqueue("acme", **JOB, client_request_id="r", job_id="j")
    for call in (
        lambda: staged.enqueue("acme", **JOB | {"params": SECRET * 2}, client_request_id="r"),
        lambda: staged.enqueue("acme", **JOB, job_id="j"),
        lambda: staged.update_status("j", "completed", "acme", result=SECRET),
        lambda: staged.update_status("ghost", "failed", "acme", error=SECRET),
        lambda: staged.update_status("j", "running", "acme", result=SECRET),
        lambda: staged.update_status("j", "completed", "acme", error=SECRET),
    ):
        with pytest.raises(RelayJobsError) as refused:
            call()
        heard.append(told(refused.value))


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {SECRET: {1}}},
        {"params": [SECRET, float("nan")]},
        {"params": {SECRET: 1, 2: 3}},
        {"actor_id": SECRET.encode()},
        {"actor_id": f"{SECRET}\ud800"},
        {"action_name": [SECRET]},
    ],
    ids=repr,
)
def test_payloads_that_cannot_be_stored(client: redis.Redis, heard: list[str], changes: dict[str, Any]) -> None:
    """A payload that is refused is not quoted, nor carried by the error that the refusal came from."""
    store = new_store(client)
    with pytest.raises(RelayJobsError) as refused:
        store.enqueue("acme", **JOB | changes)
    heard.append(told(refused.value))


def test_a_denied_user(real_server: Server, stage: Stage, heard: list[str]) -> None:
    """What the server's access control says passes through, and nothing is written by the denied calls."""
    client = real_server.client()
    prepare(client, stage)
    client.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-@write"])
    try:
        store = new_store(real_server.client(username="reader", password="secret"))
        before = dump(client)
        assert {"enqueue", "run", "claim", "delete"} <= fail_all(store, heard)
        assert dump(client) == before
    finally:
        client.acl_deluser("reader")


def test_a_user_without_some_keys(real_server: Server, stage: Stage, heard: list[str]) -> None:
    """A user that may not touch the new keys is refused before anything is written."""
    client = real_server.client()
    prepare(client, stage)
    client.acl_setuser("old", enabled=True, passwords=["+secret"], keys=["ai:jobs:*", "ai:queue:*"], commands=["+@all"])
    try:
        before = dump(client)
        with pytest.raises(UnsupportedServer) as refused:
            new_store(real_server.client(username="old", password="secret"))
        heard.append(told(refused.value))
        assert dump(client) == before
    finally:
        client.acl_deluser("old")


def test_a_full_server(real_server: Server, stage: Stage, heard: list[str]) -> None:
    """Out of memory, every write is refused whole, and a job can still be deleted."""
    client = real_server.client()
    store = prepare(client, stage)
    complete_index(client)
    enqueue(store, job_id="warm")
    client.config_set("maxmemory", "1")
    try:
        before = dump(client)
        for name in ("enqueue", "run", "claim"):
            with pytest.raises(RedisError) as refused:
                calls(store)[name]()
            heard.append(told(refused.value))
        assert dump(client) == before
        assert store.get_job("k", "acme") is not None
        assert store.delete_job("k", "acme") is True
    finally:
        client.config_set("maxmemory", "0")


def test_reads_go_on_when_the_server_is_full(real_server: Server, stage: Stage) -> None:
    """Out of memory, a workspace still sees its jobs, listings before a complete index included."""
    client = real_server.client()
    store = prepare(client, stage)
    client.config_set("maxmemory", "1")
    try:
        assert {job.job_id for job in store.list_jobs("acme").items} == {"j", "k"}
    finally:
        client.config_set("maxmemory", "0")


def test_a_dead_line(real_server: Server, heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks again and again shows host and reason, not the command."""
    monkeypatch.setattr("redis.retry.sleep", lambda _: None)
    client = real_server.client()
    prepare(client, Stage.NEW_FIRST)
    with Proxy(real_server.port) as proxy:
        store = JobStore(real_server.client(port=proxy.port), Settings(retry_attempts=1))
        for _ in range(18):
            proxy.refuse()
        assert fail_all(store, heard) == set(calls(store))


def test_a_read_only_replica(running: Any, stage: Stage, heard: list[str]) -> None:
    """A replica refuses writes with its own words, and serves reads."""
    client = running.server("valkey").client()
    store = prepare(client, stage)
    complete_index(client)
    for job_id in ("j", "k"):
        client.zadd("ai:index:acme", {job_id: 1})
    before = dump(client)
    client.replicaof("127.0.0.1", 1)
    try:
        assert {"enqueue", "run", "complete", "claim", "delete"} - fail_all(store, heard) <= {"complete"}
        assert store.get_job("k", "acme") is not None
    finally:
        client.replicaof("NO", "ONE")
    assert dump(client) == before


def test_metrics_hold_no_job_data(client: redis.Redis, stage: Stage) -> None:
    """Labels are workspaces and words of ours, bounded in number; every write and read path is counted."""
    registry = CollectorRegistry()
    set_stage(client, stage)
    store = JobStore(client, Settings(), metrics=StoreMetrics(registry, 2))
    for workspace in ("acme", "beta", "gamma", "delta"):
        store.enqueue(workspace, **JOB, job_id=f"{SECRET}-{workspace}")
        store.get_job(f"{SECRET}-{workspace}", workspace)
    store.get_job("ghost", "acme")
    text = generate_latest(registry).decode()
    assert SECRET not in text
    written = {Stage.LEGACY: "legacy", Stage.SEALED: "workspace"}.get(stage, "both")
    path = "old" if stage in {Stage.LEGACY, Stage.DUAL_WRITE} else "new"
    assert f'ai_jobs_dual_write_total{{result="{written}",workspace_id="acme"}} 1.0' in text
    assert f'ai_jobs_dual_write_total{{result="{written}",workspace_id="_other"}} 2.0' in text
    assert f'relay_job_read_path_total{{path="{path}",workspace_id="beta"}} 1.0' in text
    assert 'relay_job_read_path_total{path="miss",workspace_id="acme"} 1.0' in text
    assert "gamma" not in text


def test_failures_are_counted(client: redis.Redis) -> None:
    """A write that was refused is in the metrics as failed."""
    registry = CollectorRegistry()
    set_stage(client, Stage.NEW_FIRST)
    store = JobStore(client, Settings(), metrics=StoreMetrics(registry, 2))
    client.set("ai:queue:pending", "x")
    with pytest.raises(RelayJobsError):
        enqueue(store)
    assert 'ai_jobs_dual_write_total{result="failed",workspace_id="acme"} 1.0' in generate_latest(registry).decode()
