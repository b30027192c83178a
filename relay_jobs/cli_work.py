"""Commands that walk: backfill and verify."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import typer

from relay_jobs.cli_options import URL, Json, Url, Workspaces
from relay_jobs.console import Console, Exit, in_threads
from relay_jobs.errors import UsageError
from relay_jobs.migration import Migration
from relay_jobs.narrate import Narrator, books_table, compared, duration, named, sample_text, verdict_table
from relay_jobs.progress import BatchReport, Phase, Summary, Verdict
from relay_jobs.proving import RecordedVerification
from relay_jobs.report import next_command
from relay_jobs.runs import Pass
from relay_jobs.stages import Stage

_LINE_SECONDS = 2.0
_FULL_SPEED = "Give way to nobody: no one else uses this server."
_ALSO_FOUND = ("repaired", "unindexed", "malformed", "third_generation", "filtered", "unacknowledged")


def backfill(  # noqa: PLR0913 -- one parameter for each option
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be done; write nothing at all.")] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Copy.")] = False,
    workspace: Workspaces = None,
    rps: Annotated[int | None, typer.Option(min=1, help="Examined keys a second at most.")] = None,
    batch: Annotated[str, typer.Option(help="Keys of one SCAN step: auto, or 1 to 10000.")] = "auto",
    max_keys: Annotated[int | None, typer.Option(min=1, help="Stop after so many keys of the scope.")] = None,
    partitions: Annotated[int, typer.Option(min=1, help="A power of two up to 256; walked side by side.")] = 1,
    progress_key: Annotated[str | None, typer.Option(help="Name of the checkpoint; default: by scope.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin from the start.")] = False,
    full_speed: Annotated[bool, typer.Option("--full-speed", help=_FULL_SPEED)] = False,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """One pass over the legacy jobs; an unfinished one resumes, a finished one starts afresh."""
    console = Console(redis_url, as_json)
    with console.guarded():
        if dry_run == execute:
            raise UsageError("give either --dry-run or --execute")
        if full_speed and rps is not None:
            raise UsageError("give either --rps or --full-speed")
        terms: dict[str, Any] = {"workspaces": workspace or (), "max_keys": max_keys, "rps": rps}
        terms |= {"batch": _batch(batch), "full_speed": full_speed}
        migration = console.migration()
        if dry_run:
            _dry_run(console, migration, terms)
            return
        _backfill(
            console, migration, terms | {"partitions": partitions, "progress_key": progress_key, "restart": restart}
        )


def _dry_run(console: Console, migration: Migration, terms: dict[str, Any]) -> None:
    narrator, began = Narrator(time.monotonic, dry_run=True), time.monotonic()
    complete = False
    for report in migration.dry_run(**terms):
        _tell(console, narrator, report)
        complete = report.phase is Phase.DONE
        if console.stop.wanted:
            break
    books = narrator.books.as_dict(dry_run=True)
    seconds = time.monotonic() - began
    console.say(f"dry run: nothing was written, {duration(seconds)}{'' if complete else ', before the end'}")
    for line in books_table(books):
        console.say(line)
    known = migration.quarantine.acknowledged_count()
    eyes = narrator.books.conflict or narrator.books.errors or narrator.books.invalid > known
    console.say("next: relay-jobs backfill --execute")
    facts = {"duration_seconds": round(seconds, 3), "complete": complete}
    console.answer(books | facts, Exit.NEEDS_EYES if eyes and not console.stop.signal else Exit.DONE)


def _backfill(console: Console, migration: Migration, terms: dict[str, Any]) -> None:
    console.name_target(migration)
    opened = migration.open_pass(run=console.run, step="backfill", **terms)
    how = "an unfinished pass goes on" if opened.resumed else "a new pass begins"
    console.say(
        f"{how}: {named(opened.workspaces)}, {opened.partitions} partition{'s' if opened.partitions > 1 else ''}"
    )
    if opened.note:
        console.warn(f"the pass starts over: {opened.note}")
    try:
        _walk(console, migration, opened)
    finally:
        migration.release(console.run)
        summary = migration.summary(opened)
        _say_summary(console, summary)
    unacknowledged = migration.quarantine.unacknowledged(opened.workspaces) if summary.total.invalid else 0
    if unacknowledged:
        console.warn(f"{unacknowledged} quarantined records are not acknowledged: relay-jobs quarantine list")
    eyes = summary.books.errors or summary.books.conflict or unacknowledged
    console.say(f"next: {_after(summary)}")
    facts = {"run": console.run, "target": migration.target, "progress_key": opened.name}
    console.answer(summary.as_dict() | facts, Exit.NEEDS_EYES if eyes and not console.stop.signal else Exit.DONE)


def _walk(console: Console, migration: Migration, opened: Pass) -> None:
    narrator = Narrator(time.monotonic, partitions=opened.partitions)

    def follow(reports: Iterator[BatchReport]) -> None:
        for report in reports:
            _tell(console, narrator, report)
            if console.stop.wanted:
                break

    def walk(number: int) -> None:
        follow(migration.walk(opened, number, f"{console.run}/{number}"))

    if opened.partitions == 1:
        walk(0)
    else:
        in_threads([partial(walk, number) for number in range(opened.partitions)], console.stop)
    if not console.stop.wanted:
        follow(migration.close(opened, f"{console.run}/close"))


def _after(summary: Summary) -> str:
    if not summary.complete:
        return "the same command again goes on where it was"
    return "relay-jobs verify"


def _say_summary(console: Console, summary: Summary) -> None:
    state = "complete" if summary.complete else "not complete: the checkpoint is kept"
    console.say(f"backfill: {state}, {duration(summary.duration_seconds)}")
    for line in books_table(summary.books.as_dict(), summary.total.as_dict()):
        console.say(line)


def verify(
    *,
    workspace: Workspaces = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make unequal copies equal, as the stage says.")] = False,
    full_speed: Annotated[bool, typer.Option("--full-speed", help=_FULL_SPEED)] = False,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Compare every job in both directions: full value and expiry."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        terms: dict[str, Any] = {"workspaces": workspace or (), "repair": repair, "full_speed": full_speed}
        verification = migration.verify(run=console.run, **terms)
        if not _follow(console, verification):
            migration.release(console.run)
            console.warn("stopped before the end: nothing is proven")
            console.answer(verification.verdict.as_dict() | {"verified": False, "complete": False})
            return
        verdict = verification.verdict
        _say_verdict(console, verdict)
        console.say(f"next: {_after_verification(migration, verdict, tuple(workspace or ()))}")
        eyes = not verdict.verified or verdict.unacknowledged
        console.answer(verdict.as_dict(), Exit.NEEDS_EYES if eyes else Exit.DONE)


def _follow(console: Console, verification: RecordedVerification) -> bool:
    """Whether it came to its end."""
    told = time.monotonic()
    for step in verification:
        if step.notice:
            console.warn(step.notice)
        if time.monotonic() - told >= _LINE_SECONDS:
            told = time.monotonic()
            console.say(compared(step))
        if console.stop.wanted:
            return False
    return True


def _say_verdict(console: Console, verdict: Verdict) -> None:
    for sample in verdict.samples:
        console.warn(sample_text(sample))
    console.say(f"verification, {duration(verdict.duration_seconds)}:")
    for line in verdict_table(verdict.as_dict()):
        console.say(line)
    for name in _ALSO_FOUND:
        if number := getattr(verdict, name):
            console.say(f"{name.replace('_', ' ')}: {number:,}")
    if verdict.unacknowledged:
        console.warn("quarantined records are not acknowledged: relay-jobs quarantine list")
    console.say("verified: nothing is lost" if verdict.verified else "not verified")


def _after_verification(migration: Migration, verdict: Verdict, scope: tuple[str, ...]) -> str:
    if verdict.different or verdict.extra or verdict.errors:
        return "relay-jobs verify --repair"
    stage = migration.ladder.recorded().lowest(scope)
    if verdict.missing and stage is not Stage.DUAL_WRITE:
        return "relay_backfill in Airflow, or relay-jobs backfill --execute"
    recorded = migration.ladder.recorded()
    own = [workspace for workspace in scope if recorded.own(workspace)]
    return next_command("full", stage, workspaces=own, canary=(), unacknowledged=verdict.unacknowledged)


def _tell(console: Console, narrator: Narrator, report: BatchReport) -> None:
    for line in narrator.lines(report):
        (console.warn if line.warning else console.say)(line.text)


def _batch(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        msg = f"invalid --batch {text!r:.40}: allowed is auto or a whole number from 1 to 10000"
        raise UsageError(msg)
    return int(text)
