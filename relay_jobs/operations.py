"""What Airflow's tasks do, one function each: a verb of the migration, its reports into the task's log."""

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from redis import RedisError

from relay_jobs.comparing import verify
from relay_jobs.errors import RelayJobsError
from relay_jobs.following import Mirror, follow, section, tell, told
from relay_jobs.hook import (
    holding_lease,
    migration,
    of_run,
    owner,
    refuse_other_store,
    refuse_unknown,
    result_of,
    run_id,
    run_params,
    store_name,
    triggered_by,
)
from relay_jobs.migration import Migration
from relay_jobs.narrate import Line, Narrator, books_table, duration, hibernations, named
from relay_jobs.progress import Phase
from relay_jobs.report import UNASKED, for_each, next_command, run_report
from relay_jobs.runs import Pass

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_LIMITS = ("rps", "rps_per_slot", "batch", "partitions", "max_hours")
_STEPS = ("preflight", "dry_run", "canary", "verify_canary", "approval", "verification")


@told
def preflight(context: "Context") -> dict[str, Any]:
    """Refuse what cannot go well; say what is there and how long it will take."""
    refuse_unknown(context)
    params = run_params(context)
    names = ("mode", "max_keys", "rps", "rps_per_slot", "partitions", "max_hours", "batch")
    relay = migration(context)
    if params["on_busy"] == "refuse" and params["mode"] != "dry_run":
        # At once: a later step may have to wait for a slot of the pool, behind the very run that is at work.
        relay.refuse_if_held(run_id(context))
    found = relay.preflight(
        workspaces=params["workspaces"],
        canary_workspaces=params["canary_workspaces"],
        watch=hibernations(lambda text: tell([Line(text, warning=True)])),
        **{name: params[name] for name in names},
    )
    tell(Line(line) for line in found.lines())
    tell(Line(warning, warning=True) for warning in found.warnings)
    return {**found.as_dict(), "store": store_name(relay)}


@told
def dry_run(context: "Context") -> dict[str, Any]:
    """Count what a backfill would do; nothing is written."""
    params = run_params(context)
    scope = params["workspaces"]
    log.info("dry run of %s: nothing is written", named(scope))
    narrator = Narrator(time.monotonic, dry_run=True)
    terms = {name: params[name] for name in ("max_keys", "rps", "batch")}
    last = follow(context, narrator, of_run(context).dry_run(workspaces=scope, **terms))
    books = narrator.books.as_dict(dry_run=True)
    section("What a backfill would do", books_table(books))
    return {**books, "complete": last is not None and last.phase is Phase.DONE, "workspaces": list(scope)}


@told
def canary(context: "Context") -> dict[str, Any]:
    """Copy the jobs of a few workspaces, to their end or to ``max_keys``."""
    params = run_params(context)
    scope = params["canary_workspaces"]
    relay = of_run(context)
    with holding_lease(relay, context):
        opened = _open(relay, context, "canary", scope, partitions=1, max_keys=params["max_keys"])
        last = follow(context, Narrator(time.monotonic), relay.walk(opened, 0, owner(context)))
        if last is not None and last.phase is Phase.DONE:
            follow(context, Narrator(time.monotonic), relay.close(opened, owner(context)))
        return _summary(relay, opened)


def record_answer(context: "Context", answer: str, who: str, why: str) -> bool:
    """Keep an answer to the approval in the store's history; whether that went well.

    An answer is not asked for twice because the store was away when it came: an approval is then recorded by the task
    that opens the pass, which does not open it before.
    """
    try:
        migration(context, who).record_answer(run_id(context), answer, why)
    except (RedisError, RelayJobsError) as error:
        log.warning("the store's history does not have this answer yet: %s", error)
        return False
    return True


@told
def open_pass(context: "Context") -> list[dict[str, Any]]:
    """Open the pass, or join the unfinished one; what each mapped task walks."""
    relay = of_run(context)
    scope = run_params(context)["workspaces"]
    partitions = result_of(context, "preflight")["partitions"]
    _insist_on_record(context)
    _warn_of_changes(relay, context)
    opened = _open(relay, context, "full", scope, partitions=partitions, max_keys=None)
    # Without the workspaces, which are in the run config already and may be a thousand.
    said = {**opened.as_dict(), "workspaces": [], "store": store_name(relay)}
    return [{"opened": said, "partition": number} for number in range(opened.partitions)]


@told
def walk(context: "Context", opened: Mapping[str, Any], partition: int) -> None:
    """Walk one partition to its end, from its checkpoint; a task that was cleared after its end walks again."""
    relay, mirror = migration(context), Mirror(context)
    refuse_other_store(relay, opened["store"])
    again = mirror.ended()
    if again:
        log.info("this task has walked its partition before and was cleared: it is walked again")
    reports = relay.walk(_pass(context, opened), partition, owner(context), again=again)
    follow(context, Narrator(time.monotonic), reports)
    mirror.end()


