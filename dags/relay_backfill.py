"""### Copy every legacy job to its workspace, while traffic goes on

| `mode` | does |
|---|---|
| `staged` | dry run → canary → verification of the canary → **a person approves** → full backfill → verification |
| `dry_run` | counts what a backfill would do; writes nothing |
| `canary` | copies the canary workspaces and verifies them |
| `full` | copies everything in `workspaces` (all, if empty) and verifies it |

Steps that a mode does not include are skipped. Every SCAN batch ends in a checkpoint in Redis: a retry, a new run and
the command line all continue the same unfinished pass. Nothing here deletes a legacy key.

**Stop or slow it at any moment:** `relay-jobs pause`, `relay-jobs throttle --rps N`; go back to reading the legacy
copies with `relay-jobs stage rollback --all`. In a run with `rps_per_slot`, slots of the pool `relay_backfill` (Admin,
Pools) times it is the rate on the store: more or fewer slots count from the next partition on.

**If a task fails**, its log says why and ends with what to do; then clear it, or trigger a new run: both go on where
it was. The store is the connection `relay_redis`. The trigger dialog's "Backfill" card is Airflow's own term for runs
of past dates and has nothing to do with this one.
"""

from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, get_current_context, task, task_group

from relay_jobs.airflow import DEFAULT_ARGS, POOL, only_in, workspaces_param
from relay_jobs.approval import Promotion

PARAMS = {
    "mode": Param(
        "staged",
        type="string",
        enum=["staged", "dry_run", "canary", "full"],
        values_display={
            "staged": "staged: dry run, canary, approval, full backfill, verification",
            "dry_run": "dry_run: count only, write nothing",
            "canary": "canary: copy and verify the canary workspaces",
            "full": "full: copy and verify, without asking",
        },
        title="Mode",
        description_md="Only `staged` asks a person.",
    ),
    "workspaces": workspaces_param(
        "Workspaces", "Scope of the dry run and the full backfill; one id a line, **empty: all of them**."
    ),
    "canary_workspaces": workspaces_param(
        "Canary workspaces",
        "Copied and verified first; one id a line. `staged` and `canary` need at least one: take small ones.",
    ),
    "max_keys": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        section="Limits",
        title="Keys at most",
        description_md="Ends the dry run and the canary after so many examined keys; never the full backfill.",
    ),
    "rps": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        section="Limits",
        title="Keys a second, all partitions together",
        description_md="Examined keys at most, foreign ones too. Empty: gives way to the tenants.",
    ),
    "rps_per_slot": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        section="Limits",
        title="Keys a second of one partition",
        description_md="What one running partition draws, that is, one slot of the pool `relay_backfill`.",
    ),
    "batch": Param(
        "auto",
        type=["string", "integer"],
        pattern="^(auto|[1-9][0-9]{0,3}|10000)$",
        minimum=1,
        maximum=10000,
        # With examples the form has a field of one line, and sends a number as text.
        examples=["auto", 10, 100, 1000],
        section="Limits",
        title="Keys of one batch",
        description_md="`auto` sizes them by time. A batch blocks the server while it runs.",
    ),
    "partitions": Param(
        "auto",
        type=["string", "integer"],
        enum=["auto", 1, 2, 4, 8, 16, 32, 64, 128, 256],
        section="Limits",
        title="Partitions",
        description_md="Into how many tasks the full backfill is divided. An unfinished pass keeps those it has.",
    ),
    "max_hours": Param(
        24,
        type="number",
        exclusiveMinimum=0,
        section="Limits",
        title="Hours at most",
        description_md="Preflight predicts the duration, and refuses a run that would take longer.",
    ),
    "approval": Param(
        "required",
        type="string",
        enum=["required", "auto"],
        section="Approval and other runs",
        title="Approval",
        description_md="`auto` asks nobody, but still needs a clean canary; who triggered the run is logged.",
    ),
    "on_busy": Param(
        "wait",
        type="string",
        enum=["wait", "refuse"],
        section="Approval and other runs",
        title="When another run is at work",
        description_md="`wait`: until its lease has had the time to expire once (30 s), then fail. `refuse`: at once.",
    ),
    "restart": Param(
        False,  # noqa: FBT003 -- the default of a param
        type="boolean",
        section="Approval and other runs",
        title="Start over",
        description_md="Instead of continuing an unfinished pass.",
    ),
}

