"""The faults, planted beside jobs that are as they should be: the job ``j`` of ``acme`` is the one that is harmed."""

import time
from collections.abc import Callable, Sequence

import redis

from tests.faults.fault import Fault, Plant
from tests.store.records import copy_at, fields, legacy, scoped

SOON = (int(time.time()) + 86_400) * 1000
SCORE = 1767323045000006  # of the jobs' enqueued_at
INDEX = "ai:index:acme"
OLD, NEW = legacy("j"), scoped("j")
# Not UTF-8: it has to be carried and compared byte for byte.
PARAMS = b'{"to": "\xff\xfe"}'
FIELDS = sorted(set(fields("j")) - {"job_id", "workspace_id", "result", "started_at", "finished_at"})


def lay(client: redis.Redis) -> None:
    """Equal, indexed jobs: ``j``, one that expires, and one of another workspace; one legacy record is quarantined."""
    with client.pipeline(transaction=False) as pipe:
        for job_id, workspace in (("j", "acme"), ("expiring", "acme"), ("other", "beta")):
            for key in (legacy(job_id), scoped(job_id, workspace)):
                pipe.hset(key, mapping=fields(job_id, workspace, params=PARAMS))
                if job_id == "expiring":
                    pipe.pexpireat(key, SOON)
            pipe.zadd(f"ai:index:{workspace}", {job_id: SCORE})
        pipe.rpush("ai:queue:pending", "j")
        pipe.execute()


def hset(key: bytes, field: str, value: str | bytes) -> Plant:
    """A field of one copy is set."""
    return lambda client: client.hset(key, field, value)


def on_either(plant: Callable[[bytes], Plant]) -> dict[str, Plant]:
    """The same done to either copy."""
    return {"of the legacy copy": plant(OLD), "of the workspace copy": plant(NEW)}


def _flip(key: bytes, field: str) -> Plant:
    def plant(client: redis.Redis) -> None:
        value = copy_at(client, key)[field.encode()]
        client.hset(key, field, value[:-1] + bytes([value[-1] ^ 1]))

    return plant


def _rename(key: bytes) -> Plant:
    return lambda client: (client.hdel(key, "actor_id"), client.hset(key, "actor_iD", "u1"))


def _expire(old: int | None, new: int | None) -> Plant:
    def plant(client: redis.Redis) -> None:
        for key, at in ((OLD, old), (NEW, new)):
            if at is not None:
                client.pexpireat(key, at)

    return plant


def _retype(key: bytes, kind: str) -> Plant:
    fill: dict[str, Sequence[str]] = {"string": ("SET", "x"), "list": ("RPUSH", "x"), "zset": ("ZADD", "1", "x")}
    command, *values = fill[kind]
    return lambda client: (client.delete(key), client.execute_command(command, key, *values))


def _finish(key: bytes) -> Plant:
    return lambda client: client.hset(key, mapping={"status": "completed", "result": "{}"})


def _foreign(client: redis.Redis) -> None:
    client.hset(OLD, "workspace_id", "beta")
    client.hset(scoped("j", "beta"), mapping=fields("j", "beta", params=PARAMS))
    client.zadd("ai:index:beta", {"j": SCORE})


def _second_owner(client: redis.Redis) -> None:
    client.hset(scoped("j", "beta"), mapping=fields("j", "beta", params=PARAMS))


def _ghost(client: redis.Redis) -> None:
    client.hset(scoped("ghost"), mapping={"status": "completed", "result": "{}"})


