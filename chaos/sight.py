"""What a process has seen of a job: by the library, or with its own eyes in both schemas, without the library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis

from relay_jobs import Job

REQUIRED = ("workspace_id", "status", "action_provider", "action_name", "params", "actor_id", "enqueued_at")
STARTED, FINISHED = ("running", "completed", "failed"), ("completed", "failed")
SEED_CONTENT = "seed"

Hash = Mapping[bytes, bytes]


class Sight(NamedTuple):
    """One look at a job.

    ``content`` names the call that made it, ``owner`` the workspace that it was made for, ``missing`` what a whole job
    has and this one has not; ``mark`` names the outcome.
    """

    job: str
    workspace: str
    status: str
    mark: str
    content: str
    owner: str
    missing: str


class Copy(NamedTuple):
    """One key, as it is: ``digest`` of all its bytes; -1 is no expiry."""

    sight: Sight
    digest: str
    expires_at_ms: int


class Look(NamedTuple):
    """Both keys of a job at one instant."""

    job: str
    workspace: str
    legacy: Copy | None
    scoped: Copy | None


def of_job(job: Job) -> Sight:
    """What the library has shown."""
    params = job.params if isinstance(job.params, dict) else {}
    missing = [name for name in REQUIRED if getattr(job, name) in (None, "")]
    missing += ["started_at"] if job.status in STARTED and job.started_at is None else []
    missing += ["finished_at"] if job.status in FINISHED and job.finished_at is None else []
    mark = job.result.get("mark", "") if isinstance(job.result, dict) else (job.error or "")
    return Sight(
        job=job.job_id,
        workspace=job.workspace_id,
        status=str(job.status),
        mark=mark,
        content=params.get("by", SEED_CONTENT),
        owner=params.get("ws", ""),
        missing=",".join(missing),
    )


def of_hash(job: str, fields: Hash) -> Sight:
    """What a hash holds; the rules are written down once more here, on purpose without the library."""

    def text(name: str) -> str:
        return fields.get(name.encode(), b"").decode("utf-8", "replace")

    params, result = _decoded(text("params")), _decoded(text("result"))
    status = {"error": "failed"}.get(text("status"), text("status"))
    missing = [name for name in REQUIRED if not text(name)]
    missing += ["started_at"] if status in STARTED and not text("started_at") else []
    missing += ["finished_at"] if status in FINISHED and not text("finished_at") else []
    return Sight(
        job=job,
        workspace=text("workspace_id"),
        status=status,
        mark=result["mark"] if "mark" in result else text("error"),
        content=params.get("by", SEED_CONTENT),
        owner=params.get("ws", ""),
        missing=",".join(missing),
    )


def _decoded(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def digest(fields: Hash) -> str:
    """A digest in which no two different hashes look alike."""
    made = hashlib.blake2b(digest_size=10)
    for part in (part for pair in sorted(fields.items()) for part in pair):
        made.update(b"%d:%b" % (len(part), part))
    return made.hexdigest()


def legacy_key(job: str) -> bytes:
    return b"ai:jobs:" + job.encode()


def scoped_key(workspace: str, job: str) -> bytes:
    return f"ai:job:{workspace}:{job}".encode()


STAGES = b"ai:migration:stages"


def look(client: redis.Redis, jobs: Sequence[tuple[str, str]]) -> tuple[str, str, list[Look]]:
    """Stage, dual-write epoch and both keys of each job, in one transaction: one instant."""
    pipe = client.pipeline(transaction=True)
    pipe.hmget(STAGES, "*", "*epoch")
    for job, workspace in jobs:
        for key in (legacy_key(job), scoped_key(workspace, job)):
            pipe.hgetall(key)
            pipe.execute_command("PEXPIRETIME", key)
    (stage, epoch), *answers = pipe.execute()
    looks = []
    for at, (job, workspace) in enumerate(jobs):
        legacy, legacy_expiry, scoped, scoped_expiry = answers[at * 4 : at * 4 + 4]
        looks.append(Look(job, workspace, _copy(job, legacy, legacy_expiry), _copy(job, scoped, scoped_expiry)))
    return (stage or b"").decode(), (epoch or b"0").decode(), looks


def _copy(job: str, fields: Hash, expires_at_ms: int) -> Copy | None:
    return Copy(of_hash(job, fields), digest(fields), expires_at_ms) if fields else None


def as_look(row: list[Any]) -> Look:
    """A look as it was noted."""
    job, workspace, legacy, scoped = row
    return Look(job, workspace, _as_copy(legacy), _as_copy(scoped))


def _as_copy(row: list[Any] | None) -> Copy | None:
    return None if row is None else Copy(Sight(*row[0]), row[1], row[2])
