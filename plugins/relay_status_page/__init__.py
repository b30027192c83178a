"""The status view: read only, for whoever may see the DAG; no job data, and nothing from other hosts."""

from contextlib import closing
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.pool import Pool
from fastapi import Depends, FastAPI, Response
from fastapi.responses import FileResponse

from relay_jobs.airflow import POOL
from relay_jobs.errors import RelayJobsError

_PATIENCE = 2.0
_FOLDER = Path(__file__).parent
_FILES = {"/": "index.html", "/status.css": "status.css", "/status.js": "status.js"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app() -> FastAPI:
    """The view's application; Airflow puts no login before a plugin's, so each route asks for itself."""
    may_see = Depends(requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id="relay_backfill"))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[may_see])
    for path, name in _FILES.items():
        app.get(path)(_serve(name))
    app.get("/status.json")(status)
    return app


def status(response: Response) -> dict[str, Any]:
    """What the page shows: the migration's status, or why there is none, and what is wrong with this Airflow."""
    from redis import RedisError

    from relay_jobs.hook import connect
    from relay_jobs.migration import Migration

    response.headers.update(_HEADERS)
    warnings = pool_warnings()
    try:
        # The page's requests share the API server's threads with everyone else's.
        with closing(connect(patience_seconds=_PATIENCE)) as client:
            return {"status": Migration(client).status(), "warnings": warnings}
    except (RelayJobsError, RedisError) as error:
        return {"status": None, "warnings": warnings, "error": f"{type(error).__name__}: {error}"}


def pool_warnings() -> list[str]:
    """What would let a run hang without a word."""
    pool = Pool.get_pool(POOL)
    if pool is None:
        return [
            f"The pool {POOL} is missing: tasks that need it stay scheduled for ever. "
            "Import it with: airflow pools import config/pools.json"
        ]
    if pool.slots == 0:
        return [f"The pool {POOL} has no slots: its tasks wait until it has."]
    return []


def _serve(name: str) -> Any:
    def file() -> FileResponse:
        return FileResponse(_FOLDER / name, headers=_HEADERS)

    return file
