"""A job as a value: its status table, its fields, and the parsers that guard its ids."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NewType, cast

from relay_jobs.errors import InvalidJobId, InvalidPayload, InvalidWorkspace

WorkspaceId = NewType("WorkspaceId", str)
JobId = NewType("JobId", str)

# Also the pattern of the DAG's params; JSON Schema needs its own anchors.
WORKSPACE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
JOB_ID_MAX_BYTES = 256

_WORKSPACE = re.compile(WORKSPACE_PATTERN)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

# json.dumps and json.loads would make and check these anew for each job.
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_DECODER = json.JSONDecoder()
_JSON_WHITE = " \t\n\r"

# What a reader asks a hash for, in this order; id and workspace it knows.
SHOWN_FIELDS = (
    "status",
    "action_provider",
    "action_name",
    "params",
    "actor_id",
    "result",
    "error",
    "enqueued_at",
    "started_at",
    "finished_at",
)


class JobStatus(StrEnum):
    """Status of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


# What old records say, read as.
STATUS_ALIASES: Mapping[str, JobStatus] = {"error": JobStatus.FAILED}

_STATUSES: Mapping[str, JobStatus] = {**{status.value: status for status in JobStatus}, **STATUS_ALIASES}
# An old record without a readable status was never started by anyone.
_UNREADABLE = JobStatus.PENDING

# Every edge with its reason; what is not here is refused. The same status with the same outcome is no change.
TRANSITIONS: Mapping[tuple[JobStatus, JobStatus], str] = {
    (JobStatus.PENDING, JobStatus.RUNNING): "a worker has taken it",
    (JobStatus.RUNNING, JobStatus.COMPLETED): "the action returned",
    (JobStatus.RUNNING, JobStatus.FAILED): "the action raised or was given up",
}

TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})


@dataclass(frozen=True, slots=True)
class Job:
    """One job as its workspace sees it.

    ``params`` and ``result`` are decoded JSON (a value that is not JSON stays text); the times are aware UTC
    datetimes, or ``None``; unknown fields of the hash are not part of it.
    """

    job_id: str
    status: JobStatus
    action_provider: str
    action_name: str
    params: Any
    workspace_id: str
    actor_id: str
    result: Any
    error: str | None
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be made.

    Attributes:
        action_provider: who executes it.
        action_name: what is executed.
        params: any JSON value.
        client_request_id: a repeat within 24 h gives the first job's id.
        job_id: default: a new UUID.
        ttl_seconds: lifetime of the job's record; default: unlimited.
    """

    action_provider: str
    action_name: str
    params: Any
    client_request_id: str | None = None
    job_id: str | None = None
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Answer to an enqueue: the job's id, and whether this call created it."""

    job_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next_cursor`` is ``None`` at its end."""

    items: tuple[Job, ...]
    next_cursor: str | None


def parse_workspace(value: object) -> WorkspaceId:
    """The workspace id, or :exc:`InvalidWorkspace`."""
    if not isinstance(value, str):
        raise InvalidWorkspace(value)
    return _workspace(value)


# A process meets the same ones over and over; what is none is raised, and not kept.
@lru_cache(maxsize=1024)
def _workspace(value: str) -> WorkspaceId:
    if not _WORKSPACE.fullmatch(value):
        raise InvalidWorkspace(value)
    return WorkspaceId(value)


def job_id_bytes(value: object, what: str = "job id") -> bytes:
    """Bytes of an id (1 to 256 of them, no control characters), or :exc:`InvalidJobId`."""
    try:
        raw = encode_id(value) if isinstance(value, str) else b""
    except UnicodeEncodeError:
        raise InvalidJobId(value, what) from None
    if not 1 <= len(raw) <= JOB_ID_MAX_BYTES or _CONTROL.search(raw):
        raise InvalidJobId(value, what)
    return raw


def parse_job_id(value: object, what: str = "job id") -> JobId:
    """The id, or :exc:`InvalidJobId`; see :func:`job_id_bytes`."""
    job_id_bytes(value, what)
    return JobId(cast("str", value))


def parse_status(value: object) -> JobStatus:
    """The status, or :exc:`InvalidPayload` naming those that exist."""
    try:
        return JobStatus(value)  # type: ignore[arg-type]
    except ValueError:
        allowed = ", ".join(JobStatus)
        msg = f"invalid status {value!r:.80}: allowed are {allowed}"
        raise InvalidPayload(msg) from None


def encode_id(value: str) -> bytes:
    """Bytes of an id; ids that are not UTF-8 travel as surrogates, so that they come back unchanged."""
    return value.encode("utf-8", "surrogateescape")


def decode_id(raw: bytes) -> str:
    """Inverse of :func:`encode_id`."""
    return raw.decode("utf-8", "surrogateescape")


def encode_text(value: object, what: str) -> bytes:
    """Text as it is stored, or :exc:`InvalidPayload`."""
    if not isinstance(value, str):
        msg = f"{what} must be text, not {type(value).__name__}"
        raise InvalidPayload(msg)
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Not chained: that error carries the whole text.
        msg = f"{what} cannot be stored as UTF-8"
        raise InvalidPayload(msg) from None


def encode_json(value: Any, what: str) -> bytes:
    """Canonical JSON, so that equal values are equal bytes; :exc:`InvalidPayload` where there is none."""
    try:
        return _ENCODE(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # The type of the error only: its text may quote the value.
        msg = f"{what} cannot be stored as JSON ({type(error).__name__})"
        raise InvalidPayload(msg) from None


def job_from_row(workspace_id: str, row: Sequence[Any]) -> Job:
    """A job as a script answers with it: side, id, and values of :data:`SHOWN_FIELDS`.

    What cannot be decoded is kept as text, never refused.
    """
    _, job_id, *values = row
    status, provider, action, params, actor, result, error, enqueued, started, finished = [
        value.decode("utf-8", "replace") if value else "" for value in values
    ]
    # By position, and nothing looked at that is not there: a page of jobs is read noticeably faster.
    return _job(
        decode_id(job_id),
        _STATUSES.get(status, _UNREADABLE),
        provider,
        action,
        _json(params) if params else None,
        workspace_id,
        actor,
        _json(result) if result else None,
        error or None,
        _time(enqueued) if enqueued else None,
        _time(started) if started else None,
        _time(finished) if finished else None,
    )


# The same slots, not frozen. A frozen dataclass calls object.__setattr__ for each field: a third of what decoding took.
_Draft = make_dataclass("_Draft", [field.name for field in fields(Job)], slots=True)


def _job(*values: Any) -> Job:
    """A job of the values of all fields, in their order."""
    job: Any = _Draft(*values)
    job.__class__ = Job
    return cast("Job", job)


def _json(text: str) -> Any:
    try:
        # As `decode` does it, in half the time: that looks for white space by pattern.
        bare = text.strip(_JSON_WHITE)
        value, end = _DECODER.raw_decode(bare)
        return value if end == len(bare) else text
    except (ValueError, RecursionError):
        return text


def _time(text: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(text)
        if value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
