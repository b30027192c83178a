"""### Show or move the stage: which schemas are written and read

`legacy` → `dual_write` → `new_first` → `new_only` → `sealed`, one rung at a time upwards; each move up has a gate, and
a refusal lists every reason and what ends it. Downwards and `rollback` go at once. A move reaches every process that
uses the library without a restart.

| `action` | does |
|---|---|
| `show` | the stages in force, and where each comes from |
| `set` | moves the default stage, or that of `workspaces`, to `stage` |
| `rollback` | moves `workspaces`, or with `all` everything, down to `dual_write`, and pauses running backfills |
"""

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from relay_jobs.airflow import DEFAULT_ARGS, workspaces_param
from relay_jobs.stages import Stage

PARAMS = {
    "action": Param(
        "show",
        type="string",
        enum=["show", "set", "rollback"],
        title="Action",
        description_md="`show` changes nothing.",
    ),
    "stage": Param(
        None,
        type=["null", "string"],
        enum=[None, *(stage.value for stage in Stage)],
        values_display={"null": "none", **{stage.value: stage.value for stage in Stage}},
        title="Stage",
        description_md="Where `set` moves to.",
    ),
    "workspaces": workspaces_param(
        "Workspaces", "Whose stage; one id a line, **empty: the default of all that have no stage of their own**."
    ),
    "all": Param(
        False,  # noqa: FBT003 -- the default of a param
        type="boolean",
        title="All",
        description_md="`rollback` of everything above `dual_write`; it has to be said.",
    ),
    "legacy_writers_gone": Param(
        False,  # noqa: FBT003 -- the default of a param
        type="boolean",
        section="Statements",
        title="No old process is left",
        description_md="States that no process without the library writes any more; the move to `new_first` needs it.",
    ),
    "reason": Param(
        None,
        type=["null", "string"],
        maxLength=500,
        section="Statements",
        title="Reason for overriding the gate",
        description_md="Passes a gate that does not hold. It is kept in the history, with who gave it.",
    ),
}

with DAG(
    "relay_stage",
    description="Show or move the migration's stage",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params=PARAMS,
    default_args={**DEFAULT_ARGS},
    # A rollback must not queue behind a move that hangs; a move that was overtaken by another one plans anew.
    max_active_runs=4,
    tags=["relay-jobs", "migration"],
):

    @task
    def move() -> Any:
        """Does what `action` says, and ends with the stages in force and the next command."""
        from relay_jobs import stage_moves

        return stage_moves.move(get_current_context())

    move()
