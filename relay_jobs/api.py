"""The HTTP API that tenants see, as an ASGI application on one store."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

import anyio
import anyio.to_thread
import redis
from fastapi import FastAPI
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from relay_jobs.api_metrics import ApiMetrics
from relay_jobs.api_middleware import Envelope
from relay_jobs.api_problems import UNAVAILABLE, Problem, kind_of, kind_of_status, response
from relay_jobs.api_routes import router
from relay_jobs.api_schema import describe
from relay_jobs.api_tenants import Tenants
from relay_jobs.errors import RelayJobsError
from relay_jobs.settings import Settings
from relay_jobs.store import JobStore
from relay_jobs.terms import DEFAULT_THREADS

# Besides those that serve tenants.
HEALTH_THREADS = 2

_log = logging.getLogger(__name__)

_ABOUT = """\
Queue actions and read the jobs that they became, for the workspace of one API key.

Every refusal is problem JSON (RFC 9457); compare its `type`.
"""


def create_app(
    client: "redis.Redis",
    settings: Settings | None = None,
    *,
    threads: int = DEFAULT_THREADS,
    workspace_metrics: bool = False,
) -> FastAPI:
    """The application.

    Args:
        client: a ``redis.Redis`` of the job store; every request uses its pool, a connection for each thread at
            most and two for ``/healthz``.
        settings: default: from the environment.
        threads: requests that are served at once; the others wait. The pool's size bounds it.
        workspace_metrics: name workspaces in ``/metrics``; for an address that no tenant can reach.

    Raises:
        UnsupportedServer: a cluster, Redis below 7.0, or a server or user without a command that it needs.
        FlagConflict: an environment flag contradicts the recorded stage.
    """
    settings = settings or Settings.from_env()
    metrics = ApiMetrics(settings.max_workspace_labels if workspace_metrics else 0)
    store = JobStore(client, settings, metrics=metrics.store)
    served = min(threads, client.connection_pool.max_connections)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = served
        yield

    app = FastAPI(
        title="Relay Jobs",
        version=version("relay-jobs"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.tenants = Tenants(client, store, settings.retry_attempts)
    app.state.answers, app.state.answering = client.ping, anyio.CapacityLimiter(HEALTH_THREADS)
    app.state.registry = metrics.registry
    app.include_router(router)
    for kind in (HTTPException, Problem, RedisError, RelayJobsError):
        app.add_exception_handler(kind, _refuse)
    app.add_middleware(Envelope, metrics=metrics)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    match error:
        case Problem():
            return response(error)
        case HTTPException():
            return response(Problem(kind_of_status(error.status_code), headers=error.headers))
    kind = kind_of(error)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # The log says what it is, by its type and place.
        raise error
    if kind is UNAVAILABLE:
        _log.warning("%s: %s", kind.name, type(error).__name__)
    return response(Problem(kind))
