"""What a test puts into Redis beside the store, and what it reads there: whole databases, both copies, the stage."""

from typing import Any

import redis
from redis.client import NEVER_DECODE

from relay_jobs import JobStore, Settings, Stage

STAGES = tuple(Stage)
WRITES_LEGACY = STAGES[:4]
WRITES_SCOPED = STAGES[1:]
WRITES_BOTH = STAGES[1:4]
READS_LEGACY = (Stage.LEGACY, Stage.DUAL_WRITE)

SECRET = "canary-7f3a"  # in no message, no log

Fields = dict[bytes, bytes]


def raw(client: redis.Redis, *command: Any) -> Any:
    """A reply as bytes, whatever the client decodes."""
    return client.execute_command(*command, **{NEVER_DECODE: []})


def set_stage(client: redis.Redis, stage: Stage, scope: str = "*") -> None:
    """Record a stage."""
    client.hset("ai:migration:stages", scope, stage.value)


def complete_index(client: redis.Redis, epoch: int = 1) -> None:
    """Record that a pass of this epoch has indexed every job."""
    client.hset("ai:migration:stages", "*epoch", epoch)
    client.hset("ai:migration:indexed", "*", epoch)


def new_store(client: redis.Redis, **settings: Any) -> JobStore:
    """A store that reads no environment."""
    return JobStore(client, Settings(**settings))


def enqueue(store: JobStore, workspace: str = "acme", **changes: Any) -> str:
    """One ordinary job; its id."""
    given = {"action_provider": "mail", "action_name": "send", "params": {"to": "x"}, "actor_id": "u1"}
    return store.enqueue(workspace_id=workspace, **{**given, **changes}).job_id


def legacy(job_id: str | bytes) -> bytes:
    """Key of the legacy copy."""
    return b"ai:jobs:" + (job_id.encode() if isinstance(job_id, str) else job_id)


def scoped(job_id: str | bytes, workspace: str = "acme") -> bytes:
    """Key of the workspace copy."""
    return f"ai:job:{workspace}:".encode() + (job_id.encode() if isinstance(job_id, str) else job_id)


def fields(job_id: str, workspace: str = "acme", **changes: str | bytes) -> dict[str, str | bytes]:
    """The hash of a job as the code before the library wrote it."""
    whole: dict[str, str | bytes] = {
        "job_id": job_id,
        "status": "pending",
        "action_provider": "mail",
        "action_name": "send",
        "params": '{"to": "x"}',
        "workspace_id": workspace,
        "actor_id": "u1",
        "result": "",
        "enqueued_at": "2026-01-02T03:04:05.000006+00:00",
        "started_at": "",
        "finished_at": "",
    }
    return whole | changes


def put_legacy(client: redis.Redis, job_id: str, workspace: str = "acme", **changes: str | bytes) -> None:
    """A job as the code before the library left it: legacy copy only, in no index."""
    client.hset(legacy(job_id), mapping=fields(job_id, workspace, **changes))


def put_scoped(client: redis.Redis, job_id: str, workspace: str = "acme", **changes: str | bytes) -> None:
    """A workspace copy, in no index."""
    client.hset(scoped(job_id, workspace), mapping=fields(job_id, workspace, **changes))


def put_both(client: redis.Redis, job_id: str, workspace: str = "acme", **changes: str | bytes) -> None:
    """A job with two equal copies, in no index."""
    put_legacy(client, job_id, workspace, **changes)
    put_scoped(client, job_id, workspace, **changes)


def put_where_read(client: redis.Redis, stage: Stage, job_id: str, workspace: str = "acme", **changes: str) -> None:
    """A job whose only copy is the one that the stage reads first."""
    put = put_legacy if stage in READS_LEGACY else put_scoped
    put(client, job_id, workspace, **changes)


def copy_at(client: redis.Redis, key: bytes) -> Fields:
    """One hash, as bytes."""
    reply = raw(client, "HGETALL", key)
    return dict(reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def is_whole(copy: Fields, workspace: str = "acme") -> bool:
    """Whether a copy has all that an enqueue wrote."""
    return copy.get(b"workspace_id") == workspace.encode() and {b"job_id", b"params", b"enqueued_at"} <= set(copy)


def dump(client: redis.Redis) -> dict[bytes, tuple[bytes, Any, int]]:
    """Everything in the database: type, value and absolute expiry of each key."""
    read: dict[bytes, tuple[Any, ...]] = {
        b"string": ("GET",),
        b"list": ("LRANGE", 0, -1),
        b"set": ("SMEMBERS",),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    }
    found = {}
    for key in raw(client, "KEYS", "*"):
        kind = raw(client, "TYPE", key)
        name, *rest = read.get(kind, ("HGETALL",))
        value = copy_at(client, key) if kind == b"hash" else raw(client, name, key, *rest)
        found[key] = (kind, value, int(client.pexpiretime(key)))
    return found
