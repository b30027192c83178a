"""Reading from a replica is fine; whatever writes is refused there, and says why."""

import json
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from relay_jobs import Settings, Stage
from relay_jobs.cli import app
from relay_jobs.errors import Refused
from relay_jobs.migration import Migration
from tests.servers import Process, Running
from tests.store.records import complete_index, dump, enqueue, new_store, put_both, put_legacy, set_stage
from tests.support.pair import Pair

READING = (
    ("backfill", "--dry-run"),
    ("preflight",),
    ("status",),
    ("stage", "show"),
    ("quarantine", "list"),
    ("metrics",),
)
WRITING = (
    ("backfill", "--execute"),
    ("verify",),
    ("verify", "--repair"),
    ("stage", "set", "legacy"),
    ("stage", "rollback", "--all"),
    ("quarantine", "ack", "--reason", "r"),
    ("pause",),
    ("resume",),
)


@pytest.fixture
def replica(pair: Pair) -> Process:
    """In step with a primary in ``new_first`` that holds a job, and the entry of one that has expired."""
    client = pair.primary.client()
    set_stage(client, Stage.NEW_FIRST)
    complete_index(client)
    enqueue(new_store(client), job_id="j")
    client.zadd("ai:index:acme", {"expired": 1})
    pair.follow()
    return pair.replica


def run(server: Process, *command: str) -> Any:
    url = f"redis://127.0.0.1:{server.port}"
    return CliRunner().invoke(app, [*command, "--redis-url", url, "--json"], catch_exceptions=False)


def test_a_reader_of_a_replica_reads(replica: Process) -> None:
    """Jobs and listings, also where it cannot tidy the index up."""
    store = new_store(replica.client())
    assert store.get_job("j", "acme") is not None
    assert [job.job_id for job in store.list_jobs("acme").items] == ["j"]


def test_a_write_to_a_replica_is_refused_by_the_server(replica: Process) -> None:
    """It is told apart from a connection that is lost: nobody waits."""
    store = new_store(replica.client())
    for write in (lambda: enqueue(store), lambda: store.delete_job("j", "acme"), lambda: store.claim("w")):
        with pytest.raises(redis.ReadOnlyError):
            write()


def test_commands_that_read_run_on_a_replica(replica: Process) -> None:
    """Preflight says what it is."""
    for command in READING:
        assert run(replica, *command).exit_code == 0, command
    assert "is a replica, which takes no writes" in json.loads(run(replica, "preflight").stdout)["warnings"][0]


def test_commands_that_write_are_refused_on_a_replica(replica: Process) -> None:
    """One line, and nothing is written anywhere."""
    before = dump(replica.client())
    for command in WRITING:
        ran = run(replica, *command)
        assert ran.exit_code == 1, (command, ran.output)
        said = json.loads(ran.stdout)["message"]
        assert "replica" in said, command
        # A walk would be for nothing: it is refused before it begins.
        assert "name the primary" in said or command[0] in {"quarantine", "pause", "resume"}, command
    assert dump(replica.client()) == before


def test_a_run_that_writes_is_refused_by_its_preflight(replica: Process) -> None:
    """An Airflow run ends before its first step."""
    with pytest.raises(Refused, match="is a replica, which takes no writes: name the primary"):
        Migration(replica.client(), Settings()).preflight(mode="full")


POLICIES = ("allkeys-lru", "allkeys-random", "volatile-ttl")


@pytest.mark.parametrize("policy", POLICIES)
def test_where_the_server_evicts_nothing_is_copied(running: Running, name: str, policy: str) -> None:
    """Second copies would fill the memory, and fuller memory would cost jobs: without a word, one copy at a time."""
    client = running.own(name, maxmemory="100mb", maxmemory_policy=policy).client()
    set_stage(client, Stage.NEW_FIRST)
    put_legacy(client, "j")
    migration = Migration(client, Settings(), who="ada")
    for step in (
        lambda: migration.open_pass(run="r", step="s", rps=None),
        lambda: migration.verify(repair=True, run="r"),
        lambda: migration.preflight(mode="full"),
    ):
        with pytest.raises(Refused, match=f"maxmemory-policy is {policy}.*CONFIG SET maxmemory-policy noeviction"):
            step()
    assert policy in migration.preflight(mode="dry_run").warnings[0]
    assert migration.rollback()
    client.config_set("maxmemory-policy", "noeviction")
    assert migration.open_pass(run="r", step="s", rps=None)


def test_a_policy_without_a_limit_evicts_nothing(running: Running, name: str) -> None:
    """And a limit without a policy neither."""
    client = running.own(name, maxmemory_policy="allkeys-lru").client()
    set_stage(client, Stage.NEW_FIRST)
    put_both(client, "j")
    migration = Migration(client, Settings())
    migration.release(migration.open_pass(run="r", step="s", rps=None).run)
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "100mb")
    assert migration.open_pass(run="r", step="s", rps=None)


def test_the_job_store_runs_where_the_server_evicts_and_warns(
    running: Running, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It did so before; whoever reads the log learns what that means."""
    client = running.own(name, maxmemory="100mb", maxmemory_policy="volatile-lru").client()
    set_stage(client, Stage.LEGACY)
    enqueue(new_store(client))
    assert "maxmemory-policy is volatile-lru" in caplog.text