@told
def close(context: "Context") -> dict[str, Any]:
    """Complete the pass: walk again what another server process has walked, sum up, give the lease back."""
    relay = of_run(context)
    opened = _pass(context, result_of(context, "full.open")[0]["opened"])
    with holding_lease(relay, context):
        follow(context, Narrator(time.monotonic), relay.close(opened, owner(context)))
        summary = _summary(relay, opened)
    if failed := relay.failed_partitions(opened):
        names = ", ".join(f"partition {number + 1} of {opened.partitions}" for number in failed)
        msg = (
            f"{summary['pass']['errors']:,} keys could not be copied, see the logs of {names}: mend the cause, then "
            "clear those tasks of full.walk, with downstream"
        )
        raise AirflowFailException(msg)
    return summary


@told
def verification(context: "Context") -> dict[str, Any]:
    """Compare every job of the run's workspaces, and repair if the run says so."""
    refuse_unknown(context)
    params = run_params(context)
    relay = of_run(context) if "mode" in params else migration(context)
    return verify(relay, context, params["workspaces"], repair=params.get("repair", False))


@told
def verify_canary(context: "Context") -> dict[str, Any]:
    """Compare every job of the canary workspaces; a canary that proved nothing fails it too."""
    walked, relay = result_of(context, "canary"), of_run(context)
    found = verify(relay, context, run_params(context)["canary_workspaces"], partial=not walked["complete"])
    if walked["errors"] or not found["equal"]:
        what = f"{walked['errors']:,} keys could not be copied" if walked["errors"] else "no job was compared"
        raise AirflowFailException(f"the canary proves nothing: {what}")
    return {**found, "server": relay.server.run_id, "epoch": relay.ladder.recorded().epoch}


@told
def report(context: "Context") -> dict[str, Any]:
    """Sum up the run; the last line is the exact next command."""
    params, relay = run_params(context), of_run(context)
    tasks = {"close": "full.close"} | {name: name for name in _STEPS}
    results = {name: context["ti"].xcom_pull(task_ids=task) or {} for name, task in tasks.items()}
    tell(map(Line, run_report(results, mode=params["mode"], triggered_by=triggered_by(context))))
    scope = params["workspaces"]
    verdict = results["verification"]
    verified = bool(verdict) or params["mode"] not in {"staged", "full"}
    command = next_command(
        params["mode"],
        relay.ladder.recorded().lowest(scope),
        workspaces=scope,
        canary=params["canary_workspaces"] or results["preflight"]["smallest"],
        unacknowledged=verdict.get("unacknowledged", 0),
        limits={name: value for name, value in (context["dag_run"].conf or {}).items() if name in _LIMITS},
    )
    command = command if verified else for_each("relay-jobs verify", scope)
    log.info("next: %s", command)
    return {"next_command": command}


def _insist_on_record(context: "Context") -> None:
    answer = context["ti"].xcom_pull(task_ids="approval") or {}
    if context["params"]["mode"] != "staged" or answer.get("recorded"):
        return
    if not answer:
        log.warning(UNASKED)
    relay = migration(context, answer.get("responded_by", "unknown"))
    relay.record_answer(run_id(context), "approved", answer.get("comment", UNASKED))


def _pass(context: "Context", said: Mapping[str, Any]) -> Pass:
    facts = {name: value for name, value in said.items() if name != "store"}
    return Pass.from_dict({**facts, "workspaces": run_params(context)["workspaces"]})


def _warn_of_changes(relay: Migration, context: "Context") -> None:
    canary = context["ti"].xcom_pull(task_ids="verify_canary") or {}
    if canary and canary["server"] != relay.server.run_id:
        log.warning("the server was restarted, or another one took over, since the canary was verified")
    if canary and canary["epoch"] != relay.ladder.recorded().epoch:
        log.warning("a workspace has entered dual_write since the canary was verified")


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
    if found.books.errors:
        log.warning("%s keys could not be copied", f"{found.books.errors:,}")
    title = f"Books of {named(opened.workspaces)}, {duration(found.duration_seconds)}"
    section(title, books_table(found.books.as_dict(), found.total.as_dict()))
    if found.books.invalid or found.books.conflict:
        log.warning(
            "left alone: %s invalid (relay-jobs quarantine list), %s in conflict (relay-jobs verify)",
            f"{found.books.invalid:,}",
            f"{found.books.conflict:,}",
        )
    return {**found.as_dict(), "workspaces": list(opened.workspaces)}
