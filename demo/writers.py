"""Those who change jobs: API servers, workers, and old processes that know the legacy schema only."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import redis

from demo.duty import Duty, as_seen, now_ms
from demo.ledger import DELETED, PRESENT, Known, Ledger, View
from demo.seed import QUEUE
from demo.verdicts import DOUBLED, FOREIGN, LOST, REVIVED, Fault, judge, may_be_absent
from demo.world import LATE_WORKSPACE, World
from relay_jobs import Enqueued, Job, JobStore, RelayJobsError
from relay_jobs.errors import JobNotFound


def a_workspace(world: World) -> str:
    """Return a workspace; large ones more often, but small ones too."""
    names = [name for name, _ in world.workspaces]
    return random.choices(names, [count**0.5 for _, count in world.workspaces])[0]


@dataclass
class ApiServer:
    """Enqueues, repeats requests as impatient clients do, and deletes."""

    world: World
    store: JobStore
    duty: Duty
    ledger: Ledger
    view: View
    _requests: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def run(self) -> None:
        deletes_each = max(1, round(self.world.pace_of("api") / self.world.pace_of("delete")))
        for number in self.duty.ticks():
            self._enqueue(number)
            if number % deletes_each == 0:
                self._delete()
            if number % 7 == 0 and self._requests:
                self._repeat()
        self._pool.shutdown()

    def _enqueue(self, number: int) -> None:
        workspace = a_workspace(self.world)
        request: dict[str, Any] = {
            "workspace_id": workspace,
            "action_provider": "openai",
            "action_name": "chat",
            "params": {"ws": workspace, "n": number, "text": "y" * random.randint(10, 300)},
            "actor_id": "live",
        }
        if number % 20 == 3:
            request["ttl_seconds"] = random.randint(15, 90)
        if number % 31 == 5:
            request["job_id"] = f"live [{number}]:{uuid.uuid4().hex[:8]} *"
        if number % 6 == 0:
            request["client_request_id"] = uuid.uuid4().hex
        with self.duty.call("enqueue"):
            twice = number % 12 == 0
            answers = self._at_once(request) if twice else [self.store.enqueue(**request)]
            self._acknowledged(request, answers)

    def _at_once(self, request: dict[str, Any]) -> list[Enqueued]:
        """Send one request twice at the same time; one of them must be told that it is a repeat."""
        return list(self._pool.map(lambda _: self.store.enqueue(**request), range(2)))

    def _acknowledged(self, request: dict[str, Any], answers: list[Enqueued]) -> None:
        job_id = answers[0].job_id
        ttl = request.get("ttl_seconds")
        self.ledger.enqueued(job_id, request["workspace_id"], ttl and int(now_ms() + ttl * 1000))
        if [a.job_id for a in answers] != [job_id] * len(answers) or sum(a.created for a in answers) != 1:
            self.duty.fault(Fault(DOUBLED, job_id, "one request made two jobs, or none"))
        if "client_request_id" in request:
            self._requests.append((request, job_id))
            self.duty.counters["repeat"] += len(answers) - 1

    def _repeat(self) -> None:
        request, job_id = random.choice(self._requests)
        with self.duty.call("repeat", job_id):
            again = self.store.enqueue(**request)
            if again.created or again.job_id != job_id:
                self.duty.fault(Fault(DOUBLED, job_id, "a repeated request made another job"))

    def _delete(self) -> None:
        self.view.refresh()
        job_id = random.choice(self.view.ids if random.random() < 0.5 else self.view.recent or self.view.ids)
        known = self.view.jobs[job_id]
        if known.private or known.deletion != PRESENT or known.expires_at_ms is not None:
            return
        other = a_workspace(self.world)
        if other != known.workspace:
            with self.duty.call("foreign_try", job_id):
                if self.store.delete_job(job_id, other):
                    self.duty.fault(Fault(FOREIGN, job_id, f"{other} could delete it"))
        self.ledger.deleting(job_id)
        with self.duty.call("delete", job_id):
            if not self.store.delete_job(job_id, known.workspace):
                self.duty.fault(Fault(LOST, job_id, "unknown to its delete"))
            self.ledger.deleted(job_id)


@dataclass
class Worker:
    """Claims and finishes, with the mistakes that workers make: repeats, and updates of somebody else's job."""

    world: World
    store: JobStore
    duty: Duty
    ledger: Ledger
    view: View
    name: str = "demo-worker"

    def run(self) -> None:
        for number in self.duty.ticks():
            self.view.refresh()
            with self.duty.call("claim"):
                job = self.store.claim(self.name)
                if job is not None:
                    self._claimed(job)
                    self._finish(job, number)

    def _claimed(self, job: Job) -> None:
        known = self.view.jobs.get(job.job_id)
        if known is not None:
            if known.deletion == DELETED:
                self.duty.fault(Fault(REVIVED, job.job_id, "deleted, then claimed"))
            self.duty.fault(judge(replace(known, deletion=PRESENT), as_seen(job), job.workspace_id, now_ms() - 1_000))
        self.ledger.moved(job.job_id, job.workspace_id, "running")

    def _finish(self, job: Job, number: int) -> None:
        mark = f"{self.duty.name}-{number}"
        ends: dict[str, Any] = {"status": "completed", "result": {"mark": mark}}
        if number % 9 == 4:
            ends = {"status": "failed", "error": mark}
        if number % 10 == 3:
            self._foreign(job)
        if number % 15 == 6:
            with self.duty.call("heartbeat", job.job_id):
                self.store.heartbeat(job.job_id, self.name)
        workspace = None if number % 8 == 5 else job.workspace_id
        self._update(job, {**ends, "workspace_id": workspace}, mark)
        if number % 13 == 7:
            self._update(job, {**ends, "workspace_id": job.workspace_id}, mark)

    def _update(self, job: Job, ends: dict[str, Any], mark: str) -> None:
        with self.duty.call("update", job.job_id):
            try:
                done = self.store.update_status(job.job_id, **ends)
            except JobNotFound:
                self.view.refresh()
                if not may_be_absent(self.view.jobs.get(job.job_id, Known()), now_ms()):
                    self.duty.fault(Fault(LOST, job.job_id, "unknown to its worker"))
                return
            self.ledger.moved(job.job_id, job.workspace_id, ends["status"], mark)
            expected = Known(job.workspace_id, ends["status"], mark)
            self.duty.fault(judge(expected, as_seen(done), job.workspace_id, now_ms()))

    def _foreign(self, job: Job) -> None:
        other = a_workspace(self.world)
        if other == job.workspace_id:
            return
        try:
            self.store.update_status(job.job_id, "completed", workspace_id=other, result={"mark": "foreign"})
        except RelayJobsError:
            self.duty.counters["foreign_try"] += 1
        else:
            self.duty.fault(Fault(FOREIGN, job.job_id, f"{other} could update it"))


