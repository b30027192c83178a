"""What the HTTP API takes and gives: the documented fields, bounded, and nothing else."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from relay_jobs.enqueueing import JOBS_MAX
from relay_jobs.jobs import Job, JobStatus, NewJob

NAME_MAX = 256
# A request id is at most 256 bytes, so that many characters of any kind fit in a quarter of it.
REQUEST_ID_ASCII_MAX, REQUEST_ID_MAX = 256, 64

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_PLAIN = re.compile(r"[\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _request_id(value: str) -> str:
    limit = REQUEST_ID_ASCII_MAX if _PLAIN.fullmatch(value) else REQUEST_ID_MAX
    if not 1 <= len(value) <= limit or _CONTROL.search(value):
        raise PydanticCustomError("request_id", "1 to 256 ASCII characters or 1 to 64 others, none of them control")
    return value


_REQUEST_ID_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "description": "Repeating it within 24 hours gives the first job's id.",
    "anyOf": [
        {"maxLength": REQUEST_ID_ASCII_MAX, "pattern": r"^[\x20-\x7e]+$"},
        {"maxLength": REQUEST_ID_MAX, "pattern": r"^[^\x00-\x1f\x7f]+$"},
    ],
    "examples": ["order-4711"],
}

Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
RequestId = Annotated[str, AfterValidator(_request_id), WithJsonSchema(_REQUEST_ID_SCHEMA)]
OwnIdentity = Annotated[str | None, Field(description="The API key's own; another one is refused with 403.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Action(_Strict):
    """One action to be executed as a job."""

    provider: Name = Field(description="Who executes it.", examples=["mail"])
    action: Name = Field(description="What is executed.", examples=["send"])
    params: Any = Field(description="Any JSON value, up to 60 levels deep.", examples=[{"to": "somebody"}])
    client_request_id: RequestId | None = None
    workspace_id: OwnIdentity = None
    actor_id: OwnIdentity = None


class ExecuteRequest(_Strict):
    """Actions that are queued all together or not at all."""

    actions: list[Action] = Field(min_length=1, max_length=JOBS_MAX)
    workspace_id: OwnIdentity = None
    actor_id: OwnIdentity = None

    def new_jobs(self) -> list[NewJob]:
        """As the store takes them."""
        return [NewJob(one.provider, one.action, one.params, one.client_request_id) for one in self.actions]


class ExecuteResponse(_Strict):
    """Ids of the jobs, in the order of the actions."""

    job_ids: list[str] = Field(min_length=1, max_length=JOBS_MAX)


class JobView(_Strict):
    """A job as its workspace sees it."""

    job_id: str
    status: JobStatus
    action: str = Field(description="The action's name.")
    result: Any = Field(description="Any JSON value; null while there is none.")
    error: str | None = Field(description="What went wrong; null unless failed.")
    duration_ms: int | None = Field(ge=0, description="From start to end; null until the job has ended.")
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(_Strict):
    """One page of a listing."""

    jobs: list[JobView]
    count: int = Field(ge=0, description="Jobs on this page; it may be short, even empty, and still not the last.")
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null at the end.")


class Health(_Strict):
    """That the store answers."""

    status: str = Field(examples=["ok"])


class Place(_Strict):
    """Where a request is malformed."""

    pointer: str = Field(description="Place in the request; names that are not documented are not repeated.")
    reason: str


class ProblemBody(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(extra="forbid", title="Problem")

    type: str = Field(description="`urn:relay-jobs:problem:…`; what programs compare.")
    title: str
    status: int = Field(ge=400, le=599)
    errors: list[Place] = Field(default_factory=list)


MODELS: tuple[type[BaseModel], ...] = (ExecuteRequest, ExecuteResponse, JobView, JobPage, Health, ProblemBody)


def view(job: Job) -> dict[str, Any]:
    """The documented part of a job, as :class:`JobView` describes it."""
    # No model: a page would spend most of its time on making them.
    return {
        "job_id": job.job_id,
        "status": job.status,
        "action": job.action_name,
        "result": job.result,
        "error": job.error,
        "duration_ms": _duration(job.started_at, job.finished_at),
        "enqueued_at": _time(job.enqueued_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
    }


def encode(body: dict[str, Any]) -> bytes:
    """A response as JSON; a result that Python can read but JSON does not have (NaN) becomes text."""
    try:
        text = _encode(body)
    except ValueError:
        text = _encode(_finite_results(body))
    return text.encode()


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _finite_results(body: dict[str, Any]) -> dict[str, Any]:
    if "jobs" in body:
        return {**body, "jobs": [_finite_results(job) for job in body["jobs"]]}
    return {**body, "result": _finite(body["result"])}


def _finite(result: Any) -> Any:
    try:
        json.dumps(result, allow_nan=False)
    except ValueError:
        return json.dumps(result)
    return result


def _duration(started: datetime | None, finished: datetime | None) -> int | None:
    if started is None or finished is None:
        return None
    # Two clocks may have stamped them.
    return max(0, round((finished - started).total_seconds() * 1000))


def known_names(models: Sequence[type[BaseModel]] = (ExecuteRequest, Action)) -> frozenset[str]:
    """Names of documented fields of a request."""
    return frozenset(name for model in models for name in model.model_fields)
