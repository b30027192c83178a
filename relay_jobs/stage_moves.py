"""What the task of relay_stage does: show the stages, or move them."""

import logging
from typing import TYPE_CHECKING, Any

from relay_jobs.errors import UsageError
from relay_jobs.following import told
from relay_jobs.hook import migration, refuse_unknown, run_params
from relay_jobs.ladder import EVERYONE
from relay_jobs.migration import Migration
from relay_jobs.moves import NEXT_COMMANDS, Move
from relay_jobs.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import Context

log = logging.getLogger(__name__)


@told
def move(context: "Context") -> dict[str, str]:
    """Do what ``action`` says; the stages in force afterwards.

    Raises:
        GateRefused: every reason against the move, each with what ends it.
        UsageError: params that do not belong together.
    """
    refuse_unknown(context)
    params = run_params(context)
    wrong = complaint(params)
    if wrong:
        raise UsageError(wrong)
    relay = migration(context)
    moved = False
    # Told as they are made: a refusal of the next one does not hide those before it.
    for each in _move(relay, params, params["workspaces"]):
        _tell(each)
        moved = True
    if not moved and params["action"] != "show":
        log.info("nothing to move: it is there already")
    if params["action"] == "rollback":
        log.info("running work is paused; when you are ready: relay-jobs resume")
    return _show(relay)


def complaint(params: "Mapping[str, Any]") -> str:
    """What is wrong with a combination of params, '' if nothing is."""
    action, chosen = params["action"], bool(params["workspaces"])
    if action == "set" and params["stage"] is None:
        return "action 'set' needs a stage"
    if action != "set" and any(params[name] for name in ("stage", "legacy_writers_gone", "reason")):
        return f"stage, legacy_writers_gone and reason belong to action 'set', not to {action!r}"
    if action != "rollback" and params["all"]:
        return f"all belongs to action 'rollback', not to {action!r}"
    if action == "rollback" and params["all"] == chosen:
        return "action 'rollback' needs either workspaces, or all"
    return ""


def _move(relay: Migration, params: "Mapping[str, Any]", workspaces: "Sequence[str]") -> "Iterator[Move]":
    for scope in workspaces or (None,):
        if params["action"] == "rollback":
            yield from relay.rollback(scope)
        if params["action"] == "set":
            how = {"legacy_writers_gone": params["legacy_writers_gone"], "override": params["reason"]}
            yield relay.set_stage(Stage(params["stage"]), scope, **how)


def _tell(made: Move) -> None:
    name = "default of all workspaces without a stage of their own" if made.scope == EVERYONE else made.scope
    log.info(
        "%s: %s -> %s%s", name, made.before or "nothing recorded", made.after, f" ({made.note})" if made.note else ""
    )
    for reason in made.overridden:
        log.warning("overridden: %s", reason)


def _show(relay: Migration) -> dict[str, str]:
    recorded = relay.ladder.recorded()
    if not recorded.stages:
        log.warning("no stage is recorded: each process goes by its own flags; next: relay-jobs stage set legacy")
    for scope, stage in sorted(recorded.stages.items()):
        log.info("in force: %s %s", "all others" if scope == EVERYONE else scope, stage)
    if default := recorded.of(EVERYONE):
        log.info("next: %s", NEXT_COMMANDS[default])
    return {scope: stage.value for scope, stage in recorded.stages.items()}