@dataclass
class OldProcess:
    """A process from before the library: legacy keys, several commands, no scripts. It ends before step 5."""

    client: redis.Redis
    duty: Duty
    ledger: Ledger
    _open: list[tuple[str, str]] = field(default_factory=list)

    def run(self) -> None:
        steps: list[Callable[[], None]] = [self._queue, self._private, self._advance, self._advance, self._advance]
        for number in self.duty.ticks():
            with self.duty.call("old_write"):
                steps[number % len(steps)]()

    def _write(self, client: redis.Redis, job_id: str, fields: dict[str, str]) -> None:
        flat = [part for pair in fields.items() for part in pair]
        client.execute_command("HSET", f"ai:jobs:{job_id}", *flat)

    def _hash(self, job_id: str) -> dict[str, str]:
        return {
            "job_id": job_id,
            "status": "pending",
            "action_provider": "internal",
            "action_name": "report.build",
            "params": json.dumps({"ws": LATE_WORKSPACE}),
            "workspace_id": LATE_WORKSPACE,
            "actor_id": "old-process",
            "enqueued_at": datetime.now(UTC).isoformat(),
            "result": "",
        }

    def _queue(self) -> None:
        job_id = f"old:{uuid.uuid4()}"
        pipe = self.client.pipeline()
        self._write(pipe, job_id, self._hash(job_id))
        pipe.rpush(QUEUE, job_id)
        pipe.execute()
        self.ledger.enqueued(job_id, LATE_WORKSPACE)

    def _private(self) -> None:
        job_id = f"old-private:{uuid.uuid4()}"
        self._write(self.client, job_id, self._hash(job_id))
        self.ledger.enqueued(job_id, LATE_WORKSPACE, private=True)
        self._open.append((job_id, "pending"))

    def _advance(self) -> None:
        """Move a job of its own on: pending, running, then done or (one in four) deleted."""
        if not self._open:
            return
        job_id, status = self._open.pop(random.randrange(len(self._open)))
        now = datetime.now(UTC).isoformat()
        if status == "pending":
            self._write(self.client, job_id, {"status": "running", "started_at": now})
            self.ledger.moved(job_id, LATE_WORKSPACE, "running")
            self._open.append((job_id, "running"))
        elif random.random() < 0.25:
            self.ledger.deleting(job_id)
            self.client.delete(f"ai:jobs:{job_id}")
            self.ledger.deleted(job_id)
        else:
            mark = json.dumps({"mark": job_id})
            self._write(self.client, job_id, {"status": "completed", "result": mark, "finished_at": now})
            self.ledger.moved(job_id, LATE_WORKSPACE, "completed", job_id)
