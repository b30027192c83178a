"""A server on which the guarantees would not hold is refused at the start, by every door, and nothing is written."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.errors import UnsupportedServer
from relay_jobs.migration import Migration
from tests.servers import Process, Running
from tests.store.records import new_store, put_legacy, set_stage

Refusal = Callable[..., None]

CLUSTER = "this is a Redis Cluster: the two keys of a job hash to different slots"


@pytest.fixture
def cluster(running: Running, name: str) -> Process:
    """One node that has all slots."""
    server = running.own(name, cluster_enabled="yes")
    server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    return server


@pytest.fixture
def server(running: Running, name: str) -> Process:
    """A server with a legacy job and a recorded stage."""
    server = running.own(name)
    put_legacy(server.client(), "j")
    set_stage(server.client(), Stage.LEGACY)
    return server


def login(server: Process, *rules: str) -> str:
    """A user with these rules beside everything, as it stands in a URL."""
    server.client().execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all", *rules)
    return "app:secret@"


@pytest.mark.redis
def test_redis_6_2_is_refused(running: Running, refused_by_every_door: Refusal) -> None:
    """It has COPY, but neither PEXPIRETIME nor scripts that may only read."""
    server = running.own("redis6")
    put_legacy(server.client(), "j")
    refused_by_every_door(server, "server version 6.2.5 is too old: Redis 7.0 and up and Valkey are supported")


@pytest.mark.redis
def test_redis_6_2_that_hides_its_version_is_refused(running: Running, refused_by_every_door: Refusal) -> None:
    """HELLO says it, and is denied to nobody."""
    server = running.own("redis6")
    put_legacy(server.client(), "j")
    refused_by_every_door(server, "server version 6.2.5 is too old", login(server, "-info"))


def test_a_cluster_is_refused_whatever_the_client(cluster: Process, refused_by_every_door: Refusal) -> None:
    """A plain client of one node too: that it owns all slots today says nothing of tomorrow."""
    refused_by_every_door(cluster, CLUSTER)
    spread = redis.RedisCluster(host="127.0.0.1", port=cluster.port)
    try:
        for door in (lambda: JobStore(spread, Settings()), lambda: Migration(spread, Settings())):  # type: ignore[arg-type]
            with pytest.raises(UnsupportedServer, match=CLUSTER):
                door()
    finally:
        spread.close()


def test_a_cluster_that_hides_what_it_is_is_refused(cluster: Process, refused_by_every_door: Refusal) -> None:
    """INFO is dangerous to many administrators; HELLO says it all the same."""
    refused_by_every_door(cluster, CLUSTER, login(cluster, "-info"))


@pytest.mark.parametrize("command", ["COPY", "HSET", "PEXPIREAT", "ZREVRANGE"])
def test_a_server_without_a_command_is_refused(
    running: Running, name: str, refused_by_every_door: Refusal, command: str
) -> None:
    """Renamed away in its configuration."""
    server = running.own(name, rename_command=f"{command} nobody-knows-{command}")
    if command != "HSET":
        put_legacy(server.client(), "j")
    refused_by_every_door(server, f"the server lacks {command}")


@pytest.mark.parametrize("script", ["EVAL", "EVALSHA"])
def test_a_server_without_scripts_is_refused(
    running: Running, name: str, refused_by_every_door: Refusal, script: str
) -> None:
    """Every step is one."""
    server = running.own(name, "--rename-command", f"{script}_RO", "", rename_command=f"{script} gone")
    put_legacy(server.client(), "j")
    refused_by_every_door(server, "every step is a Lua script, and this server or user has none")


DENIED: dict[str, tuple[tuple[str, ...], str]] = {
    "scripts": (("-@scripting",), "every step is a Lua script, and this server or user has none"),
    "EVAL": (("-eval", "-eval_ro"), "has none|needs: EVAL"),
    "one write": (("-copy",), "would leave half a job: COPY ai:jobs:probe, COPY ai:job:probe:probe"),
    "a read": (("-hgetall",), "this user may not run what every reader needs: HGETALL"),
    "the workspace's keys": (("resetkeys", "~ai:jobs:*", "~ai:queue:*", "~ai:migration:*"), "ai:job:probe"),
}


@pytest.mark.parametrize("what", DENIED)
def test_a_user_without_a_right_is_refused(server: Process, refused_by_every_door: Refusal, what: str) -> None:
    """The reason names what is missing."""
    rules, words = DENIED[what]
    said = login(server, *rules)
    if "|" not in words:
        refused_by_every_door(server, words, said)
        return
    with pytest.raises(UnsupportedServer, match=words):
        new_store(server.client(username="app", password="secret"))
    with pytest.raises(UnsupportedServer, match=words):
        Migration(server.client(username="app", password="secret"), Settings())


ENGINES_ONLY = {
    "info": "does not answer INFO",
    "pexpiretime": "PEXPIRETIME",
    "evalsha_ro": "has none",
    "hincrby": "HINCRBY",
}


@pytest.mark.parametrize("command", ENGINES_ONLY)
def test_what_only_the_engines_need_stops_only_them(
    server: Process, refused_by_the_command_line: Refusal, refused_by_airflow: Refusal, command: str
) -> None:
    """An application's user is often denied what is dangerous, INFO among it: the job store works without."""
    said = login(server, f"-{command}")
    store = new_store(server.client(username="app", password="secret"))
    assert store.get_job("j", "acme") is not None
    refused_by_the_command_line(server.port, ENGINES_ONLY[command], said)
    refused_by_airflow(server.port, ENGINES_ONLY[command], said)


def test_a_server_that_says_nothing_of_itself_is_refused(running: Running, name: str) -> None:
    """Neither by INFO nor by HELLO."""
    server = running.own(name, "--rename-command", "HELLO", "", rename_command="INFO gone")
    plain: dict[str, Any] = {"protocol": 2}
    with pytest.raises(UnsupportedServer, match="neither by INFO nor by HELLO"):
        new_store(server.client(**plain))


def test_an_engine_user_who_may_only_read_can_look(server: Process) -> None:
    """A dry run and a preflight need no right to write."""
    login(server, "-@write")
    migration = Migration(server.client(username="app", password="secret"), Settings())
    assert migration.preflight(mode="dry_run").survey.legacy == {"acme": 1}
