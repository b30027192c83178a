"""What *valid*, *whole* and *equal* mean: the table that the Lua rules follow, and the words for what can be found."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from relay_jobs.errors import UsageError
from relay_jobs.jobs import decode_id, parse_job_id, parse_workspace

Fields = Mapping[bytes, bytes]


class Fault(StrEnum):
    """Why a legacy job is not valid and is quarantined."""

    WRONG_TYPE = "wrong_type"
    NO_WORKSPACE = "no_workspace"
    BAD_WORKSPACE = "bad_workspace"
    BAD_ID = "bad_id"
    ID_MISMATCH = "id_mismatch"


class Outcome(StrEnum):
    """What became of one key that a pass has examined; every key has exactly one."""

    MIGRATED = "migrated"
    EXISTS = "exists"
    CONFLICT = "conflict"
    INVALID = "invalid"
    FILTERED = "filtered"
    GONE = "gone"
    ERRORS = "errors"


class Finding(StrEnum):
    """What a verification finds of one job."""

    EQUAL = "equal"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Copy:
    """One hash with its absolute expiry in milliseconds, -1 without one; ``fields`` is ``None`` for another type."""

    fields: Fields | None
    expires_at: int = -1


def legacy_fault(job_id: bytes, copy: Copy) -> Fault | None:
    """Why a legacy job under this id is not valid, ``None`` if it is."""
    if copy.fields is None:
        return Fault.WRONG_TYPE
    workspace = copy.fields.get(b"workspace_id", b"")
    if not workspace:
        return Fault.NO_WORKSPACE
    if not _accepts(parse_workspace, workspace.decode("latin-1")):
        return Fault.BAD_WORKSPACE
    if not _accepts(parse_job_id, decode_id(job_id)):
        return Fault.BAD_ID
    if copy.fields.get(b"job_id", job_id) != job_id:
        return Fault.ID_MISMATCH
    return None


def is_whole(workspace_id: bytes, job_id: bytes, copy: Copy) -> bool:
    """Whether a hash under a workspace key is that job's copy."""
    fields = copy.fields or {}
    return fields.get(b"workspace_id") == workspace_id and fields.get(b"job_id", job_id) == job_id


def compare(job_id: bytes, legacy: Copy | None, copy: Copy | None) -> Finding:
    """What two copies are to each other; expiry is part of equality, the order of fields is not.

    ``copy`` is what stands under the workspace key that the legacy job names; ``None`` is an absent key.
    """
    if legacy is None:
        return Finding.EXTRA
    if legacy_fault(job_id, legacy) is not None:
        return Finding.QUARANTINED
    assert legacy.fields is not None  # noqa: S101 -- another type is a fault
    if copy is None or not is_whole(legacy.fields[b"workspace_id"], job_id, copy):
        return Finding.MISSING
    return Finding.EQUAL if legacy == copy else Finding.DIFFERENT


def _accepts(parse: object, value: str) -> bool:
    try:
        parse(value)  # type: ignore[operator]
    except UsageError:
        return False
    return True
