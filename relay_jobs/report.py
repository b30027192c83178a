"""A run's results as a person reads them: the form that asks for approval, and the report at the end. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay_jobs.narrate import (
    FINDINGS,
    OUTCOMES,
    books_table,
    counted,
    duration,
    markdown_table,
    named,
    size,
    verdict_table,
)
from relay_jobs.stages import Stage

Result = Mapping[str, Any]

# Airflow lets whoever may change a task's state set it to success; no form was answered then.
UNASKED = "approved by nobody: the approval was set to success by hand"


def approval_form(results: Mapping[str, Result], triggered_by: str) -> str:
    """The form's text.

    Args:
        results: results of the tasks ``preflight``, ``dry_run``, ``canary`` and ``verify_canary``.
        triggered_by: who triggered the run.
    """
    found, plan, canary, verdict = (results[name] for name in ("preflight", "dry_run", "canary", "verify_canary"))
    parts = (
        _headline(found, plan, triggered_by),
        "### What the dry run counted, and what the canary did",
        _both_books(plan, canary),
        _limits(plan, canary),
        _invalid(found),
        f"### Verification of the canary: {verdict['said']}",
        markdown_table(verdict, FINDINGS, "jobs"),
        "**Approve** begins the full backfill while traffic goes on; it can be paused, throttled and rolled back at "
        "any moment. **Reject** fails this run; what the canary copied stays, and does no harm.",
    )
    return "\n\n".join(part for part in parts if part)


def approval_notice(results: Mapping[str, Result], triggered_by: str, run: str, patience: str, where: str) -> str:
    """What is sent to those who may answer: that a run waits, for what, how long, and where to answer.

    Args:
        results: as for the form.
        triggered_by: who triggered the run.
        run: its name.
        patience: how long it waits.
        where: address of the form.
    """
    found, plan, verdict = (results[name] for name in ("preflight", "dry_run", "verify_canary"))
    invalid = sum((found.get("invalid") or {}).values())
    seconds, memory = found.get("predicted_full_seconds"), found.get("predicted_bytes")
    lines = (
        f"relay_backfill waits for an approval: the full backfill of {named(plan['workspaces'])}",
        f"store {found.get('target', 'unknown')}, run {run}, triggered by {one_line(triggered_by)}",
        f"to copy: {plan.get('would_migrate', 0):,} jobs, predicted {_maybe(seconds, duration)} "
        f"and {_maybe(memory, size)}; invalid: {invalid:,}; canary: {verdict['said']}",
        f"answer within {patience}, else the run fails: {where}",
    )
    return "\n".join(lines)


def one_line(text: str) -> str:
    """A person's text, from which nothing can make another line of a log."""
    return " ".join(text.split())


def _inline(text: str) -> str:
    # No table cell, link or image of the form's Markdown can be made of it.
    return re.sub(r"([\\`*_{}\[\]()<>#+!|])", r"\\\1", one_line(text))


def _headline(found: Result, plan: Result, triggered_by: str) -> str:
    rows = [
        ("Store", found.get("target", "unknown")),
        ("Triggered by", _inline(triggered_by)),
        ("To copy", f"{plan.get('would_migrate', 0):,} jobs"),
        ("Predicted duration, with the verification", _maybe(found.get("predicted_full_seconds"), duration)),
        ("Predicted memory for the second copy", _maybe(found.get("predicted_bytes"), size)),
    ]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join([*lines, "", *(f"- {warning}" for warning in found.get("warnings", ()))])


def _both_books(plan: Result, canary: Result) -> str:
    scopes = (named(plan["workspaces"]), named(canary["workspaces"]))
    rows = ["| keys | dry run of {} | canary: {} | |".format(*scopes), "|---|---:|---:|---|"]
    for name, meaning in (dict(OUTCOMES) | {"migrated": "would be copied; was copied whole"}).items():
        if name in canary:
            planned = plan.get("would_migrate" if name == "migrated" else name, 0)
            rows.append(f"| {name} | {planned:,} | {canary[name]:,} | {meaning} |")
    return "\n".join(rows)


