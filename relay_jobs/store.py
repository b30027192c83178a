"""The job store: every call is one atomic script that reads the stage itself, in one round trip."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.calls import OUTCOME_TTL_MS, Calls
from relay_jobs.claims import Claims
from relay_jobs.enqueueing import Enqueueing
from relay_jobs.errors import (
    ClaimLost,
    ForeignJob,
    IllegalTransition,
    InvalidPayload,
    JobNotFound,
    UsageError,
)
from relay_jobs.jobs import (
    TERMINAL,
    Enqueued,
    Job,
    JobStatus,
    NewJob,
    Page,
    encode_id,
    encode_json,
    encode_text,
    job_from_row,
    job_id_bytes,
    parse_job_id,
    parse_status,
    parse_workspace,
)
from relay_jobs.listing import Listing
from relay_jobs.metrics import StoreMetrics
from relay_jobs.scripting import Arg, Script
from relay_jobs.settings import Settings

_GET = Script("get_job")
_UPDATE = Script("update_job")
_DELETE = Script("delete_job")


class JobStore:
    """Jobs of many workspaces in one Redis, in both schemas while the migration lasts.

    Args:
        client: a ``redis.Redis`` (Sentinel's too); its pool's connections are given the library's client name.
        settings: default: from the environment.
        metrics: default: the process-wide counters in prometheus_client's registry.
        now: the clock that stamps jobs.

    Raises:
        UnsupportedServer: a cluster, Redis below 7.0, or a server or user without a command that it needs.
        FlagConflict: an environment flag contradicts the recorded stage.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings | None = None,
        *,
        metrics: StoreMetrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        settings = settings or Settings.from_env()
        self._now = now
        self._calls = Calls(client, settings, metrics)
        self._enqueueing = Enqueueing(self._calls)
        self._claims = Claims(self._calls, settings.claim_lease_seconds)
        self._listing = Listing(self._calls)
        self._calls.start(settings)

    def enqueue(
        self,
        workspace_id: str,
        action_provider: str,
        action_name: str,
        params: Any,
        actor_id: str,
        client_request_id: str | None = None,
        job_id: str | None = None,
        ttl_seconds: float | None = None,
    ) -> Enqueued:
        """Create and queue a job.

        Args:
            workspace_id: whose job it is.
            action_provider: who executes it.
            action_name: what is executed.
            params: any JSON value.
            actor_id: who asked for it.
            client_request_id: a repeat within 24 h gives the first job's id.
            job_id: default: a new UUID.
            ttl_seconds: lifetime of the job's record; default: unlimited.

        Raises:
            IdempotencyConflict: the request id was used for another payload.
            JobExists: ``job_id`` is taken, whoever has it.
            UsageError: an argument that is not allowed; nothing was written.
            WrongType: the queue or the index holds another type; nothing was written.
        """
        job = NewJob(action_provider, action_name, params, client_request_id, job_id, ttl_seconds)
        return self._enqueueing.all(parse_workspace(workspace_id), (job,), actor_id, self._utc())[0]

    def enqueue_many(self, workspace_id: str, jobs: Sequence[NewJob], actor_id: str) -> tuple[Enqueued, ...]:
        """Create and queue several jobs of a workspace, all of them or none; answers in the order of ``jobs``.

        A request id that occurs twice among them is a repeat like any other.

        Args:
            workspace_id: whose jobs they are.
            jobs: 1 to 100 of them.
            actor_id: who asked for them.

        Raises:
            IdempotencyConflict: a request id was used for another payload.
            JobExists: a ``job_id`` is taken, whoever has it.
            UsageError: an argument that is not allowed; nothing was written.
            WrongType: the queue or the index holds another type; nothing was written.
        """
        return self._enqueueing.all(parse_workspace(workspace_id), jobs, actor_id, self._utc())

    def get_job(self, job_id: str, workspace_id: str) -> Job | None:
        """The job, or ``None`` for an unknown and a foreign id alike."""
        workspace, raw = parse_workspace(workspace_id), job_id_bytes(job_id)
        reply = self._calls.run(_GET, (), workspace, raw, *self._calls.routing)
        if reply[0] == b"miss":
            self._calls.metrics.read(workspace, "miss")
            return None
        self._calls.metrics.read(workspace, "new" if reply[0] == b"workspace" else "old")
        return job_from_row(workspace, reply)

    def list_jobs(
        self, workspace_id: str, status: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """One page of the workspace's jobs.

        Over a walk, every job that exists throughout appears exactly once. From ``new_first`` on and after a complete
        pass, newest first; until then indexed jobs come first, then the rest, and a page may be short, even
        empty, and still have a cursor.

        Args:
            workspace_id: whose jobs.
            status: only jobs of this status.
            limit: most jobs on a page, 1 to 1000.
            cursor: ``next_cursor`` of the page before, of the same workspace and status; valid for an hour.

        Raises:
            InvalidCursor: the cursor is malformed, of another listing, or too old.
        """
        workspace = parse_workspace(workspace_id)
        wanted = None if status is None else parse_status(status)
        return self._listing.page(workspace, wanted, limit, cursor)

    def update_status(
        self, job_id: str, status: str, workspace_id: str | None = None, result: Any = None, error: str | None = None
    ) -> Job:
        """Move a job to a status, in every schema that the stage writes.

        The same status with the same outcome again is no change and no error.

        Args:
            job_id: which job.
            status: ``running``, ``completed`` or ``failed`` as the status table allows.
            workspace_id: whose job; default: as the legacy copy says (refused in ``sealed``).
            result: any JSON value, with a terminal status only.
            error: what went wrong, with ``failed`` only.

        Raises:
            JobNotFound: unknown to the stage in force.
            ForeignJob: the job of another workspace; a ``JobNotFound`` with the same words.
            IllegalTransition: the status table has no such edge, or the outcome differs.
            ClaimLost: this store's claim has expired and another worker holds the job.
        """
        identity, wanted = parse_job_id(job_id), parse_status(status)
        workspace = None if workspace_id is None else parse_workspace(workspace_id)
        if result is not None and wanted not in TERMINAL:
            msg = f"a result goes with completed or failed, not with {wanted}"
            raise InvalidPayload(msg)
        if error is not None and wanted is not JobStatus.FAILED:
            msg = f"an error goes with failed, not with {wanted}"
            raise InvalidPayload(msg)
        where = [keys.call(uuid.uuid4().hex), keys.legacy(identity)]
        if workspace is not None:
            where += [keys.scoped(workspace, identity), keys.index(workspace)]
        args: list[Arg] = [encode_id(identity), workspace or "", wanted]
        outcome = (b"" if result is None else encode_json(result, "result"), encode_text(error or "", "error"))
        args += [*outcome, self._stamp()]
        args += [*self._calls.routing, self._claims.token(workspace, identity), OUTCOME_TTL_MS]
        reply = self._calls.write(workspace or "", _UPDATE, tuple(where), *args)
        _raise_unless_updated(reply, identity, wanted)
        owner = reply[2].decode()
        if wanted in TERMINAL:
            self._claims.forget(owner, identity)
        return job_from_row(owner, reply[3])

    def delete_job(self, job_id: str, workspace_id: str) -> bool:
        """Remove both copies and the index entry in one step; whether the stage in force knew the job."""
        identity, workspace = parse_job_id(job_id), parse_workspace(workspace_id)
        copies = (keys.legacy(identity), keys.scoped(workspace, identity))
        where = (keys.call(uuid.uuid4().hex), *copies, keys.index(workspace))
        args: list[Arg] = [encode_id(identity), workspace, *self._calls.routing, OUTCOME_TTL_MS]
        reply = self._calls.write(workspace, _DELETE, where, *args)
        self._claims.forget(workspace, identity)
        return bool(reply[2] == b"1")

    def claim(self, worker_id: str, timeout_seconds: float = 0) -> Job | None:
        """The next job, now ``running``, or ``None``; at least once.

        The claim is held for a lease, renewed by :meth:`heartbeat` and ended by a terminal status. A job whose
        claim has expired is offered again, first.

        Args:
            worker_id: who takes it; 1 to 256 bytes without control characters.
            timeout_seconds: how long to wait for a job; 0 does not wait.
        """
        return self._claims.claim(worker_id, timeout_seconds, self._stamp)

    def heartbeat(self, job_id: str, worker_id: str) -> datetime:
        """Renew the lease of a claim; the time at which it ends now.

        Raises:
            ClaimLost: the worker does not hold the job.
        """
        return self._claims.renew(job_id, worker_id)

    def _stamp(self) -> str:
        return self._utc().isoformat(timespec="microseconds")

    def _utc(self) -> datetime:
        now = self._now()
        return now if now.tzinfo is UTC else now.astimezone(UTC)


def _raise_unless_updated(reply: list[Any], job_id: str, wanted: JobStatus) -> None:
    match reply[0]:
        case b"unknown":
            raise JobNotFound(job_id)
        case b"foreign":
            raise ForeignJob(job_id)
        case b"claim_lost":
            raise ClaimLost(job_id)
        case b"illegal":
            raise IllegalTransition(job_id, reply[1].decode(), wanted)
        case b"sealed":
            msg = "workspace_id is required in stage sealed: the legacy copy no longer says whose job it is"
            raise UsageError(msg)
