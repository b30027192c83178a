"""Relay Jobs: a multi-tenant Redis job store and its live migration to workspace-scoped keys."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay_jobs.errors import RelayJobsError
    from relay_jobs.jobs import Enqueued, Job, JobStatus, NewJob, Page
    from relay_jobs.settings import Settings
    from relay_jobs.stages import Stage
    from relay_jobs.store import JobStore

__all__ = ["Enqueued", "Job", "JobStatus", "JobStore", "NewJob", "Page", "RelayJobsError", "Settings", "Stage"]

_HOMES = {
    "Enqueued": "jobs",
    "Job": "jobs",
    "JobStatus": "jobs",
    "JobStore": "store",
    "NewJob": "jobs",
    "Page": "jobs",
    "RelayJobsError": "errors",
    "Settings": "settings",
    "Stage": "stages",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that parsing a DAG does not import redis.
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
