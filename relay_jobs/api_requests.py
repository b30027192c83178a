"""What a request says: its body within bounds, its query, the job id in its path."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from math import isinf
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError
from starlette.requests import Request

from relay_jobs.api_keys import ApiKey
from relay_jobs.api_models import ExecuteRequest, known_names
from relay_jobs.api_problems import MALFORMED, OTHER_IDENTITY, TOO_LARGE, Problem, malformed
from relay_jobs.api_schema import LIMIT_DEFAULT
from relay_jobs.jobs import JobStatus, decode_id
from relay_jobs.listing import LIMIT_MAX

BODY_MAX_BYTES = 512 * 1024
DEPTH_MAX = 64
PLACES_MAX = 20
JOBS_PATH = "/ai/jobs/"

_NUMBER = re.compile(r"[0-9]{1,9}")
_STATUSES = frozenset(status.value for status in JobStatus)

# Their messages say what is allowed; those of other errors might quote what was sent.
_TELLING = frozenset(
    {
        "extra_forbidden",
        "list_type",
        "missing",
        "model_type",
        "request_id",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "string_type",
        "too_long",
        "too_short",
    }
)


async def read_body(request: Request) -> bytes:
    """The body, read no further than its bound.

    Raises:
        Problem: it is too large, or is not said to be JSON.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > BODY_MAX_BYTES:
        raise Problem(TOO_LARGE)
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_MAX_BYTES:
            raise Problem(TOO_LARGE)
    _require_json(request.headers.getlist("content-type"))
    return bytes(found)


def parse_execute(body: bytes, key: ApiKey) -> ExecuteRequest:
    """The actions of a body.

    Raises:
        Problem: not JSON, too deep, not as documented, or in another identity than the key's.
    """
    value = parse_json(body)
    if isinstance(value, dict):
        require_identity(value, key)
        actions = value.get("actions")
        for action in actions if isinstance(actions, list) else ():
            if isinstance(action, dict):
                require_identity(action, key)
    try:
        return ExecuteRequest.model_validate(value)
    except ValidationError as error:
        places = error.errors(include_url=False, include_context=False, include_input=False)
    raise Problem(MALFORMED, [place(each) for each in places[:PLACES_MAX]])


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        Problem: no JSON by RFC 8259, a name twice in one object, half a character, or too deep.
    """
    try:
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float)
        if "\\u" in text:
            # Escapes can write half of a character, which no text can hold.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # Not chained: those errors carry the whole body.
        problem = malformed("", "not JSON, a name twice in one object, a number out of range, or nested too deep")
        raise problem from None
    if not _is_within(value, DEPTH_MAX):
        raise malformed("", f"nested deeper than {DEPTH_MAX} levels")
    return value


def require_identity(said: Mapping[str, Any], key: ApiKey) -> None:
    """Refuse whatever names another workspace or actor than the key's."""
    own = {"workspace_id": key.workspace_id, "actor_id": key.actor_id}
    if any(said.get(name) is not None and said[name] != own[name] for name in own):
        raise Problem(OTHER_IDENTITY)


def require_query(request: Request, key: ApiKey, known: frozenset[str]) -> None:
    """Refuse a query with another identity than the key's, with a field that is not documented, or with one twice."""
    pairs = request.query_params.multi_items()
    for name, value in pairs:
        require_identity({name: value}, key)
    names = [name for name, _ in pairs]
    if set(names) - known - {"workspace_id", "actor_id"}:
        raise malformed("?", "a query field that is not documented")
    if len(names) != len(set(names)):
        raise malformed("?", "a query field twice")


def listing_of(request: Request) -> tuple[JobStatus | None, int, str | None]:
    """Status, limit and cursor of a query in which each occurs once at most."""
    said = request.query_params
    limit, status = said.get("limit", str(LIMIT_DEFAULT)), said.get("status")
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= LIMIT_MAX:
        raise malformed("/query/limit", f"not a whole number from 1 to {LIMIT_MAX}, in digits")
    if status is not None and status not in _STATUSES:
        raise malformed("/query/status", f"none of {', '.join(JobStatus)}")
    return None if status is None else JobStatus(status), int(limit), said.get("cursor")


def path_id(request: Request) -> str:
    """The job id in the path, byte by byte as it was sent: ids need not be UTF-8."""
    raw: bytes = request.scope["raw_path"]
    return decode_id(unquote_to_bytes(raw)).removeprefix(JOBS_PATH)


def place(error: Mapping[str, Any]) -> dict[str, str]:
    """Where a validation failed and why, without anything that was sent."""
    known = known_names()
    parts = [str(part) if isinstance(part, int) or part in known else "…" for part in error["loc"]]
    reason = error["msg"] if error["type"] in _TELLING else "not as documented"
    return {"pointer": "".join(f"/{part}" for part in parts), "reason": reason}


def _require_json(types: Sequence[str]) -> None:
    message = Message()
    message["content-type"] = types[0] if len(types) == 1 else ""
    if message.get_content_type() != "application/json":
        raise malformed("", "content-type is not application/json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError
    return value


def _is_within(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, dict | list)]
    return not level


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
