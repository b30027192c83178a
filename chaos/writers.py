"""Those who change jobs with the library: API servers, workers and deleters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos.ledger import now
from chaos.sight import of_job
from chaos.world import CLAIM_LEASE_SECONDS
from relay_jobs import Enqueued, Job, JobStore

if TYPE_CHECKING:
    from chaos.actors import Actor

_REPEATED = 60


def told(answer: Enqueued) -> dict[str, Any]:
    return {"id": answer.job_id, "created": answer.created}


def writer(actor: Actor, store: JobStore) -> None:
    """Enqueue, repeat requests as clients do that had no answer, and make jobs anew that may have been deleted."""
    requests: list[dict[str, Any]] = []
    for number in actor.ticks():
        request = _request(actor, number)
        if requests and actor.dice.random() < 0.15:
            request = actor.dice.choice(requests)
        elif requests and actor.dice.random() < 0.08:
            first = actor.dice.choice(requests)
            request |= {"job_id": first["job_id"], "workspace_id": first["workspace_id"], "client_request_id": None}
            request["params"] |= {"ws": first["workspace_id"]}
        requests = [*requests[-_REPEATED:], request]
        actor.call(
            "enqueue",
            request["job_id"],
            request["workspace_id"],
            lambda request=request: store.enqueue(**request),  # type: ignore[misc]
            told,
            by=request["params"]["by"],
            request=request["client_request_id"] is not None,
            ttl=request["ttl_seconds"],
        )


def _request(actor: Actor, number: int) -> dict[str, Any]:
    name = actor.journal.next_id()
    workspace = actor.dice.choice(sorted(set(actor.roster.workspaces.values())))
    odd = (f"{workspace}:{name}", f"job [{name}] *?", f"größe {name}", name)
    return {
        "workspace_id": workspace,
        "action_provider": "openai",
        "action_name": "chat",
        "params": {"ws": workspace, "by": name, "text": "y" * actor.dice.randint(10, 300)},
        "actor_id": actor.name,
        "job_id": odd[number % len(odd)],
        "client_request_id": f"request {name}" if actor.dice.random() < 0.5 else None,
        "ttl_seconds": actor.dice.choice((2, 4, 8)) if actor.dice.random() < 0.1 else None,
    }


@dataclass
class Held:
    """A job that a worker works on, until ``due``."""

    job: Job
    claim: str
    due: float
    beats: bool


def worker(actor: Actor, store: JobStore) -> None:
    """Claim, work, now and then too long or for ever, and finish; sometimes twice, sometimes somebody else's."""
    held: list[Held] = []
    for number in actor.ticks():
        due = [each for each in held if each.due <= time.monotonic()]
        beating = [each for each in held if each.beats]
        if due:
            held.remove(due[0])
            _finish(actor, store, due[0], number)
        elif beating and number % 3 == 0:
            _beat(actor, store, actor.dice.choice(beating))
        elif len(held) < 12:
            claimed = _claim(actor, store)
            if claimed:
                # Its own late job may come back to it: then it goes by the new claim.
                held = [each for each in held if each.job.job_id != claimed.job.job_id]
                held += [claimed] if actor.dice.random() > 0.04 else []


def _claim(actor: Actor, store: JobStore) -> Held | None:
    def tell(job: Job | None) -> dict[str, Any]:
        return {"saw": None} if job is None else {"saw": of_job(job)}

    name, job = actor.call("claim", "", "", lambda: store.claim(actor.name), tell, lease=CLAIM_LEASE_SECONDS)
    if job is None:
        return None
    long = actor.dice.random() < 0.08
    seconds = CLAIM_LEASE_SECONDS * 1.6 if long else actor.dice.uniform(0, 0.5)
    return Held(job, name, now() + seconds, beats=long and actor.dice.random() < 0.4)


def _beat(actor: Actor, store: JobStore, held: Held) -> None:
    job = held.job
    actor.call(
        "heartbeat",
        job.job_id,
        job.workspace_id,
        lambda: store.heartbeat(job.job_id, actor.name),
        lambda _: {},
        claim=held.claim,
        lease=CLAIM_LEASE_SECONDS,
    )


def _finish(actor: Actor, store: JobStore, held: Held, number: int) -> None:
    job, mark = held.job, actor.journal.next_id()
    ends: dict[str, Any] = {"status": "completed", "result": {"mark": mark}}
    if number % 9 == 4:
        ends = {"status": "failed", "error": mark}
    if number % 10 == 3:
        other = actor.another_workspace(job.workspace_id)
        _try_foreign(
            actor, "update", job.job_id, other, lambda: store.update_status(job.job_id, workspace_id=other, **ends)
        )
    claim = held.claim
    for _ in range(2 if number % 8 == 5 else 1):
        called = actor.call(
            "update",
            job.job_id,
            job.workspace_id,
            lambda: store.update_status(job.job_id, workspace_id=job.workspace_id, **ends),
            lambda done: {"saw": of_job(done)},
            claim=claim,
            status=ends["status"],
            mark=mark,
        )
        # With its end a claim is forgotten: the second call is one without a claim.
        claim = "" if called[1] else claim


def deleter(actor: Actor, store: JobStore) -> None:
    """Delete jobs, old and new; now and then one of somebody else."""
    for number in actor.ticks():
        job, workspace = actor.a_job()
        if number % 6 == 5:
            other = actor.another_workspace(workspace)
            _try_foreign(actor, "delete", job, other, lambda job=job, other=other: store.delete_job(job, other))
            continue
        actor.call(
            "delete",
            job,
            workspace,
            lambda job=job, workspace=workspace: store.delete_job(job, workspace),  # type: ignore[misc]
            lambda deleted: {"deleted": deleted},
        )


def _try_foreign(actor: Actor, what: str, job: str, workspace: str, do: Any) -> None:
    """Something that must be refused as if the job did not exist."""
    actor.call("foreign", job, workspace, do, lambda answer: {"done": bool(answer)}, what=what)
