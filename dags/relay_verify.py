"""### Compare every job in both schemas, byte for byte, expiry included

Both directions: every legacy job with its workspace copy, and every workspace copy with its legacy job. Traffic goes
on meanwhile; a job that is just being written is read again before it is called different. The result is recorded in
Redis, and the gates of the stages `new_first` and `new_only` stand on it.

The task fails if anything is different, missing or extra, and names samples by id. `repair` makes unequal copies
equal, one atomic step a job, as the stage in force says which copy is right, and copies what is missing, as a
backfill does but without a rate limit; run it again without `repair` afterwards.
"""

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from relay_jobs.airflow import DEFAULT_ARGS, workspaces_param

PARAMS = {
    "workspaces": workspaces_param("Workspaces", "Which to compare; one id a line, **empty: all of them**."),
    "repair": Param(
        False,  # noqa: FBT003 -- the default of a param
        type="boolean",
        title="Repair",
        description_md="Make unequal copies equal, and copy what is missing, without a rate limit. This writes; the "
        "run then holds the lease, as a backfill does.",
    ),
}

with DAG(
    "relay_verify",
    description="Compare every job in both schemas",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params=PARAMS,
    default_args={**DEFAULT_ARGS},
    max_active_runs=4,  # Comparing excludes nobody; repairing runs exclude each other by the lease in Redis.
    tags=["relay-jobs", "migration"],
):

    @task
    def verification() -> Any:
        """Compares, repairs if asked to, and fails unless everything is equal."""
        from relay_jobs import operations

        return operations.verification(get_current_context())

    verification()
