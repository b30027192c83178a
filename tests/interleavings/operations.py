"""What an actor can do to a job: one line each in a table; every call that returns is told to the ledger."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay_jobs import Stage
from relay_jobs.errors import JobExists, RelayJobsError
from relay_jobs.jobs import Job
from tests.interleavings.copies import Instant
from tests.interleavings.world import STAMP, Process

Body = Callable[[Process], object]


@dataclass(frozen=True)
class Operation:
    """One thing to do; ``kind`` says which rules its commands are held against."""

    name: str
    body: Body
    kind: str = "library"


def _told(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "ok", call()
    except RelayJobsError as error:
        found = next(cls for cls in type(error).__mro__ if cls.__module__ == "relay_jobs.errors")
        return {"ForeignJob": "JobNotFound"}.get(found.__name__, found.__name__), None


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def enqueue(process: Process, workspace: str = "acme", job_id: str = "j", request: str = "", ttl: float = 0) -> None:
    """Create a job of this id."""
    params = request or process.nth()
    named = {"job_id": job_id, "client_request_id": request or None, "ttl_seconds": ttl or None}
    answer, made = _told(lambda: process.store.enqueue(workspace, "mail", "send", {"by": params}, "u1", **named))
    ledger, before = process.ledger, process.world.before
    first = ledger.requests.get((workspace, request)) if request else None
    if first is not None:
        assert answer == "ok", f"a repeated request was told {answer}"
        assert (made.job_id, made.created) == (first[0], False), "a repeated request was not recognised"
        return
    taken = job_id in before.legacy or (workspace, job_id) in before.scoped
    assert (answer == JobExists.__name__) == taken, f"enqueue was told {answer}, taken: {taken}"
    if answer == "ok":
        assert made.created
        fields = {
            b"job_id": job_id.encode(),
            b"status": b"pending",
            b"action_provider": b"mail",
            b"action_name": b"send",
            b"params": _json({"by": params}),
            b"workspace_id": workspace.encode(),
            b"actor_id": b"u1",
            b"result": b"",
            b"enqueued_at": STAMP,
            b"started_at": b"",
            b"finished_at": b"",
        }
        ledger.enqueued(workspace, job_id, fields, request or None, ttl=bool(ttl))


def update(process: Process, status: str, workspace: str | None = "acme", job_id: str = "j") -> None:
    """Move a job to a status."""
    mark = None if status == "running" else process.nth()
    error = mark if status == "failed" else None
    call = {"workspace_id": workspace, "result": mark, "error": error}
    answer, job = _told(lambda: process.store.update_status(job_id, status, **call))
    ledger, owner = process.ledger, workspace or _named_in_legacy(process.world.before, job_id)
    outcome = (_json(mark) if mark else b"", (error or "").encode())
    claim = process.claim.get(job_id) if workspace else None
    expected = ledger.answer_to_update(owner, job_id, status, outcome, claim) if owner else "JobNotFound"
    if workspace is None and process.world.stage is Stage.SEALED:
        expected = "UsageError"
    assert answer == {"same": "ok"}.get(expected, expected), f"update to {status} was told {answer}, not {expected}"
    if expected == "ok":
        changes = {b"status": status.encode(), b"started_at": STAMP}
        if status != "running":
            changes = {b"status": status.encode(), b"finished_at": STAMP, b"result": outcome[0]}
            changes |= {b"error": outcome[1]} if error else {}
        ledger.updated(job_id, changes)
    if answer == "ok":
        assert job.status == status
        if status != "running":
            process.claim.pop(job_id, None)


def _named_in_legacy(seen: Instant, job_id: str) -> str:
    copy = seen.legacy.get(job_id)
    return (copy.owner(job_id) if copy else None) or ""


def complete(process: Process, workspace: str | None = "acme", job_id: str = "j") -> None:
    """Take a job and complete it."""
    update(process, "running", workspace, job_id)
    update(process, "completed", workspace, job_id)


def fail(process: Process, workspace: str = "acme", job_id: str = "j") -> None:
    """Take a job and let it fail."""
    update(process, "running", workspace, job_id)
    update(process, "failed", workspace, job_id)


def delete(process: Process, workspace: str = "acme", job_id: str = "j") -> None:
    """Delete a job."""
    known = process.store.delete_job(job_id, workspace)
    visible = process.ledger.visible(workspace, job_id) is not None
    assert known == visible, f"delete was told {known}; the job was there: {visible}"
    process.claim.pop(job_id, None)
    if known:
        process.ledger.deleted(workspace, job_id)


def recreate(process: Process, workspace: str = "acme", job_id: str = "j") -> None:
    """Delete a job and create one of the same id."""
    delete(process, workspace, job_id)
    enqueue(process, workspace, job_id)


def claim(process: Process) -> Job | None:
    """Take the next job."""
    token = process.nth()
    job = process.store.claim(process.name)
    if job is not None:
        process.ledger.claimed(job.job_id, token, STAMP)
        process.ledger.queued.discard(job.job_id)
        process.claim[job.job_id] = token
    return job


def work(process: Process) -> None:
    """Take the next job, say that one is alive, complete it."""
    job = claim(process)
    if job is None:
        return
    answer, _ = _told(lambda: process.store.heartbeat(job.job_id, process.name))
    held = process.ledger.holders.get(job.job_id) == process.claim[job.job_id]
    assert (answer == "ok") == held, f"heartbeat was told {answer}; the claim was held: {held}"
    update(process, "completed", job.workspace_id, job.job_id)


def pry(process: Process, job_id: str = "j") -> None:
    """Another workspace tries to write the job, and is answered as for one that does not exist."""
    update(process, "running", "zeta", job_id)
    delete(process, "zeta", job_id)


def walk_listing(process: Process, workspace: str = "acme") -> None:
    """List all jobs, one a page: each that exists throughout exactly once."""
    begun = len(process.world.steps)
    cursor, shown = None, []
    while True:
        page = process.store.list_jobs(workspace, limit=1, cursor=cursor)
        shown += [job.job_id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    process.world.judge_listing(process, begun, workspace, shown)


STORE = (
    Operation("enqueue", enqueue),
    Operation("enqueue_request", lambda p: enqueue(p, request="r1")),
    Operation("enqueue_ttl", lambda p: enqueue(p, ttl=3600)),
    Operation("run", lambda p: update(p, "running")),
    Operation("complete", complete),
    Operation("complete_unnamed", lambda p: complete(p, None)),
    Operation("fail", fail),
    Operation("delete", delete),
    Operation("recreate", recreate),
    Operation("work", work),
    Operation("pry", pry),
    Operation("list", walk_listing),
)
