"""Errors of this package; redis-py's own errors pass through unchanged.

::

    RelayJobsError
    ├── UsageError (ValueError)      bad input, nothing was written
    │   ├── InvalidWorkspace
    │   ├── InvalidJobId
    │   ├── InvalidPayload
    │   ├── InvalidCursor
    │   └── SettingsError
    ├── JobNotFound (LookupError)    unknown to the stage that is in force
    │   └── ForeignJob               the same words, for a job of another workspace
    ├── JobExists                    the job id is taken, whoever has it
    ├── IdempotencyConflict          the request id was used for another payload
    ├── IllegalTransition            the status table has no such edge
    ├── ClaimLost                    another worker holds the job
    ├── WrongType                    a key of the store holds another type
    ├── FlagConflict                 an environment flag contradicts the recorded stage
    ├── UnsupportedServer            cluster, too old, or lacking something
    ├── Refused                      could not run; says what ends it
    │   ├── GateRefused
    │   ├── LeaseHeld
    │   └── NothingRecorded
    └── Interrupted                  what was running has to stop
        ├── Fenced                   another owner has taken over
        └── PassVoid                 the checkpoint no longer means anything

No message carries a value of a job: ids, statuses and reasons only.
"""

from collections.abc import Sequence
from typing import Any


class RelayJobsError(Exception):
    """Root of all errors that this package raises itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By words and fields: a class's own arguments are not those that Exception would call it with.
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[RelayJobsError], args: tuple[Any, ...], fields: dict[str, Any]) -> RelayJobsError:
    error = kind.__new__(kind, *args)
    vars(error).update(fields)
    return error


class UsageError(RelayJobsError, ValueError):
    """Bad input: the message names the input and what is allowed."""


class InvalidWorkspace(UsageError):
    """A workspace id that is not a full match of ``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``."""

    def __init__(self, given: object) -> None:
        self.given = given
        super().__init__(
            f"invalid workspace id {given!r:.80}: allowed are 1 to 64 letters, digits, '_' and '-', "
            "beginning with a letter or digit"
        )


class InvalidJobId(UsageError):
    """A job id that is empty, longer than 256 bytes, or holds a control character."""

    def __init__(self, given: object, what: str = "job id") -> None:
        self.given = given
        super().__init__(f"invalid {what} {given!r:.80}: allowed are 1 to 256 bytes without control characters")


class InvalidPayload(UsageError):
    """A value that cannot be stored as JSON or is not of the documented type."""


class InvalidCursor(UsageError):
    """A list cursor that is malformed, of another listing, or too old."""


class SettingsError(UsageError):
    """An environment value that is not understood, or flags that contradict each other."""


class JobNotFound(RelayJobsError, LookupError):
    """No such job in this workspace."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no job {job_id!r} in this workspace")


class ForeignJob(JobNotFound):
    """The job belongs to another workspace; it reads exactly as an unknown one."""


class JobExists(RelayJobsError):
    """The job id is taken."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job id {job_id!r} is taken")


class IdempotencyConflict(RelayJobsError):
    """The client request id was used before, for another payload."""

    def __init__(self, client_request_id: str) -> None:
        self.client_request_id = client_request_id
        super().__init__(f"client_request_id {client_request_id!r} was used for another payload")


class IllegalTransition(RelayJobsError):
    """The status cannot follow the present one, or the outcome differs from the recorded one."""

    def __init__(self, job_id: str, present: str, wanted: str) -> None:
        self.job_id, self.present, self.wanted = job_id, present, wanted
        why = "with another outcome" if present == wanted else "which the status table does not allow"
        super().__init__(f"job {job_id!r} is {present}; it cannot become {wanted}, {why}")


class ClaimLost(RelayJobsError):
    """The worker's claim has expired and the job was offered to another worker, or was never held."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id!r} is not held by this worker")


class WrongType(RelayJobsError):
    """A key of the store holds another Redis type; nothing was written."""

    def __init__(self, key: str, found: str) -> None:
        self.key, self.found = key, found
        super().__init__(f"key {key!r} is of type {found}; nothing was written")


class FlagConflict(RelayJobsError):
    """An environment flag contradicts the recorded stage; the message names the command that ends it."""


class UnsupportedServer(RelayJobsError):
    """The server cannot give the guarantees: a cluster, older than Redis 7.0, or lacking a command."""


class Refused(RelayJobsError):
    """The call could not run; every reason is listed."""

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        self.what, self.reasons = what, tuple(reasons)
        super().__init__("\n".join([what, *(f"  - {reason}" for reason in self.reasons)]))


class GateRefused(Refused):
    """A move up the ladder whose gate does not hold."""


class NothingRecorded(Refused):
    """A run that writes needs a recorded stage."""


class LeaseHeld(Refused):
    """Another run holds the lease.

    Attributes:
        holder: the run that holds it.
        expires_in: seconds until the lease ends unless renewed.
    """

    def __init__(self, what: str, holder: str, expires_in: float) -> None:
        self.holder, self.expires_in = holder, expires_in
        super().__init__(
            f"{what} is held by {holder}", [f"its lease expires in {expires_in:.0f} s unless renewed; try again then"]
        )


class Interrupted(RelayJobsError):
    """The work had to stop before its end; the checkpoint is as old as its effect."""


class Fenced(Interrupted):
    """Another owner has taken over this run or partition."""


class PassVoid(Interrupted):
    """The checkpoint is void: another server process, database, scope or dual-write epoch."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the checkpoint is void: {reason}")
