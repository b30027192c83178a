"""The API's description (OpenAPI): every refusal of a route, the schemas, and what FastAPI does not read itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from relay_jobs.api_models import MODELS
from relay_jobs.api_problems import MEDIA_TYPE, RETRY_SECONDS, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE, Kind
from relay_jobs.jobs import JOB_ID_MAX_BYTES
from relay_jobs.listing import LIMIT_MAX

# Jobs on a page of a listing that does not say how many.
LIMIT_DEFAULT = 50

_REF = "#/components/schemas/{model}"

_SECURED: dict[str, Any] = {"security": [{"api_key": []}]}
_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key of `relay-jobs api-key create`."}

EXECUTE: dict[str, Any] = {
    **_SECURED,
    "requestBody": {
        "required": True,
        "description": "At most 512 KiB, nested at most 64 levels deep.",
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(model="ExecuteRequest")},
                "examples": {
                    "one": {
                        "summary": "One action that may be sent again",
                        "value": {
                            "actions": [
                                {
                                    "provider": "mail",
                                    "action": "send",
                                    "params": {"to": "somebody"},
                                    "client_request_id": "order-4711",
                                }
                            ]
                        },
                    }
                },
            }
        },
    },
}


def _parameter(place: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    said = {"name": name, "in": place, "required": place == "path", "schema": schema}
    return {**said, "description": description}


READ: dict[str, Any] = {
    **_SECURED,
    "parameters": [
        # Not refused: an id that no job can have is unknown like any other.
        _parameter(
            "path",
            "job_id",
            "As `POST /ai/execute` gave it, percent-encoded.",
            type="string",
            minLength=1,
            maxLength=JOB_ID_MAX_BYTES,
            examples=["5f0c1d9e"],
        )
    ],
}

LIST: dict[str, Any] = {
    **_SECURED,
    "parameters": [
        _parameter("query", "status", "Only jobs of this status.", **{"$ref": _REF.format(model="JobStatus")}),
        _parameter(
            "query",
            "limit",
            "Most jobs on the page.",
            type="integer",
            minimum=1,
            maximum=LIMIT_MAX,
            default=LIMIT_DEFAULT,
        ),
        _parameter("query", "cursor", "`next_cursor` of the page before; valid for an hour.", type="string"),
    ],
}

_HEADERS: dict[int, dict[str, Any]] = {
    UNAUTHORIZED.status: {"WWW-Authenticate": {"description": "How to ask.", "schema": {"type": "string"}}},
    UNAVAILABLE.status: {
        "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "examples": [RETRY_SECONDS]}}
    },
    TOO_LARGE.status: {"Connection": {"description": "close", "schema": {"type": "string"}}},
}


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that refuses with these kinds."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        known = found.get(kind.status, {})
        said = f"`{kind.type}`: {kind.title}"
        found[kind.status] = {
            "description": f"{known['description']} {said}" if known else said,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemBody")}}},
        }
        if kind.status in _HEADERS:
            found[kind.status]["headers"] = _HEADERS[kind.status]
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description, made once."""
    if not app.openapi_schema:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, said = models_json_schema([(model, "validation") for model in MODELS], ref_template=_REF)
        components = found.setdefault("components", {})
        components.setdefault("schemas", {}).update(said["$defs"])
        components["securitySchemes"] = {"api_key": _SCHEME}
        app.openapi_schema = found
    return app.openapi_schema
