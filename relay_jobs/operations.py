"""What Airflow's tasks do, one function each: a verb of the migration, its reports into the task's log."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from relay_jobs.following import Mirror, follow, point_out, section, tell, told
from relay_jobs.hook import (
    holding_lease,
    migration,
    owner,
    refuse_unknown,
    run_id,
    run_params,
    triggered_by,
)
from relay_jobs.migration import Migration
from relay_jobs.narrate import Line, Narrator, books_table, duration, named, verdict_table
from relay_jobs.progress import Phase, Verdict
from relay_jobs.report import next_command, run_report
from relay_jobs.runs import Pass

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_VERIFY_LINE_SECONDS = 5.0
_STEPS = ("preflight", "dry_run", "canary", "verify_canary", "approval", "verification")


@told
def preflight(context: "Context") -> dict[str, Any]:
    """Refuse what cannot go well; say what is there and how long it will take."""
    refuse_unknown(context)
    params = run_params(context)
    names = ("mode", "max_keys", "rps", "rps_per_slot", "partitions", "max_hours", "batch")
    found = migration(context).preflight(
        workspaces=params["workspaces"],
        canary_workspaces=params["canary_workspaces"],
        **{name: params[name] for name in names},
    )
    tell(Line(line) for line in found.lines())
    tell(Line(warning, warning=True) for warning in found.warnings)
    return found.as_dict()


@told
def dry_run(context: "Context") -> dict[str, Any]:
    """Count what a backfill would do; nothing is written."""
    params = run_params(context)
    scope = params["workspaces"]
    log.info("dry run of %s: nothing is written", named(scope))
    narrator = Narrator(time.monotonic, dry_run=True)
    terms = {name: params[name] for name in ("max_keys", "rps", "batch")}
    last = follow(context, narrator, migration(context).dry_run(workspaces=scope, **terms))
    books = narrator.books.as_dict(dry_run=True)
    section("What a backfill would do", books_table(books))
    return {**books, "complete": last is not None and last.phase is Phase.DONE, "workspaces": list(scope)}


@told
def canary(context: "Context") -> dict[str, Any]:
    """Copy the jobs of a few workspaces, to their end or to ``max_keys``."""
    params = run_params(context)
    scope = params["canary_workspaces"]
    relay = migration(context)
    with holding_lease(relay, context):
        opened = _open(relay, context, "canary", scope, partitions=1, max_keys=params["max_keys"])
        last = follow(context, Narrator(time.monotonic), relay.walk(opened, 0, owner(context)))
        if last is not None and last.phase is Phase.DONE:
            follow(context, Narrator(time.monotonic), relay.close(opened, owner(context)))
        return _summary(relay, opened)


@told
def open_pass(context: "Context") -> list[dict[str, Any]]:
    """Open the pass, or join the unfinished one; what each mapped task walks."""
    relay = migration(context)
    scope = run_params(context)["workspaces"]
    found = context["ti"].xcom_pull(task_ids="preflight")
    opened = _open(relay, context, "full", scope, partitions=found["partitions"], max_keys=None)
    return [{"opened": opened.as_dict(), "partition": number} for number in range(opened.partitions)]


@told
def walk(context: "Context", opened: Mapping[str, Any], partition: int) -> None:
    """Walk one partition to its end, from its checkpoint."""
    relay = migration(context)
    follow(context, Narrator(time.monotonic), relay.walk(Pass.from_dict(opened), partition, owner(context)))


@told
def close(context: "Context") -> dict[str, Any]:
    """Complete the pass: walk again what another server process has walked, sum up, give the lease back."""
    relay = migration(context)
    opened = Pass.from_dict(context["ti"].xcom_pull(task_ids="full.open")[0]["opened"])
    with holding_lease(relay, context):
        follow(context, Narrator(time.monotonic), relay.close(opened, owner(context)))
        summary = _summary(relay, opened)
    if not summary["complete"]:
        msg = f"the pass is not complete: {summary['errors']:,} keys not copied; mend the cause and clear this task"
        raise AirflowFailException(msg)
    return summary


def verify(context: "Context", scope: Sequence[str], *, partial: bool = False, repair: bool = False) -> dict[str, Any]:
    """Compare every job in both directions; not clean fails the task.

    Args:
        context: of the task.
        scope: workspaces, empty for all.
        partial: the pass ended at ``max_keys``: jobs that it did not reach may be missing.
        repair: mend what is found, as the stage in force decides.
    """
    relay = migration(context)
    log.info("comparing both copies of every job of %s%s", named(scope), ", with repair" if repair else "")
    with holding_lease(relay, context):
        verification = relay.verify(workspaces=scope, repair=repair, run=run_id(context))
        mirror, told = Mirror(context), time.monotonic()
        for step in verification:
            mirror.show({"direction": step.direction, "checked": step.checked, "fraction": round(step.fraction, 4)})
            if step.notice:
                log.warning("%s", step.notice)
            if time.monotonic() - told >= _VERIFY_LINE_SECONDS:
                told = time.monotonic()
                tell([Line(f"{step.fraction:.0%} · {step.checked:,} jobs compared · from the {step.direction} copies")])
    return _judge(verification.verdict, partial=partial)


@told
def verification(context: "Context") -> dict[str, Any]:
    """Compare every job of the run's workspaces, and repair if the run says so."""
    refuse_unknown(context)
    params = run_params(context)
    return verify(context, params["workspaces"], repair=params.get("repair", False))


