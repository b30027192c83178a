"""The job store and the migration behind Sentinel, over a failover that a real sentinel makes."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from relay_jobs import Settings, Stage
from relay_jobs.migration import Migration
from tests.servers import Process, Running, follow, until
from tests.store.records import enqueue, new_store, set_stage


@dataclass
class Watched:
    """A primary and a replica that a sentinel watches as ``jobs``."""

    primary: Process
    replica: Process
    watcher: Process
    sentinel: Sentinel

    def fail_over(self) -> None:
        """The replica becomes the primary, and the primary a replica."""
        watcher = self.watcher.client()
        follow(self.primary.client(), self.replica.client())
        until(lambda: _agrees(watcher), "the sentinel does not fail over")
        new = ("127.0.0.1", self.replica.port)
        until(lambda: self._primary() == new, "the sentinel names the old primary")
        # Only now and then a sentinel makes a replica of the old one, which is not what is tested here.
        self.primary.client().execute_command("REPLICAOF", *new)

    def _primary(self) -> tuple[str, int] | None:
        """What a client connects to: the sentinel's list names the old one for longer than its other answers do."""
        try:
            return self.sentinel.discover_master("jobs")
        except MasterNotFoundError:
            return None


def _agrees(watcher: redis.Redis) -> bool:
    try:
        return bool(watcher.execute_command("SENTINEL", "FAILOVER", "jobs"))
    except redis.ResponseError as error:
        # It has to get to know the replica first.
        if "NOGOODSLAVE" in str(error):
            return False
        raise


@pytest.fixture
def watched(running: Running, name: str) -> Iterator[Watched]:
    """All three, and redis-py's view of them."""
    primary = running.own(name)
    set_stage(primary.client(), Stage.NEW_FIRST)
    replica = running.replica_of(primary, name)
    watcher = running.sentinel_of(primary, name)
    sentinel = Sentinel([("127.0.0.1", watcher.port)], socket_timeout=5)
    yield Watched(primary, replica, watcher, sentinel)
    for client in sentinel.sentinels:
        client.close()
    for process in (watcher, replica, primary):
        process.end()


def test_work_goes_on_after_a_failover(watched: Watched) -> None:
    """A call that reaches the demoted server is sent again to the promoted one; nothing is done twice."""
    clients = [watched.sentinel.master_for("jobs", decode_responses=decode) for decode in (False, True)]
    stores = [new_store(client) for client in clients]
    relays = [Migration(client, Settings()) for client in clients]
    assert {relay.server.port for relay in relays} == {watched.primary.port}
    enqueue(stores[0], job_id="j")
    assert stores[1].claim("w") is not None
    watched.fail_over()
    for store in stores:
        assert enqueue(store)
    stores[1].heartbeat("j", "w")
    assert stores[1].update_status("j", "completed", "acme").status == "completed"
    promoted = watched.replica.client()
    assert promoted.llen("ai:queue:pending") == 2
    for relay in relays:
        assert relay.ladder.recorded().of("*") is Stage.NEW_FIRST
        books = [report.counts for report in relay.dry_run(rps=None)]
        assert sum(counts.scanned for counts in books) == 3
    for client in (*clients, *(relay.client for relay in relays)):
        client.close()


def test_a_reader_of_sentinels_replica(watched: Watched) -> None:
    """Sentinel's client for replicas is a client too."""
    enqueue(new_store(watched.sentinel.master_for("jobs")), job_id="j")
    client = watched.sentinel.slave_for("jobs", decode_responses=True)
    until(lambda: new_store(client).get_job("j", "acme"), "the replica does not get the job")
    client.close()