def _limits(plan: Result, canary: Result) -> str:
    ended = [name for name, books in (("dry run", plan), ("canary", canary)) if not books["complete"]]
    return f"Ended at `max_keys`, before the end: {' and '.join(ended)}." if ended else ""


def _invalid(found: Result) -> str:
    reasons: Mapping[str, int] = found.get("invalid") or {}
    if not reasons:
        return ""
    said = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    return f"Invalid records by reason (they are quarantined and stay where they are): {said}"


def _maybe(value: float | None, said: Any) -> str:
    return "unknown" if value is None else str(said(value))


def run_report(results: Mapping[str, Result], *, mode: str, triggered_by: str) -> Iterator[str]:
    """The report at the end of a run, without its next command; steps that were not run are left out."""
    yield f"mode {mode}, triggered by {one_line(triggered_by)}{_approved(mode, results['approval'])}"
    for name, title in (("dry_run", "dry run"), ("canary", "canary")):
        if books := results[name]:
            end = "" if books["complete"] else "; it ended at max_keys"
            yield f"{title}: {books['scanned']:,} keys examined: {counted(_outcomes(books))}{end}"
    if verdict := results["verify_canary"]:
        yield f"verification of the canary: {verdict['said']}, {verdict['equal']:,} jobs equal"
    if full := results["close"]:
        yield f"full backfill, {duration(full['duration_seconds'])}:"
        yield from (f"  {row}" for row in books_table(_outcomes(full), full["pass"]))
    missing = [name for name in ("close", "verification") if mode in {"staged", "full"} and not results[name]]
    yield from (f"{name}: no result, its task was set to success by hand" for name in missing)
    if verdict := results["verification"]:
        yield f"verification: {verdict['said']}"
        yield from (f"  {row}" for row in verdict_table(verdict))


def _approved(mode: str, approval: Result) -> str:
    if mode != "staged":
        return ""
    if not approval:
        return f", {UNASKED}"
    return f", approved by {approval['responded_by']} ({approval['comment']})"


def next_command(
    mode: str,
    stage: Stage | None,
    *,
    workspaces: Sequence[str],
    canary: Sequence[str],
    unacknowledged: int,
    limits: Mapping[str, Any] | None = None,
) -> str:
    """What an operator does after a run that ended well.

    Args:
        mode: of the run.
        stage: the lowest stage in force in its scope.
        workspaces: its scope, empty for all.
        canary: workspaces for a canary: those of the run, or the smallest.
        unacknowledged: quarantined records that nobody has acknowledged.
        limits: what the run's config says of rate, batch, partitions and hours; the next run is given the same.
    """
    if stage in {None, Stage.LEGACY}:
        return f"relay-jobs stage set {'legacy' if stage is None else 'dual_write'}"
    if mode in {"dry_run", "canary"}:
        return _staged_run(workspaces, canary, limits or {})
    acknowledge = (
        "relay-jobs quarantine list, then relay-jobs quarantine ack --reason '...', then " if unacknowledged else ""
    )
    match stage:
        case Stage.DUAL_WRITE:
            return for_each("relay-jobs stage set new_first --legacy-writers-gone", workspaces)
        case Stage.NEW_FIRST:
            return acknowledge + for_each("relay-jobs stage set new_only", workspaces)
        case Stage.NEW_ONLY:
            return "nothing for now: let it soak; back at any time with relay-jobs stage rollback --all"
    return "relay-jobs stage show"


def _staged_run(workspaces: Sequence[str], canary: Sequence[str], limits: Mapping[str, Any]) -> str:
    if not canary:
        return "nothing: the server holds no valid legacy job"
    scope = {"workspaces": list(workspaces)} if workspaces else {}
    conf = {"mode": "staged", "canary_workspaces": list(canary), **scope, **limits}
    return f"airflow dags trigger relay_backfill --conf '{json.dumps(conf)}'"


def for_each(command: str, workspaces: Sequence[str]) -> str:
    """A command for each workspace of a scope, or for all of them."""
    return " && ".join(f"{command} --workspace {workspace}" for workspace in workspaces) or command


def _outcomes(books: Result) -> dict[str, int]:
    return {name: books[name] for name in OUTCOMES if name in books}
