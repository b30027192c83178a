"""How one job can stand before a run begins, and in which stages it is worth a try."""

from collections.abc import Callable
from dataclasses import dataclass

import redis

from relay_jobs import Stage
from tests.store.records import fields, legacy, put_legacy, put_scoped, scoped

FAR = 4_102_444_800_000  # the year 2100, in milliseconds: far enough that only a test lets it come
LATER = FAR + 1

_FULL = tuple(Stage)
_LADDER = _FULL[:4]


@dataclass(frozen=True)
class State:
    """How a job stands; ``stages`` are those in which it is tried."""

    name: str
    put: Callable[[redis.Redis], None]
    stages: tuple[Stage, ...]


def index(client: redis.Redis, workspace: str = "acme", job_id: str = "j") -> None:
    """As an enqueue by the library leaves it."""
    client.zadd(f"ai:index:{workspace}", {job_id: 1767323045000006})


def _absent(_: redis.Redis) -> None:
    pass


def _old(client: redis.Redis) -> None:
    put_legacy(client, "j", note=b"caf\xe9")
    client.rpush("ai:queue:pending", "j")


def _old_with_ttl(client: redis.Redis) -> None:
    _old(client)
    client.pexpireat(legacy("j"), FAR)


def _both(client: redis.Redis) -> None:
    _old(client)
    client.copy(legacy("j"), scoped("j"))
    index(client)


def _both_with_ttl(client: redis.Redis) -> None:
    _old_with_ttl(client)
    client.copy(legacy("j"), scoped("j"))
    index(client)


def _scoped(client: redis.Redis) -> None:
    put_scoped(client, "j")
    client.rpush("ai:queue:pending", "\x1facme\x1fj")
    index(client)


def _partial(client: redis.Redis) -> None:
    _old_with_ttl(client)
    client.hset(scoped("j"), mapping={"status": "running", "started_at": "x"})


def _different(client: redis.Redis) -> None:
    _both_with_ttl(client)
    client.hset(scoped("j"), mapping={"params": '{"to": "y"}', "more": "1"})
    client.persist(scoped("j"))


def _quarantined(client: redis.Redis) -> None:
    client.hset(legacy("j"), mapping={**fields("j"), "workspace_id": "no such/workspace"})
    client.rpush("ai:queue:pending", "j")


def _foreign(client: redis.Redis) -> None:
    put_legacy(client, "j", "zeta")
    put_scoped(client, "j", "zeta")
    client.rpush("ai:queue:pending", "j")
    index(client, "zeta")


def _wrong_type(client: redis.Redis) -> None:
    _old(client)
    client.set(scoped("j"), '{"third": "generation"}')


STATES = (
    State("absent", _absent, _FULL),
    State("legacy", _old, _FULL[:1]),
    State("legacy_ttl", _old_with_ttl, _LADDER[:3]),
    State("both", _both, (Stage.NEW_FIRST,)),
    State("both_ttl", _both_with_ttl, _FULL),
    State("workspace", _scoped, _FULL[1:]),
    State("partial", _partial, _LADDER[1:3]),
    State("different", _different, _FULL[1:]),
    State("quarantined", _quarantined, _LADDER[:2]),
    State("foreign", _foreign, _LADDER[:3]),
    State("wrong_type", _wrong_type, (Stage.DUAL_WRITE,)),
)
BY_NAME = {state.name: state for state in STATES}
