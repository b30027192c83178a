"""Every refusal of the HTTP API as problem JSON (RFC 9457): one table, and the mapping of errors onto it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import (
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as NoReply
from starlette.responses import Response

from relay_jobs.errors import FlagConflict, IdempotencyConflict, InvalidCursor, UnsupportedServer, UsageError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem; ``name`` ends its ``type``, which never changes."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URI that programs compare."""
        return f"urn:relay-jobs:problem:{self.name}"


INVALID_CURSOR = Kind("invalid-cursor", 400, "The cursor is malformed, too old, or of another listing.")
BAD_REQUEST = Kind("bad-request", 400, "The request is not understood.")
UNAUTHORIZED = Kind("unauthorized", 401, "A valid API key is needed as a bearer token.")
SCOPE = Kind("insufficient-scope", 403, "The API key does not have the scope that this needs.")
OTHER_IDENTITY = Kind(
    "other-identity", 403, "Workspace and actor come from the API key; the request names another one."
)
NOT_FOUND = Kind("job-not-found", 404, "There is no such job in this workspace.")
NO_ROUTE = Kind("no-such-route", 404, "There is nothing at this path.")
METHOD = Kind("method-not-allowed", 405, "This path does not take this method.")
CONFLICT = Kind("idempotency-conflict", 409, "A client_request_id was used before, for another payload.")
TOO_LARGE = Kind("body-too-large", 413, "The body is larger than 512 KiB.")
MALFORMED = Kind("malformed-request", 422, "The request is well delivered but not as documented.")
INTERNAL = Kind("internal-error", 500, "Something went wrong here.")
UNAVAILABLE = Kind("store-unavailable", 503, "The job store cannot be used at the moment.")

KINDS = (
    INVALID_CURSOR,
    BAD_REQUEST,
    UNAUTHORIZED,
    SCOPE,
    OTHER_IDENTITY,
    NOT_FOUND,
    NO_ROUTE,
    METHOD,
    CONFLICT,
    TOO_LARGE,
    MALFORMED,
    INTERNAL,
    UNAVAILABLE,
)

_BY_STATUS = {404: NO_ROUTE, 405: METHOD}
_TRANSIENT = (LostConnection, NoReply, ReadOnlyError, OutOfMemoryError, MasterDownError, TryAgainError)
# What redis-py has no class for, by the code that an error reply begins with.
_TRANSIENT_CODES = ("BUSY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "UNKILLABLE")


class Problem(Exception):
    """Ends a request with a problem.

    Attributes:
        kind: which.
        errors: for a malformed request, where it is malformed: places, never values.
        headers: of the response.
    """

    def __init__(
        self, kind: Kind, errors: Sequence[Mapping[str, str]] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.kind, self.errors, self.headers = kind, tuple(errors), dict(headers or {})
        super().__init__(kind.name)


def malformed(pointer: str, reason: str) -> Problem:
    """A request that is not as documented, at one place of it."""
    return Problem(MALFORMED, [{"pointer": pointer, "reason": reason}])


def kind_of(error: Exception) -> Kind:
    """The kind of problem that an error of the store or of the framework is."""
    if isinstance(error, InvalidCursor):
        return INVALID_CURSOR
    if isinstance(error, IdempotencyConflict):
        return CONFLICT
    if isinstance(error, UsageError):
        return MALFORMED
    if isinstance(error, FlagConflict | UnsupportedServer) or (isinstance(error, RedisError) and _transient(error)):
        return UNAVAILABLE
    return INTERNAL


def kind_of_status(status: int) -> Kind:
    """The kind of problem behind a status that the framework has chosen."""
    return _BY_STATUS.get(status, BAD_REQUEST)


def response(problem: Problem) -> Response:
    """The problem as it is sent."""
    kind, headers = problem.kind, dict(problem.headers)
    body: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
    if problem.errors:
        body["errors"] = list(problem.errors)
    if kind is UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if kind is TOO_LARGE:
        # The rest of the body is not read.
        headers["Connection"] = "close"
    return Response(json.dumps(body), kind.status, headers, MEDIA_TYPE)


def _transient(error: RedisError) -> bool:
    if isinstance(error, _TRANSIENT):
        return True
    known = isinstance(error, ResponseError) and not isinstance(error, NoPermissionError)
    return known and str(error).startswith(_TRANSIENT_CODES)