with DAG(
    "relay_backfill",
    description="Copy every legacy job to its workspace, while traffic goes on",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params=PARAMS,
    default_args={**DEFAULT_ARGS, "trigger_rule": TriggerRule.NONE_FAILED},
    # Runs exclude each other by the lease in Redis, held only while they work. A run that waits for its approval
    # takes one of these places too, so that there have to be more than one.
    max_active_runs=16,
    tags=["relay-jobs", "migration"],
) as dag:

    @task(retries=2)
    def preflight() -> Any:
        """Refuses what cannot go well, and predicts duration and memory. Writes nothing."""
        from relay_jobs import operations

        return operations.preflight(get_current_context())

    @task(pre_execute=only_in("staged", "dry_run"))
    def dry_run() -> Any:
        """Counts what a backfill of `workspaces` would do. Writes nothing."""
        from relay_jobs import operations

        return operations.dry_run(get_current_context())

    @task(pre_execute=only_in("staged", "canary"), pool=POOL)
    def canary() -> Any:
        """Copies the jobs of `canary_workspaces`."""
        from relay_jobs import operations

        return operations.canary(get_current_context())

    @task(pre_execute=only_in("staged", "canary"))
    def verify_canary() -> Any:
        """Compares every canary job in both schemas. Not clean fails the run."""
        from relay_jobs import operations

        return operations.verify_canary(get_current_context())

    @task_group(
        group_display_name="full: the whole keyspace",
        tooltip="The pass over all workspaces, one task for each partition of the keyspace",
    )
    def full() -> None:
        @task(task_id="open", pre_execute=only_in("staged", "full"))
        def open_pass() -> Any:
            """Takes the lease and opens the pass, or goes on with the unfinished one."""
            from relay_jobs import operations

            return operations.open_pass(get_current_context())

        # Its own rule: where the mode does not include the pass there is nothing to map over, which is no failure.
        @task(
            doc_md="Walks one partition from its checkpoint to its end.",
            pool=POOL,
            trigger_rule=TriggerRule.ALL_SUCCESS,
            # By the task's own arguments, so that it has its name while it runs; bare ones are known afterwards only.
            map_index_template="partition {{ task.op_kwargs.partition + 1 }} of {{ 2 ** task.op_kwargs.opened.bits }}",
        )
        def walk(opened: dict[str, Any], partition: int) -> None:
            from relay_jobs import operations

            operations.walk(get_current_context(), opened, partition)

        @task(pre_execute=only_in("staged", "full"), pool=POOL)
        def close() -> Any:
            """Completes the pass: walks again what another server process has walked, sums up, gives the lease back."""
            from relay_jobs import operations

            return operations.close(get_current_context())

        walk.expand_kwargs(open_pass()) >> close()

    @task(pre_execute=only_in("staged", "full"))
    def verification() -> Any:
        """Compares every job in both schemas. Not clean fails the run; invalid records are a warning."""
        from relay_jobs import operations

        return operations.verification(get_current_context())

    @task
    def report() -> Any:
        """Sums up the run, and ends with the exact next command."""
        from relay_jobs import operations

        return operations.report(get_current_context())

    @task_group(
        prefix_group_id=False,
        group_display_name="rehearsal: nothing is written",
        tooltip="What is there, and what a backfill would do",
    )
    def rehearsal() -> None:
        preflight() >> dry_run()

    @task_group(
        prefix_group_id=False,
        group_display_name="trial: canary and approval",
        tooltip="A few workspaces first, compared, then shown to a person",
    )
    def trial() -> None:
        approval = Promotion(
            task_id="approval",
            pre_execute=only_in("staged"),
            subject="Begin the full backfill?",
            shows=("preflight", "dry_run", "canary", "verify_canary"),
            params={
                "comment": Param(
                    None,
                    type=["null", "string"],
                    maxLength=500,
                    title="Comment",
                    description="Why; kept with the run and said in its report.",
                )
            },
            # Airflow mostly fails an approval that is answered within a second; it then asks again, each time.
            retries=5,
            doc_md="Shows the books of dry run and canary, and waits for a person, with no lease and no worker held.",
        )
        canary() >> verify_canary() >> approval

    rehearsal() >> trial() >> full() >> verification() >> report()
