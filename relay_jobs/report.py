"""A run's results as a person reads them: the form that asks for approval, and the report at the end. Pure."""

import json
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


def _headline(found: Result, plan: Result, triggered_by: str) -> str:
    rows = [
        ("Store", found.get("target", "unknown")),
        ("Triggered by", triggered_by),
        ("To copy", f"{plan.get('would_migrate', 0):,} jobs"),
        ("Predicted duration", _maybe(found.get("predicted_seconds"), duration)),
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
    approval = results["approval"]
    by = f", approved by {approval['responded_by']}" if approval else ""
    comment = f" ({approval['comment']})" if approval.get("comment") else ""
    yield f"mode {mode}, triggered by {triggered_by}{by}{comment}"
    for name, title in (("dry_run", "dry run"), ("canary", "canary")):
        if books := results[name]:
            end = "" if books["complete"] else "; it ended at max_keys"
            yield f"{title}: {books['scanned']:,} keys examined: {counted(_outcomes(books))}{end}"
    if verdict := results["verify_canary"]:
        yield f"verification of the canary: {verdict['said']}, {verdict['equal']:,} jobs equal"
    if full := results["close"]:
        yield f"full backfill, {duration(full['duration_seconds'])}:"
        yield from (f"  {row}" for row in books_table(_outcomes(full), full["pass"]))
    if verdict := results["verification"]:
        yield f"verification: {verdict['said']}"
        yield from (f"  {row}" for row in verdict_table(verdict))


def next_command(
    mode: str, stage: Stage | None, *, workspaces: Sequence[str], canary: Sequence[str], unacknowledged: int
) -> str:
    """What an operator does after a run that ended well.

    Args:
        mode: of the run.
        stage: the lowest stage in force in its scope.
        workspaces: its scope, empty for all.
        canary: workspaces for a canary: those of the run, or the smallest.
        unacknowledged: quarantined records that nobody has acknowledged.
    """
    if mode in {"dry_run", "canary"}:
        conf = {"mode": "staged", "canary_workspaces": list(canary)} | (
            {"workspaces": list(workspaces)} if workspaces else {}
        )
        return f"airflow dags trigger relay_backfill --conf '{json.dumps(conf)}'"
    acknowledge = (
        "relay-jobs quarantine list, then relay-jobs quarantine ack --reason '...', then " if unacknowledged else ""
    )
    match stage:
        case Stage.DUAL_WRITE:
            return _for_each("relay-jobs stage set new_first --legacy-writers-gone", workspaces)
        case Stage.NEW_FIRST:
            return acknowledge + _for_each("relay-jobs stage set new_only", workspaces)
        case Stage.NEW_ONLY:
            return "nothing for now: let it soak; back at any time with relay-jobs stage rollback --all"
    return "relay-jobs stage show"


def _for_each(command: str, workspaces: Sequence[str]) -> str:
    return " && ".join(f"{command} --workspace {workspace}" for workspace in workspaces) or command


def _outcomes(books: Result) -> dict[str, int]:
    return {name: books[name] for name in OUTCOMES if name in books}