FAULTS = (
    Fault("no workspace copy", {"": lambda client: client.delete(NEW)}),
    Fault("no legacy copy", {"": lambda client: client.delete(OLD)}),
    Fault(
        "a byte changed at equal length",
        {
            f"{field} {name}": plant
            for field in FIELDS
            for name, plant in on_either(lambda k, f=field: _flip(k, f)).items()
        },
    ),
    Fault("the name of a field changed", on_either(_rename)),
    Fault("a field more", on_either(lambda key: hset(key, "more", ""))),
    Fault("a field less", on_either(lambda key: lambda client: client.hdel(key, "actor_id"))),
    Fault(
        "two values swapped",
        on_either(
            lambda key: lambda client: client.hset(key, mapping={"action_provider": "send", "action_name": "mail"})
        ),
    ),
    Fault(
        "another expiry",
        {
            "a millisecond later": _expire(SOON, SOON + 1),
            "a millisecond earlier": _expire(SOON, SOON - 1),
            "only of the workspace copy": _expire(None, SOON),
            "only of the legacy copy": _expire(SOON, None),
        },
    ),
    Fault("an older status of the workspace copy", {"": _finish(OLD)}),
    Fault("an older status of the legacy copy", {"": _finish(NEW)}),
    Fault(
        "an expiry of one field",
        on_either(lambda key: lambda client: client.execute_command("HPEXPIREAT", key, SOON, "FIELDS", 1, "actor_id")),
        servers=("valkey",),
        note="`COPY` carries it, so that both copies lose the field at the same time; Redis 7.0 has no command to read "
        "it, and the job store sets none",
    ),
    Fault(
        "the same wrong byte in both copies",
        {"": lambda client: (_flip(OLD, "params")(client), _flip(NEW, "params")(client))},
        note="two equal copies are all that can be compared: whoever wrote both wrote it so",
    ),
    Fault("a workspace copy that names another workspace", {"": hset(NEW, "workspace_id", "beta")}),
    Fault("a workspace copy that names no workspace", {"": lambda client: client.hdel(NEW, "workspace_id")}),
    Fault("a workspace copy that names another job", {"": hset(NEW, "job_id", "x")}),
    Fault(
        "a partial hash as workspace copy",
        {"": lambda client: (client.delete(NEW), client.hset(NEW, "status", "completed"))},
    ),
    Fault("a workspace copy of another type", {kind: _retype(NEW, kind) for kind in ("string", "list", "zset")}),
    Fault("a legacy copy that names another workspace", {"": _foreign}),
    Fault(
        "a legacy copy that names no workspace",
        {"absent": lambda client: client.hdel(OLD, "workspace_id"), "empty": hset(OLD, "workspace_id", "")},
    ),
    Fault("a legacy copy that names a malformed workspace", {"": hset(OLD, "workspace_id", "a:b")}),
    Fault("a legacy copy that names another job", {"": hset(OLD, "job_id", "x")}),
    Fault("a legacy copy of another type", {kind: _retype(OLD, kind) for kind in ("string", "list", "zset")}),
    Fault(
        "a legacy record without a workspace", {"": lambda client: client.hset(legacy("stray"), "status", "pending")}
    ),
    Fault("a copy under a second workspace", {"": _second_owner}),
    Fault("a partial hash without a job", {"": _ghost}),
    Fault(
        "a list or set under a workspace's name without a job",
        {kind: _retype(scoped("ghost"), kind) for kind in ("list", "zset")},
    ),
    Fault(
        "a record of the third generation",
        {
            "": lambda client: client.set("ai:job:old", '{"id": "old"}'),
            "with a colon": lambda client: client.set("ai:job:old:1", '{"id": "old:1"}'),
        },
    ),
    Fault("no index entry", {"": lambda client: client.zrem(INDEX, "j")}),
    Fault("an index entry with a wrong score", {"": lambda client: client.zadd(INDEX, {"j": SCORE + 1})}),
    Fault(
        "an index entry without a job",
        {"": lambda client: client.zadd(INDEX, {"ghost": SCORE})},
        note="every job that expires leaves one: a listing that meets it removes it",
    ),
    Fault(
        "an index entry of another workspace's job",
        {"": lambda client: client.zadd(INDEX, {"other": SCORE})},
        note="a listing passes over it",
    ),
    Fault("an index of another type", {"": _retype(INDEX.encode(), "string")}),
    Fault(
        "a queue entry without a job",
        {"": lambda client: client.rpush("ai:queue:pending", "ghost")},
        note="a worker that meets it removes it",
    ),
    Fault(
        "no queue entry",
        {"": lambda client: client.lrem("ai:queue:pending", 1, "j")},
        note="the job stays pending until somebody queues its id: an enqueue writes job and entry in one step, but a "
        "worker without the library may take an entry and die",
    ),
)
