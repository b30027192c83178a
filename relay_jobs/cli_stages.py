"""Commands of the ladder and of the quarantine."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from relay_jobs.cli_options import URL, Json, OneWorkspace, Url
from relay_jobs.console import Console
from relay_jobs.errors import UsageError
from relay_jobs.ladder import EVERYONE
from relay_jobs.moves import Move
from relay_jobs.stages import Stage

StageName = StrEnum("StageName", {stage.name: stage.value for stage in Stage})  # type: ignore[misc]

stage_app = typer.Typer(help="The ladder: where every workspace is, and moves.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Legacy jobs that cannot be moved, and why.", no_args_is_help=True)


@stage_app.command("show")
def stage_show(*, redis_url: Url = URL, as_json: Json = False) -> None:
    """Every recorded stage, and where the stage of all others comes from."""
    console = Console(redis_url, as_json)
    with console.reading() as migration:
        recorded = migration.ladder.recorded()
        default = recorded.stages.get(EVERYONE)
        source = "recorded" if default else "this process's flags"
        stage = default or migration.settings.flag_stage
        console.say(f"{'default':<36} {stage:<12} {source}")
        for name in sorted(set(recorded.stages) - {EVERYONE}):
            console.say(f"{name:<36} {recorded.stages[name]:<12} recorded")
        own = {name: str(found) for name, found in recorded.stages.items() if name != EVERYONE}
        console.answer({"stage": str(stage), "source": source, "workspaces": own, "epoch": recorded.epoch})


@stage_app.command("set")
def stage_set(
    stage: Annotated[StageName, typer.Argument(help="The next rung up, or any rung down.")],
    *,
    workspace: OneWorkspace = None,
    legacy_writers_gone: Annotated[
        bool, typer.Option("--legacy-writers-gone", help="State that no process without the library writes any more.")
    ] = False,
    override: Annotated[str | None, typer.Option(help="Pass a gate that does not hold; the reason is kept.")] = None,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Move the default stage, or a workspace's: up one rung through its gate, down at once."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        move = migration.set_stage(
            Stage(stage.value), workspace, legacy_writers_gone=legacy_writers_gone, override=override
        )
        _say_move(console, move)
        console.say(f"next: {move.next_command}")
        console.answer(_as_dict(move))


@stage_app.command("rollback")
def stage_rollback(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every workspace above dual_write.")] = False,
    workspace: OneWorkspace = None,
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Back to reading the legacy copy, at once: down to dual_write, running backfills paused."""
    console = Console(redis_url, as_json)
    with console.guarded():
        if everything == (workspace is not None):
            raise UsageError("give either --all or --workspace")
        migration = console.migration()
        console.name_target(migration)
        moves = migration.rollback(workspace)
        for move in moves:
            _say_move(console, move)
        if not moves:
            console.say("nothing was above dual_write")
        console.say("running work is paused; when you are ready: relay-jobs resume")
        console.answer({"moves": [_as_dict(move) for move in moves], "paused": True})


def _say_move(console: Console, move: Move) -> None:
    scope = "default" if move.scope == EVERYONE else move.scope
    if not move.rungs:
        console.say(f"{scope}: {move.after} already")
        return
    passed = " → ".join([str(move.before or "not recorded"), *map(str, move.rungs)])
    console.say(f"{scope}: {passed}{f' ({move.note})' if move.note else ''}")
    for reason in move.overridden:
        console.warn(f"overridden: {reason}")
    for text in move.evidence:
        console.warn(text)


def _as_dict(move: Move) -> dict[str, Any]:
    return asdict(move) | {"changed": bool(move.rungs), "next_command": move.next_command}


@quarantine_app.command("list")
def quarantine_list(*, redis_url: Url = URL, as_json: Json = False) -> None:
    """What could not be moved, and why."""
    console = Console(redis_url, as_json)
    with console.guarded():
        records = list(console.migration().quarantine.records())
        for record in records:
            known = "acknowledged" if record.acknowledged else "new"
            console.say(f"{record.reason:<14} {known:<13} {record.workspace_id or '-':<36} {record.job_id!r}")
        console.say(f"{len(records)} quarantined, {sum(not r.acknowledged for r in records)} of them new")
        console.answer({"records": [asdict(record) for record in records]})


@quarantine_app.command("ack")
def quarantine_ack(
    *,
    reason: Annotated[str, typer.Option(help="Why they may stay behind; kept in the history.")],
    redis_url: Url = URL,
    as_json: Json = False,
) -> None:
    """Acknowledge what is quarantined now; new ones block again."""
    console = Console(redis_url, as_json)
    with console.writing() as migration:
        fresh = migration.acknowledge(reason)
        console.say(f"{len(fresh)} acknowledged")
        console.answer({"acknowledged": len(fresh)})
