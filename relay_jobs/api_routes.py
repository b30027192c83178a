"""The routes: each is given a tenant, and has no other way to a job."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from relay_jobs import api_problems as problems
from relay_jobs.api_keys import Scope
from relay_jobs.api_models import ExecuteResponse, Health, JobPage, JobView, encode, view
from relay_jobs.api_requests import listing_of, parse_execute, path_id, read_body, require_query
from relay_jobs.api_schema import EXECUTE, LIST, READ, refusals
from relay_jobs.api_tenants import Tenant, Tenants

router = APIRouter()

_Route = TypeVar("_Route", bound=Callable[..., Any])

_ALL = (problems.UNAUTHORIZED, problems.SCOPE, problems.OTHER_IDENTITY, problems.MALFORMED, problems.INTERNAL)


class Admission:
    """Makes a route out of a function of a tenant: the one whose key a request carries.

    The key's look-up and the function share a thread: a second one costs as much as the reading of a job.

    Args:
        scope: what the key has to allow.
        query: names that the query may hold.
    """

    def __init__(self, scope: Scope, *query: str) -> None:
        self._scope, self._query = scope, frozenset(query)

    def __call__(self, serve: Callable[[Tenant, Request], Response]) -> Callable[[Request], Response]:
        """A route without a body."""

        def admitted(request: Request) -> Response:
            return serve(self._tenant(request), request)

        return _said_of(serve, admitted)

    def with_body(self, serve: Callable[[Tenant, bytes], Response]) -> Callable[..., Coroutine[Any, Any, Response]]:
        """A route with a body, read after the look-up: nobody without a key makes this process read."""

        async def admitted(request: Request) -> Response:
            tenant = await run_in_threadpool(self._tenant, request)
            body = await read_body(request)
            return await run_in_threadpool(serve, tenant, body)

        return _said_of(serve, admitted)

    def _tenant(self, request: Request) -> Tenant:
        tenants: Tenants = request.app.state.tenants
        tenant = tenants.admit(request.headers.getlist("authorization"), self._scope)
        # For the log, which names the key and nothing else of a request.
        request.state.key_id = tenant.key.key_id
        require_query(request, tenant.key, self._query)
        return tenant


def _said_of(serve: Callable[..., Response], route: _Route) -> _Route:
    """The route, described as the function is; the function's parameters are not the route's."""
    route.__name__, route.__doc__ = serve.__name__, serve.__doc__
    return route


@router.post(
    "/ai/execute",
    status_code=202,
    summary="Queue actions, all of them or none",
    response_model=ExecuteResponse,
    responses=refusals(*_ALL, problems.CONFLICT, problems.TOO_LARGE, problems.UNAVAILABLE),
    openapi_extra=EXECUTE,
)
@Admission(Scope.WRITE).with_body
def execute(tenant: Tenant, body: bytes) -> Response:
    """Needs the scope `jobs:write`. Repeating a `client_request_id` with the same action gives the first job's id."""
    job_ids = tenant.execute(parse_execute(body, tenant.key).new_jobs())
    return _json({"job_ids": job_ids}, 202)


@router.get(
    "/ai/jobs",
    summary="One page of the workspace's jobs",
    response_model=JobPage,
    responses=refusals(problems.INVALID_CURSOR, *_ALL, problems.UNAVAILABLE),
    openapi_extra=LIST,
)
@Admission(Scope.READ, "status", "limit", "cursor")
def list_jobs(tenant: Tenant, request: Request) -> Response:
    """Needs the scope `jobs:read`. Over a walk every job that exists throughout appears exactly once."""
    page = tenant.jobs(*listing_of(request))
    jobs = [view(job) for job in page.items]
    return _json({"jobs": jobs, "count": len(jobs), "next_cursor": page.next_cursor})


@router.get(
    "/ai/jobs/{job_id:path}",
    summary="One job",
    response_model=JobView,
    responses=refusals(*_ALL, problems.NOT_FOUND, problems.UNAVAILABLE),
    openapi_extra=READ,
)
@Admission(Scope.READ)
def read_job(tenant: Tenant, request: Request) -> Response:
    """Needs the scope `jobs:read`. A job of another workspace is answered exactly as an unknown one."""
    return _json(view(tenant.job(path_id(request))))


@router.get(
    "/healthz",
    summary="Whether the store answers",
    response_model=Health,
    responses=refusals(problems.UNAVAILABLE),
)
async def healthz(request: Request) -> Response:
    """Needs no key."""
    # In threads of its own: while the store hangs, all others wait for it.
    answers: Callable[[], object] = request.app.state.answers
    await anyio.to_thread.run_sync(answers, limiter=request.app.state.answering)
    return _json({"status": "ok"})


@router.get(
    "/metrics",
    summary="Prometheus metrics of this process",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Needs no key; holds no job data, and no workspace unless `serve` was told so."""
    # From memory, without a thread: they may all be waiting for the store.
    registry: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(encode(body), status, media_type="application/json")
