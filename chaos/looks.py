"""What both copies of a job must be at one instant, by the stage of that instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from math import inf

from chaos.faults import PARTIAL, UNEQUAL, Fault
from chaos.history import Recovery
from chaos.ledger import Op
from chaos.sight import Copy, Look, Sight, as_look

LEGACY, DUAL_WRITE, NEW_FIRST, NEW_ONLY = "legacy", "dual_write", "new_first", "new_only"
RUNG = {"": 0, LEGACY: 0, DUAL_WRITE: 1, NEW_FIRST: 2, NEW_ONLY: 3}


_NOTHING = Copy(Sight("", "", "", "", "", "", ""), "", -1)


def whole(copy: Copy | None, workspace: str) -> bool:
    """Whether a key holds a copy of this workspace's job: anything else counts as absent."""
    return copy is not None and copy.sight.workspace == workspace


def seen_side(stage: str, look: Look) -> Sight | None:
    """The copy that the stage reads."""
    legacy = look.legacy.sight if look.legacy and whole(look.legacy, look.workspace) else None
    scoped = look.scoped.sight if look.scoped and whole(look.scoped, look.workspace) else None
    if RUNG[stage] < RUNG[NEW_FIRST]:
        return legacy
    return scoped or (legacy if stage == NEW_FIRST else None)


class Epochs:
    """Since when both schemas are written, as far as anyone has seen; a recovery starts the count afresh."""

    def __init__(self, recoveries: Sequence[Recovery]) -> None:
        self._ends = [recovery.begun for recovery in recoveries]
        self._both: dict[tuple[int, str], float] = {}
        self._proven: dict[tuple[int, str], float] = {}

    def note(self, op: Op) -> None:
        """A look in its turn."""
        where, rung = self._where(op), RUNG[op.answer["stage"]] if op.answer else 0
        if rung >= RUNG[DUAL_WRITE]:
            self._both.setdefault(where, op.end)
        if rung >= RUNG[NEW_FIRST]:
            self._proven.setdefault(where, op.end)

    def both_since(self, op: Op) -> float:
        """The moment from which every library call has written both, as of this look."""
        return self._both.get(self._where(op), inf)

    def proven(self, op: Op) -> bool:
        """Whether the epoch has passed the gate that asks for equal copies."""
        return self._proven.get(self._where(op), inf) <= op.end

    def _where(self, op: Op) -> tuple[int, str]:
        return sum(end <= op.start for end in self._ends), op.answer["epoch"] if op.answer else ""


def judge_looks(ops: Sequence[Op], recoveries: Sequence[Recovery], leftovers: Set[str]) -> Iterator[Fault]:
    """Everything that is wrong with two copies; ``leftovers``: jobs of which a part of a copy was there before."""
    begun = _beginnings(ops)
    epochs = Epochs(recoveries)
    looks = sorted((op for op in ops if op.kind == "look" and op.answer), key=lambda op: op.end)
    for op in looks:
        epochs.note(op)
        for row in op.answer["looks"] if op.answer else ():
            look = as_look(row)
            content = (look.legacy or look.scoped or _NOTHING).sight.content
            since = begun.get(look.job, {}).get(content, -inf)
            yield from _judge_parts(op, look, leftovers)
            yield from _judge_pair(op, look, fresh=since > epochs.both_since(op), proven=epochs.proven(op))


def _beginnings(ops: Sequence[Op]) -> dict[str, dict[str, float]]:
    """By job and content: when the first call began that could make it."""
    begun: dict[str, dict[str, float]] = {}
    for op in ops:
        if op.kind == "enqueue":
            begun.setdefault(op.job, {}).setdefault(op.facts["by"], op.start)
    return begun


def _judge_parts(op: Op, look: Look, leftovers: Set[str]) -> Iterator[Fault]:
    if look.legacy and look.legacy.sight.missing:
        yield Fault(PARTIAL, look.job, f"without {look.legacy.sight.missing} in legacy ({op.id})")
    # A copy that is whole and stale, from before the present epoch, is only equal again after the first gate.
    if look.scoped and "workspace_id" in look.scoped.sight.missing and look.job not in leftovers:
        yield Fault(PARTIAL, look.job, f"without {look.scoped.sight.missing} in its workspace ({op.id})")


def _judge_pair(op: Op, look: Look, *, fresh: bool, proven: bool) -> Iterator[Fault]:
    """What was made or proven since both are written is in both, and the same."""
    stage = op.answer["stage"] if op.answer else ""
    legacy = look.legacy
    scoped = look.scoped if whole(look.scoped, look.workspace) else None
    if RUNG[stage] < RUNG[DUAL_WRITE] or (legacy is None and scoped is None):
        return
    if legacy and scoped and legacy[1:] == scoped[1:]:
        return
    if fresh or (proven and (scoped or stage == NEW_ONLY)):
        told = f"{_told(legacy)} in legacy, {_told(scoped)} in its workspace, {stage} ({op.id})"
        yield Fault(UNEQUAL, look.job, told)


def _told(copy: Copy | None) -> str:
    return f"{copy.sight.status} until {copy.expires_at_ms} ({copy.digest})" if copy else "nothing"
