"""Random calls of two processes, old processes beside them, and moves of each workspace's stage, against a plain dict.

The moves do by hand what the passes of the migration do, so that this is about the store alone.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relay_jobs import Job, Stage
from relay_jobs.errors import ClaimLost, IdempotencyConflict, IllegalTransition, JobExists, JobNotFound
from tests.servers import ANY, Running
from tests.store.records import STAGES, copy_at, fields, legacy, new_store, scoped, set_stage

WORKSPACES = ("a", "b-c")
IDS = ("j", "k:1", "é*")
EDGES = {("pending", "running"), ("running", "completed"), ("running", "failed")}
ENDS = ("completed", "failed")

workspaces, ids, processes = st.sampled_from(WORKSPACES), st.sampled_from(IDS), st.integers(0, 1)
stages = st.sampled_from(STAGES)
# Seldom: a caller asks for the job of another workspace.
strangers = st.integers(0, 5).map(lambda number: number == 5)


@dataclass
class Known:
    """What a job should read as; ``token`` is that of the claim that holds it."""

    workspace: str
    params: int
    status: str = "pending"
    result: int | None = None
    error: str | None = None
    token: int = 0
    offered: bool = True

    def shown(self) -> tuple[Any, ...]:
        return (self.status, self.params, self.result, self.error)


class StoreAndModel(RuleBasedStateMachine):
    client: redis.Redis

    @initialize(one=stages, two=stages)
    def begin(self, one: Stage, two: Stage) -> None:
        self.client.flushall()
        self.stages = dict.fromkeys(WORKSPACES, Stage.LEGACY)
        for workspace in WORKSPACES:
            set_stage(self.client, Stage.LEGACY, workspace)
        set_stage(self.client, Stage.LEGACY)
        self.stores = [new_store(self.client), new_store(self.client)]
        self.jobs: dict[str, Known] = {}
        self.requests: dict[tuple[str, str], tuple[str, int]] = {}
        self.sealed_since: set[str] = set()
        self.claims = 0
        self.remembered: dict[tuple[int, str, str], int] = {}
        for workspace, job_id in zip(WORKSPACES, IDS, strict=False):
            self.enqueue_old(workspace, job_id, 0)
        self.move(WORKSPACES[0], one)
        self.move(WORKSPACES[1], two)

    def caller(self, job_id: str, *, stranger: bool) -> str:
        known = self.jobs.get(job_id)
        own = known.workspace if known else WORKSPACES[0]
        return own if not stranger else next(each for each in WORKSPACES if each != own)

    def job(self, workspace: str, job_id: str) -> Known | None:
        known = self.jobs.get(job_id)
        return known if known and known.workspace == workspace else None

    # What callers do.

    @rule(process=processes, workspace=workspaces, job_id=ids, params=st.integers(0, 2), request=st.sampled_from("-rs"))
    def enqueue(self, process: int, workspace: str, job_id: str, params: int, request: str) -> None:
        held = self.jobs.get(job_id)
        if held and held.workspace != workspace and not self.client.exists(legacy(job_id)):
            return  # a sealed workspace keeps its ids to itself
        given = {"job_id": job_id, "client_request_id": None if request == "-" else request}
        first = self.requests.get((workspace, request))
        try:
            answer = self.stores[process].enqueue(workspace, "p", "a", params, "u", **given)
        except IdempotencyConflict:
            assert first is not None
            assert first[1] != params
        except JobExists:
            assert first is None
            assert held is not None
        else:
            assert (answer.job_id, answer.created) == ((first[0], False) if first else (job_id, True))
            if answer.created:
                assert held is None
                self.jobs[job_id] = Known(workspace, params)
                if request != "-":
                    self.requests[workspace, request] = (job_id, params)

    @rule(
        process=processes,
        stranger=strangers,
        job_id=ids,
        status=st.sampled_from(["running", *ENDS]),
        outcome=st.integers(0, 1),
    )
    def update(self, process: int, stranger: bool, job_id: str, status: str, outcome: int) -> None:
        workspace = self.caller(job_id, stranger=stranger)
        result = outcome if status in ENDS else None
        error = f"e{outcome}" if status == "failed" else None
        known = self.job(workspace, job_id)
        own = self.remembered.get((process, workspace, job_id))
        expected = self.expected(known, own, status, (result, error))
        call = partial(self.stores[process].update_status, job_id, status, workspace, result=result, error=error)
        if expected:
            with pytest.raises(expected):
                call()
            return
        assert known is not None
        job = call()
        if known.status != status:
            known.status, known.result, known.error = status, result, error
        if status in ENDS:
            self.remembered.pop((process, workspace, job_id), None)
        assert seen(job) == known.shown()

    def expected(self, known: Known | None, own: int | None, status: str, outcome: Any) -> type[Exception] | None:
        if known is None:
            return JobNotFound
        # A process that lost its claim stays refused, also after another job has taken the id.
        if known.status not in ENDS and own is not None and own != known.token:
            return ClaimLost
        if known.status == status:
            return IllegalTransition if status in ENDS and outcome != (known.result, known.error) else None
        return None if (known.status, status) in EDGES else IllegalTransition

    @rule(process=processes, stranger=strangers, job_id=ids)
    def delete(self, process: int, stranger: bool, job_id: str) -> None:
        workspace = self.caller(job_id, stranger=stranger)
        known = self.job(workspace, job_id)
        assert self.stores[process].delete_job(job_id, workspace) is (known is not None)
        self.remembered.pop((process, workspace, job_id), None)
        if known:
            del self.jobs[job_id]
            assert not self.client.exists(legacy(job_id), scoped(job_id, workspace))
            assert self.client.zscore(f"ai:index:{workspace}", job_id) is None

    @rule(process=processes)
    def claim(self, process: int) -> None:
        job = self.stores[process].claim(f"w{process}")
        if job is None:
            assert not [job_id for job_id, known in self.jobs.items() if known.status == "pending"]
            return
        known = self.jobs[job.job_id]
        assert known.workspace == job.workspace_id
        assert known.status not in ENDS
        assert known.offered
        self.claims += 1
        known.status, known.token, known.offered = "running", self.claims, False
        self.remembered[process, job.workspace_id, job.job_id] = self.claims
        assert seen(job) == known.shown()

    @rule()
    def leases_end(self) -> None:
        for member in self.client.zrange("ai:migration:claims", 0, -1):
            self.client.zadd("ai:migration:claims", {member: 1})
        for known in self.jobs.values():
            known.offered = True

    @rule(job_id=ids)
    def expire(self, job_id: str) -> None:
        known = self.jobs.pop(job_id, None)
        if known:
            self.client.delete(legacy(job_id), scoped(job_id, known.workspace))

    # What processes without the library do, while they may.

    def old_processes_run(self, workspace: str) -> bool:
        return self.stages[workspace] in {Stage.LEGACY, Stage.DUAL_WRITE}

    @rule(workspace=workspaces, job_id=ids, params=st.integers(0, 2))
    def enqueue_old(self, workspace: str, job_id: str, params: int) -> None:
        if job_id not in self.jobs and self.old_processes_run(workspace):
            self.client.hset(legacy(job_id), mapping=fields(job_id, workspace, params=str(params)))
            self.client.rpush("ai:queue:pending", job_id)
            self.jobs[job_id] = Known(workspace, params)

    @rule(job_id=ids)
    def finish_old(self, job_id: str) -> None:
        known = self.jobs.get(job_id)
        if known and known.status not in ENDS and self.old_processes_run(known.workspace):
            self.client.hset(legacy(job_id), mapping={"status": "completed", "result": "7"})
            known.status, known.result = "completed", 7

    # What the operator does.

    @rule(workspace=workspaces, end=stages)
    def move(self, workspace: str, end: Stage) -> None:
        while self.stages[workspace] is not end:
            up = end.rung > self.stages[workspace].rung
            (self.before_up if up else self.before_down)(workspace, self.stages[workspace])
            self.stages[workspace] = STAGES[self.stages[workspace].rung + (1 if up else -1)]
            set_stage(self.client, self.stages[workspace], workspace)

    def before_up(self, workspace: str, stage: Stage) -> None:
        if stage is Stage.LEGACY:
            self.client.hincrby("ai:migration:stages", "*epoch", 1)
        elif stage is Stage.DUAL_WRITE:
            self.repair(workspace, missing=False)
        elif stage is Stage.NEW_FIRST:
            self.repair(workspace, missing=True)
            self.client.hset("ai:migration:indexed", workspace, self.client.hget("ai:migration:stages", "*epoch"))

    def before_down(self, workspace: str, stage: Stage) -> None:
        if stage is Stage.SEALED:
            self.sealed_since.add(workspace)
        elif stage is Stage.NEW_ONLY and workspace in self.sealed_since:
            self.sealed_since.discard(workspace)
            for job_id, known in self.jobs.items():
                if known.workspace == workspace:
                    self.client.copy(scoped(job_id, workspace), legacy(job_id), replace=True)

    def repair(self, workspace: str, *, missing: bool) -> None:
        """Make every workspace copy what the right copy says; create the missing ones as a pass would."""
        right_is_legacy = self.stages[workspace] is Stage.DUAL_WRITE
        for job_id in IDS:
            known, there = self.job(workspace, job_id), self.client.exists(scoped(job_id, workspace))
            if known is None:
                if there:
                    self.client.delete(scoped(job_id, workspace))
                    self.client.zrem(f"ai:index:{workspace}", job_id)
            elif (there and right_is_legacy) or (missing and not there):
                self.client.copy(legacy(job_id), scoped(job_id, workspace), replace=True)
            if known and missing:
                self.client.zadd(f"ai:index:{workspace}", {job_id: 1}, nx=True)

    # What must hold after every step.

    @invariant()
    def readers_see_the_model(self) -> None:
        for workspace in WORKSPACES:
            for job_id in IDS:
                known = self.job(workspace, job_id)
                job = self.stores[0].get_job(job_id, workspace)
                assert (known and known.shown()) == (job and seen(job))

    @precondition(lambda self: self.jobs)
    @invariant()
    def copies_are_whole(self) -> None:
        for key in self.client.keys("ai:job*"):
            assert {b"job_id", b"workspace_id", b"params", b"actor_id", b"enqueued_at"} <= set(
                copy_at(self.client, key)
            )

    @rule(process=processes, workspace=workspaces, limit=st.integers(1, 3))
    def walk(self, process: int, workspace: str, limit: int) -> None:
        found, cursor = {}, None
        while True:
            page = self.stores[process].list_jobs(workspace, limit=limit, cursor=cursor)
            for job in page.items:
                assert job.job_id not in found
                found[job.job_id] = seen(job)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == {name: known.shown() for name, known in self.jobs.items() if known.workspace == workspace}


def seen(job: Job) -> tuple[Any, ...]:
    return (job.status.value, job.params, job.result, job.error)


@pytest.mark.properties
@pytest.mark.redis
@pytest.mark.parametrize("name", ANY)
def test_the_store_is_a_dict_whatever_the_stage(running: Running, name: str) -> None:
    """Readers see exactly what callers were told, in every interleaving of calls, old processes and moves."""
    server = running.server(name)
    machine = type("Machine", (StoreAndModel,), {"client": server.client()})
    try:
        run_state_machine_as_test(
            machine, settings=settings(max_examples=6 if name == "fake" else 20, stateful_step_count=40)
        )
    finally:
        server.close()
