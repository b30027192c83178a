"""Complete list walks: what is there throughout is shown exactly once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from chaos.faults import DOUBLED, LOST, Fault
from chaos.history import Recovery
from chaos.ledger import Op


@dataclass
class Walk:
    """The pages of one walk; not ``whole`` if one of them failed."""

    workspace: str
    start: float
    end: float = inf
    shown: list[str] = field(default_factory=list)
    last: bool = False
    whole: bool = True


def walks(ops: Sequence[Op]) -> Iterator[Walk]:
    """Walks that came to their end."""
    found: dict[str, Walk] = {}
    for op in ops:
        if op.kind != "page":
            continue
        walk = found.setdefault(op.facts["walk"], Walk(op.workspace, op.start))
        if op.answer is None or "error" in op.answer:
            walk.whole = False
            continue
        walk.shown += [row[0] for row in op.answer["saw"]]
        walk.end, walk.last = op.end, op.answer["last"]
    return (walk for walk in found.values() if walk.whole and walk.last)


def judge_walks(
    ops: Sequence[Op], by_job: Mapping[str, Sequence[Op]], recoveries: Sequence[Recovery]
) -> Iterator[Fault]:
    """Everything that is wrong with walks during which the server stayed the same."""
    there = _there(by_job)
    for walk in walks(ops):
        if any(walk.start < recovery.begun and walk.end > recovery.earliest for recovery in recoveries):
            continue
        shown = Counter(walk.shown)
        for job, times in shown.items():
            if times > 1 and not _made_again(by_job[job], walk):
                yield Fault(DOUBLED, job, f"{times} times in one walk of {walk.workspace}")
        for job, since, until in there.get(walk.workspace, ()):
            lost = any(recovery.earliest < since < recovery.begun for recovery in recoveries)
            if since < walk.start and walk.end < until and job not in shown and not lost:
                yield Fault(LOST, job, f"there throughout a walk of {walk.workspace}, and not in it")


def _there(by_job: Mapping[str, Sequence[Op]]) -> dict[str, list[tuple[str, float, float]]]:
    """Jobs without an expiry by workspace: from the answer of what made them to the first intent to delete them."""
    found: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for job, ops in by_job.items():
        made = [op for op in ops if op.kind == "enqueue" and op.answer and op.answer.get("created")]
        if not made or any(op.facts.get("ttl") for op in ops if op.kind == "enqueue"):
            continue
        until = min((op.start for op in ops if op.kind == "delete"), default=inf)
        found[made[0].workspace].append((job, min(op.end for op in made), until))
    return found


def _made_again(ops: Sequence[Op], walk: Walk) -> bool:
    """Whether the job may have been deleted and made anew in the meantime."""
    return any(op.kind in {"enqueue", "put"} and op.latest > walk.start and op.start < walk.end for op in ops)