@told
def verify_canary(context: "Context") -> dict[str, Any]:
    """Compare every job of the canary workspaces."""
    complete = context["ti"].xcom_pull(task_ids="canary")["complete"]
    return verify(context, run_params(context)["canary_workspaces"], partial=not complete)


@told
def report(context: "Context") -> dict[str, Any]:
    """Sum up the run; the last line is the exact next command."""
    params, relay = run_params(context), migration(context)
    tasks = {"close": "full.close"} | {name: name for name in _STEPS}
    results = {name: context["ti"].xcom_pull(task_ids=task) or {} for name, task in tasks.items()}
    tell(map(Line, run_report(results, mode=params["mode"], triggered_by=triggered_by(context))))
    scope = params["workspaces"]
    verdict = results["verification"]
    command = next_command(
        params["mode"],
        relay.ladder.recorded().lowest(scope),
        workspaces=scope,
        canary=params["canary_workspaces"] or results["preflight"]["smallest"],
        unacknowledged=verdict.get("unacknowledged", 0),
    )
    log.info("next: %s", command)
    return {"next_command": command}


def _judge(verdict: Verdict, *, partial: bool) -> dict[str, Any]:
    found = verdict.as_dict()
    point_out(verdict.samples)
    section(f"Verification, in {duration(verdict.duration_seconds)}", verdict_table(found))
    if verdict.repaired:
        log.info("%s jobs were made equal", f"{verdict.repaired:,}")
    # Jobs that a canary with max_keys has not reached are no fault of it.
    passed = not (verdict.different or verdict.extra or verdict.errors) if partial else verdict.verified
    if not passed:
        names = ("different", "missing", "extra", "errors")
        wrong = ", ".join(f"{name} {found[name]:,}" for name in names if found[name])
        msg = f"not clean: {wrong}; look at the samples above, then run: relay-jobs verify --repair"
        raise AirflowFailException(msg)
    if partial and verdict.missing:
        log.warning("%s jobs are missing: the canary ended at max_keys before it reached them", f"{verdict.missing:,}")
    if verdict.quarantined:
        log.warning(
            "%s records are quarantined, %s of them not acknowledged: relay-jobs quarantine list",
            f"{verdict.quarantined:,}",
            f"{verdict.unacknowledged:,}",
        )
    return {**found, "passed": True, "said": "clean as far as it went" if partial else "clean"}


def _open(
    relay: Migration, context: "Context", step: str, scope: tuple[str, ...], *, partitions: int, max_keys: int | None
) -> Pass:
    params = run_params(context)
    opened = relay.open_pass(
        run=run_id(context),
        step=step,
        workspaces=scope,
        partitions=partitions,
        max_keys=max_keys,
        wait=params["on_busy"] == "wait",
        **{name: params[name] for name in ("rps", "rps_per_slot", "batch", "restart")},
    )
    how = "an unfinished pass goes on" if opened.resumed else "a new pass begins"
    walks = "one walk" if opened.partitions == 1 else f"{opened.partitions} partitions"
    log.info("%s: %s, in %s", how, named(scope), walks)
    if opened.note:
        log.warning("the pass starts over: %s", opened.note)
    return opened


def _summary(relay: Migration, opened: Pass) -> dict[str, Any]:
    found = relay.summary(opened)
    title = f"Books of {named(opened.workspaces)}, {duration(found.duration_seconds)}"
    section(title, books_table(found.books.as_dict(), found.total.as_dict()))
    if found.books.invalid or found.books.conflict:
        log.warning(
            "left alone: %s invalid (relay-jobs quarantine list), %s in conflict (relay-jobs verify)",
            f"{found.books.invalid:,}",
            f"{found.books.conflict:,}",
        )
    return {**found.as_dict(), "workspaces": list(opened.workspaces)}
