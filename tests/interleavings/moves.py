"""Moves of the stage: bare ones, which only the ladder's own step guards, and an operator's, with their gates."""

from relay_jobs import Stage
from relay_jobs.errors import Refused
from relay_jobs.ladder import Ladder
from relay_jobs.stages import rungs_between
from tests.interleavings.engines import backfill, verify
from tests.interleavings.operations import Operation
from tests.interleavings.world import Process

LADDER = tuple(Stage)


def _shift(process: Process, by: int) -> None:
    """One rung up or down, whatever a gate would say."""
    ladder = Ladder(process.client)
    recorded = ladder.recorded()
    start = recorded.stages["*"]
    target = LADDER[max(0, min(start.rung + by, Stage.NEW_ONLY.rung))]
    if start is Stage.DUAL_WRITE and by > 0:
        process.world.old_processes_are_gone = True
    rungs = rungs_between(start, target)
    if rungs:
        ladder.move("*", recorded, rungs, {"event": "stage", "by": process.name})


def _set(process: Process, target: Stage) -> bool:
    """The operator's own move, with its gate; a refusal is an answer."""
    process.kind = "gated"
    gone = target is Stage.NEW_FIRST and process.world.stage is Stage.DUAL_WRITE
    process.world.old_processes_are_gone |= gone
    try:
        process.migration.set_stage(target, legacy_writers_gone=gone)
    except Refused:
        return False
    return True


def _next(process: Process, by: int) -> None:
    start = process.world.stage
    _set(process, LADDER[max(0, min(start.rung + by, Stage.NEW_ONLY.rung))])


def set_up(process: Process) -> None:
    """One rung up, through its gate."""
    _next(process, 1)


def set_down_to_dual_write(process: Process) -> None:
    """One rung down, but not into legacy."""
    if process.world.stage.rung > Stage.DUAL_WRITE.rung:
        _next(process, -1)


def turn_dual_write(process: Process) -> None:
    """From legacy to dual_write, or back."""
    _shift(process, 1 if process.world.stage is Stage.LEGACY else -1)


def climb(process: Process) -> None:
    """From dual_write to new_only as an operator goes, with a pass in dual_write; it ends where a gate refuses."""
    process.kind = "backfill"
    backfill(process)
    for repair in (False, False, True):
        if _set(process, Stage.NEW_FIRST):
            break
        process.kind = "repair" if repair else "look"
        verify(process, repair=repair)
    process.kind = "look"
    verify(process)
    _set(process, Stage.NEW_ONLY)


def rollback(process: Process) -> None:
    """Everything above dual_write down to it, running work paused, and on again."""
    process.migration.rollback()
    process.migration.resume()


MOVES = (
    Operation("up", lambda p: _shift(p, 1), "move"),
    Operation("down", lambda p: _shift(p, -1), "move"),
    Operation("set_up", set_up, "gated"),
    Operation("set_down", lambda p: _next(p, -1), "gated"),
    Operation("rollback", rollback, "gated"),
    Operation("climb", climb, "gated"),
)
