"""The verdict on all notes of a run: every answer explained, every look whole and equal, every walk complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chaos.faults import DOUBLED, FOREIGN, LOST, PARTIAL, REVIVED, STALE, Fault
from chaos.history import History, Recovery, State, Unexplained, Window
from chaos.ledger import Op, Seeded
from chaos.looks import judge_looks, seen_side
from chaos.sight import SEED_CONTENT, Sight, as_look
from chaos.walks import judge_walks
from chaos.world import CLAIM_LEASE_SECONDS

CHANGES = frozenset({"enqueue", "put", "drop", "delete", "claim", "heartbeat", "update"})


@dataclass
class Notes:
    """All notes of a run, by what they are about."""

    seeds: dict[str, Seeded]
    recoveries: Sequence[Recovery]
    ops: Sequence[Op]
    by_job: dict[str, list[Op]] = field(default_factory=lambda: defaultdict(list))
    claims: list[Window] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def of(cls, seeds: Sequence[Seeded], recoveries: Sequence[Recovery], ops: Sequence[Op]) -> Notes:
        """Sort the notes; what is wrong with an answer by itself is a fault already."""
        notes = cls({row.job: row for row in seeds}, recoveries, ops)
        for op in ops:
            notes._take(op)
        return notes

    def _take(self, op: Op) -> None:
        takers = {"foreign": self._take_foreign, "claim": self._take_claim, "page": self._take_page}
        takers |= {"look": self._take_look, "see": self._take_read, "update": self._take_update}
        takers.get(op.kind, self._add)(op)

    def _add(self, op: Op) -> None:
        self.by_job[op.job].append(op)

    def _take_foreign(self, op: Op) -> None:
        if op.answer and op.answer.get("done"):
            self.faults.append(Fault(FOREIGN, op.job, f"{op.workspace} could {op.facts['what']} it ({op.id})"))

    def _take_page(self, op: Op) -> None:
        for number, row in enumerate(op.answer.get("saw", ()) if op.answer else ()):
            self._saw(op, Sight(*row), f"{op.id}/{number}")

    def _take_look(self, op: Op) -> None:
        for number, row in enumerate(op.answer["looks"] if op.answer else ()):
            look = as_look(row)
            side = seen_side(op.answer["stage"] if op.answer else "", look)
            self._saw(replace(op, job=look.job, workspace=look.workspace), side, f"{op.id}/{number}")

    def _take_read(self, op: Op) -> None:
        if op.answer and "saw" in op.answer:
            self._saw(op, Sight(*op.answer["saw"]) if op.answer["saw"] else None, op.id)

    def _take_update(self, op: Op) -> None:
        if op.answer and "saw" in op.answer:
            self._whole(op, Sight(*op.answer["saw"]))
        self._add(op)

    def _take_claim(self, op: Op) -> None:
        # A claim that was tried again after its lease may have taken one job in vain before the one it names.
        if op.in_doubt or op.end - op.start > CLAIM_LEASE_SECONDS / 2:
            self.claims.append(Window(op.start, op.latest))
        if op.answer and op.answer.get("saw"):
            saw = Sight(*op.answer["saw"])
            self._whole(replace(op, workspace=saw.workspace), saw)
            told = {"saw": (saw.status, saw.mark, saw.content)}
            self._add(replace(op, job=saw.job, workspace=saw.workspace, answer=told))

    def _saw(self, op: Op, saw: Sight | None, name: str) -> None:
        if saw is not None:
            self._whole(op, saw)
        told = {"saw": None if saw is None else (saw.status, saw.mark, saw.content)}
        self._add(replace(op, id=name, kind="see", job=saw.job if saw else op.job, answer=told))

    def _whole(self, op: Op, saw: Sight) -> None:
        if saw.missing:
            self.faults.append(Fault(PARTIAL, saw.job, f"without {saw.missing} ({op.id})"))
        if saw.workspace != op.workspace or saw.owner not in {"", op.workspace}:
            told = f"seen for {op.workspace}, says {saw.workspace}, made for {saw.owner} ({op.id})"
            self.faults.append(Fault(FOREIGN, saw.job, told))


def judge(notes: Notes) -> list[Fault]:
    """Everything that is wrong."""
    leftovers = {row.job for row in notes.seeds.values() if row.leftover}
    return [
        *notes.faults,
        *_judge_histories(notes),
        *judge_looks(notes.ops, notes.recoveries, leftovers),
        *judge_walks(notes.ops, notes.by_job, notes.recoveries),
    ]


def _judge_histories(notes: Notes) -> Iterator[Fault]:
    """Answers without an explanation; each claim in doubt explains one job at most."""
    takers: dict[str, list[int]] = {}
    for job in notes.by_job:
        found = _unexplained(notes, job, ())
        if found is None:
            continue
        beyond = _unexplained(notes, job, notes.claims)
        if beyond is not None:
            yield _fault(job, beyond)
            continue
        fitting = [n for n, claim in enumerate(notes.claims) if _unexplained(notes, job, (claim,)) is None]
        # One that needs two of them is not counted.
        if fitting:
            takers[job] = fitting
    for job in unmatched(takers):
        yield Fault(DOUBLED, job, "taken by a claim that nobody was told of; those in doubt have taken others")


def _unexplained(notes: Notes, job: str, claims: Sequence[Window]) -> Unexplained | None:
    return History(first_state(notes.seeds.get(job)), notes.by_job[job], notes.recoveries, claims).judge()


def unmatched(takers: Mapping[str, Sequence[int]]) -> list[str]:
    """Those that are left if as many as possible get one number each of their own (augmenting paths)."""
    owner: dict[int, str] = {}

    def place(name: str, tried: set[int]) -> bool:
        for number in takers[name]:
            if number not in tried:
                tried.add(number)
                if number not in owner or place(owner[number], tried):
                    owner[number] = name
                    return True
        return False

    return [name for name in takers if not place(name, set())]


def first_state(row: Seeded | None) -> State:
    """What a job is when the run begins."""
    if row is None:
        return State()
    expires = None if row.expires is None else (row.expires, row.expires)
    return State(present=True, status=row.status, mark=row.mark, content=SEED_CONTENT, expires=expires)


def _fault(job: str, found: Unexplained) -> Fault:
    op = found.op
    could = sorted({_told(state) for state in found.states})
    reason = f"{op.kind} {op.facts or ''} was told {op.answer}; could be {', '.join(could)} ({op.id})"
    return Fault(_kind(found), job, reason)


def _told(state: State) -> str:
    return (
        f"{state.status} {state.mark} of {state.content} held by {state.holder or 'nobody'}"
        if state.present
        else "absent"
    )


def _kind(found: Unexplained) -> str:
    """The name of what is wrong; every one of them is an answer that nothing explains."""
    answer, states = found.op.answer or {}, found.states
    there = any(state.present for state in states)
    done = found.op.kind in {"claim", "update", "enqueue", "heartbeat"} and "error" not in answer
    if done and (there or found.op.kind == "enqueue"):
        return DOUBLED
    absent = answer.get("saw", "") is None or answer.get("error") == "JobNotFound" or answer.get("deleted") is False
    if absent:
        return LOST
    return STALE if there else REVIVED


def lost_by_servers(notes: Notes) -> int:
    """Changes that were acknowledged after the moment that their server came back to."""
    return sum(
        not op.in_doubt and op.kind in CHANGES and "error" not in (op.answer or {}) and op.start > recovery.latest
        for recovery in notes.recoveries
        for op in notes.ops
        if op.end <= recovery.begun and op.end > recovery.earliest
    )
