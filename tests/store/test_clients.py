"""Any redis-py client will do, and any id that the rule allows."""

from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.errors import UnsupportedServer
from tests.servers import Server
from tests.store.records import copy_at, dump, enqueue, fields, legacy, new_store, put_legacy, scoped, set_stage

CLIENTS: list[dict[str, Any]] = [
    {"decode_responses": True},
    {"protocol": 3},
    {"decode_responses": True, "protocol": 3},
    {"encoding": "latin-1", "decode_responses": True},
    {"single_connection_client": True},
    {"client_name": "api"},
]
IDS = [
    "a:b:c",
    ":",
    "with space",
    "glob*?[a-z]",
    "{tag}",
    "é",
    "日本",
    "\udcff\udcfe",
    "'\"\\",
    "%s%d",
    "a" * 256,
    "-",
    "0",
    "acme:j",
    "*",
    "*epoch",
]


@pytest.mark.parametrize("options", CLIENTS, ids=str)
def test_the_whole_life_of_a_job_with_any_client(any_server: Server, stage: Stage, options: dict[str, Any]) -> None:
    """Decoding, protocol and encoding of the client make no difference to the store."""
    set_stage(any_server.client(), stage)
    store = new_store(any_server.client(**options))
    made = store.enqueue("acme", "mail", "sénd", {"ü": 1}, "u1", client_request_id="r", job_id="jé:\udcff")
    assert (made.job_id, made.created) == ("jé:\udcff", True)
    job = store.claim("wé")
    assert job is not None
    assert (job.job_id, job.action_name, job.params) == ("jé:\udcff", "sénd", {"ü": 1})
    store.heartbeat(job.job_id, "wé")
    assert store.update_status(job.job_id, "completed", "acme", result="ß").result == "ß"
    assert [item.job_id for item in store.list_jobs("acme", status="completed").items] == ["jé:\udcff"]
    found = store.get_job(job.job_id, "acme")
    assert found is not None
    assert found.result == "ß"
    assert store.delete_job(job.job_id, "acme") is True
    assert store.list_jobs("acme").items == ()


def test_any_id_lives_through_every_call(staged: JobStore, client: redis.Redis) -> None:
    """Ids with colons, spaces, globs and bytes that are not UTF-8 come back as they were given."""
    for job_id in IDS:
        live(staged, client, job_id)


def live(staged: JobStore, client: redis.Redis, job_id: str) -> None:
    raw = job_id.encode("utf-8", "surrogateescape")
    enqueue(staged, job_id=job_id)
    assert client.exists(legacy(raw)) or client.exists(scoped(raw))
    assert client.zrange("ai:index:acme", 0, -1) == [raw]
    job = staged.claim(job_id)
    assert job is not None
    assert job.job_id == job_id
    staged.heartbeat(job_id, job_id)
    assert staged.update_status(job_id, "completed", "acme").job_id == job_id
    assert [item.job_id for item in staged.list_jobs("acme").items] == [job_id]
    assert staged.delete_job(job_id, "acme") is True
    assert client.keys("ai:job*") == []


def test_values_that_are_not_text_are_shown_and_kept(client: redis.Redis) -> None:
    """Old records with bytes, broken JSON or odd times are read, never refused, and stay as they are."""
    changes = {
        "params": b"\xff\xfe",
        "result": b"{broken",
        "error": b"\xc3\x28",
        "actor_id": b"\x80",
        "status": b"\xffpending",
        "enqueued_at": "0001-01-01T00:00:00+05:00",
        "started_at": "9999-12-31T23:59:59-05:00",
        "finished_at": "yesterday",
    }
    put_legacy(client, "j", **changes)
    for where in (Stage.LEGACY, Stage.DUAL_WRITE, Stage.NEW_FIRST):
        set_stage(client, where)
        store = new_store(client)
        job = store.get_job("j", "acme")
        assert job is not None
        assert (job.status, job.result, job.finished_at) == ("pending", "{broken", None)
        assert [item.job_id for item in store.list_jobs("acme").items] == ["j"]
    store.update_status("j", "running", "acme")
    assert copy_at(client, scoped("j")) == copy_at(client, legacy("j"))
    assert copy_at(client, scoped("j"))[b"params"] == b"\xff\xfe"


def test_a_minimal_record_is_a_job(client: redis.Redis) -> None:
    """A legacy hash with nothing but its workspace is valid."""
    client.hset(legacy("j"), mapping={"workspace_id": "acme"})
    set_stage(client, Stage.NEW_FIRST)
    store = new_store(client)
    job = store.get_job("j", "acme")
    assert job is not None
    assert (job.status, job.params, job.enqueued_at, job.error) == ("pending", None, None, None)
    store.update_status("j", "running", "acme")
    assert copy_at(client, scoped("j")) == copy_at(client, legacy("j"))


def test_the_first_call_after_a_restart_sends_the_script(real_client: redis.Redis) -> None:
    """A server that has forgotten the scripts is told again."""
    set_stage(real_client, Stage.NEW_FIRST)
    store = new_store(real_client)
    enqueue(store, job_id="j")
    real_client.script_flush()
    assert store.get_job("j", "acme") is not None


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize(
    ("given", "expected"), [(None, "relay-jobs"), ("api", "relay-jobs:api"), ("relay-jobs:api", "relay-jobs:api")]
)
def test_connections_carry_the_name_of_the_library(
    real_server: Server, single: bool, used_before: bool, given: str | None, expected: str
) -> None:
    """An operator can tell from the server's list who uses the library, and no connection of theirs stays without."""
    set_stage(real_server.client(), Stage.LEGACY)
    client = real_server.client(client_name=given, single_connection_client=single)
    if used_before:
        client.ping()
    new_store(client)
    new_store(client)
    assert client.client_getname() in {expected, expected.encode()}


def test_a_sentinel_client_will_do(real_server: Server) -> None:
    """A client of a Sentinel-managed pool is a client."""
    set_stage(real_server.client(), Stage.NEW_FIRST)
    sentinel = Sentinel([], socket_timeout=5)
    sentinel.discover_master = lambda service_name: ("127.0.0.1", real_server.port)  # type: ignore[method-assign]
    client = sentinel.master_for("jobs")
    try:
        store = new_store(client)
        enqueue(store, job_id="j")
        assert store.get_job("j", "acme") is not None
    finally:
        client.close()


def test_another_database_is_another_store(real_server: Server) -> None:
    """Jobs of one database are not seen from another one."""
    set_stage(real_server.client(), Stage.NEW_FIRST)
    set_stage(real_server.client(db=3), Stage.NEW_FIRST)
    enqueue(new_store(real_server.client(db=3)), job_id="j")
    assert new_store(real_server.client()).get_job("j", "acme") is None
    assert new_store(real_server.client(db=3)).get_job("j", "acme") is not None


def test_a_cluster_is_refused_at_start() -> None:
    """A cluster client is refused with the reason, before any command."""
    with pytest.raises(UnsupportedServer, match="Redis Cluster: the two keys of a job hash to different slots"):
        JobStore(redis.RedisCluster.__new__(redis.RedisCluster), Settings())  # type: ignore[arg-type]


def test_a_start_writes_nothing(client: redis.Redis) -> None:
    """Opening a store leaves the database as it was, whatever is recorded."""
    client.hset(legacy("j"), mapping=fields("j"))
    before = dump(client)
    new_store(client)
    assert dump(client) == before
