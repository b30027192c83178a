"""Whether one job's calls have an explanation: an order, within their times, in which each is told what it was told.

The search walks along time and keeps every state that the job can be in (linearizability, decided while going). A call
in doubt may have happened at any moment until it can no longer arrive, or not at all. Where the server has gone back to
an earlier moment, the job is again as it was at that moment; nothing else may undo a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf

from chaos.ledger import Op

TERMINAL = frozenset({"completed", "failed"})
SLACK_SECONDS = 0.5
"""Between the clock of the notes and the server's own, by which jobs expire."""

UNKNOWN = "?"
"""Holder of a claim in doubt: nobody knows which job it took."""


@dataclass(frozen=True, slots=True)
class State:
    """What a job can be; ``lease_until`` is when its claim ends at the earliest, ``expires`` earliest and latest."""

    present: bool = False
    status: str = ""
    mark: str = ""
    content: str = ""
    holder: str = ""
    lease_until: float = 0.0
    requested: str = ""
    expires: tuple[float, float] | None = None

    @property
    def open(self) -> bool:
        return self.present and self.status not in TERMINAL


@dataclass(frozen=True, slots=True)
class Recovery:
    """A server that came back as it was at a moment between ``earliest`` and ``latest``, or took over so."""

    kind: str
    earliest: float
    latest: float
    ended: float
    begun: float


@dataclass(frozen=True, slots=True)
class Window:
    """When a claim in doubt can have taken any job."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Unexplained:
    """The first answer without an explanation, and what it could have been."""

    op: Op
    states: tuple[State, ...]


def enqueue(state: State, op: Op) -> Iterator[State]:
    """A job is made, or a request is repeated, or the id is taken."""
    answer, content = op.answer, op.facts["by"]
    known = op.facts["request"] and state.requested == content
    repeated = known and (answer is None or answer.get("created") is False)
    taken = not known and state.present and (answer is None or answer.get("error") == "JobExists")
    if repeated or taken:
        yield state
    elif not known and not state.present and (answer is None or answer.get("created") is True):
        ttl = op.facts["ttl"]
        expires = None if ttl is None else (op.start + ttl, min(op.latest, op.start + 600) + ttl)
        requested = content if op.facts["request"] else state.requested
        yield State(present=True, status="pending", content=content, requested=requested, expires=expires)


def put(state: State, op: Op) -> Iterator[State]:
    """A process without the library writes a whole job; claims are unknown to it."""
    yield replace(
        state, present=True, status=op.facts["status"], mark=op.facts["mark"], content=op.facts["by"], expires=None
    )


def drop(state: State, op: Op) -> Iterator[State]:
    """A process without the library deletes."""
    if op.answer is None or op.answer["found"] == state.present:
        yield replace(state, present=False)


def delete(state: State, op: Op) -> Iterator[State]:
    """Both copies go; the answer says whether there was a job."""
    if op.answer is None or op.answer.get("deleted") is state.present:
        yield replace(state, present=False, holder="")


def claim(state: State, op: Op) -> Iterator[State]:
    """A worker takes a job that nobody holds (any more)."""
    if state.open and (not state.holder or state.lease_until <= op.end):
        taken = replace(state, status="running", holder=op.id, lease_until=op.start + op.facts["lease"])
        if op.answer is None or _shows(taken, op.answer["saw"]):
            yield taken


def heartbeat(state: State, op: Op) -> Iterator[State]:
    """A holder renews its claim, or is told that it has none."""
    held = state.holder == op.facts["claim"]
    error = None if op.answer is None else op.answer.get("error")
    # A claim outlives the record of its job where that expires.
    if state.expires is not None and error is not None:
        yield state
    elif held and error is None:
        yield replace(state, lease_until=op.start + op.facts["lease"])
    elif not held and (op.answer is None or error == "ClaimLost"):
        yield state


def update(state: State, op: Op) -> Iterator[State]:
    """A worker finishes a job."""
    wanted, mine = (op.facts["status"], op.facts["mark"]), op.facts["claim"]
    error = None if op.answer is None else op.answer.get("error")
    finished = (state.status, state.mark)
    after = state
    if not state.present:
        reason: str | None = "JobNotFound"
    elif state.status in TERMINAL:
        reason = None if finished == wanted else "IllegalTransition"
    elif mine and state.holder != mine:
        reason = "ClaimLost"
    else:
        reason = None if state.status == "running" else "IllegalTransition"
        after = state if reason else replace(state, status=wanted[0], mark=wanted[1], holder="")
    # Its first try may have taken effect, its answer lost, and the job deleted before the second.
    if op.answer is None or error == reason or (error == "JobNotFound" and reason is None):
        yield after


def see(state: State, op: Op) -> Iterator[State]:
    """Someone looks."""
    saw = op.answer["saw"] if op.answer else None
    if (saw is None and not state.present) or (saw is not None and state.present and _shows(state, saw)):
        yield state


def _shows(state: State, saw: Sequence[str]) -> bool:
    status, mark, content = saw
    return (status, content) == (state.status, state.content) and (mark == state.mark or status not in TERMINAL)


RULES = {
    "enqueue": enqueue,
    "put": put,
    "drop": drop,
    "delete": delete,
    "claim": claim,
    "heartbeat": heartbeat,
    "update": update,
    "see": see,
}

Config = tuple[State, frozenset[str]]

_BEGIN, _END, _LOST, _KEEP, _BACK = range(5)
"""At one moment beginnings come first, so that calls that touch may be taken in either order."""


class History:
    """The calls of one job, judged."""

    def __init__(self, first: State, ops: Iterable[Op], recoveries: Sequence[Recovery], claims: Sequence[Window]):
        self._ops = [op for op in ops if not (op.in_doubt and op.kind == "see")]
        self._recoveries, self._claims = recoveries, claims
        self._configs: set[Config] = {(first, frozenset())}
        self._since = -inf
        self._pending: dict[str, Op] = {}
        self._kept: dict[int, set[Config]] = {}

    def judge(self) -> Unexplained | None:
        """The first answer that has no explanation, if there is one."""
        for at, what, number in self._events():
            if what == _BACK:
                self._go_back(number, at)
            else:
                if what != _KEEP and not self._pass(what, self._ops[number], at):
                    op = self._ops[number]
                    could = {state for state, _ in self._closure(at, op) if not _is_over(state, op)}
                    return Unexplained(op, tuple(could))
                self._keep(at)
        return None

    def _pass(self, what: int, op: Op, at: float) -> bool:
        """A call begins, is answered or can no longer arrive; whether there is an explanation still."""
        if what == _BEGIN:
            self._pending[op.id] = op
            return True
        reached = self._closure(at)
        if what == _END:
            reached = {config for config in reached if op.id in config[1]}
        if reached:
            del self._pending[op.id]
            self._configs, self._since = {(state, done - {op.id}) for state, done in reached}, at
        return bool(reached)

    def _events(self) -> list[tuple[float, int, int]]:
        """Time, what, and the number of its call or recovery, in order."""
        events = []
        for number, op in enumerate(self._ops):
            events.append((op.start, _BEGIN, number))
            if not op.in_doubt:
                events.append((op.end, _END, number))
            elif op.latest < inf:
                events.append((op.latest, _LOST, number))
        for number, recovery in enumerate(self._recoveries):
            events += [(recovery.earliest, _KEEP, number), (recovery.latest, _KEEP, number)]
            events.append((recovery.ended, _BACK, number))
        return sorted(events)

    def _keep(self, at: float) -> None:
        """Remember what the job could be between a recovery's earliest and latest moment."""
        for number, recovery in enumerate(self._recoveries):
            if recovery.earliest <= at <= recovery.latest:
                self._kept.setdefault(number, set()).update(self._closure(at))

    def _go_back(self, number: int, at: float) -> None:
        """What is still under way may have been answered by the server that is gone: then nothing is left of it."""
        kept, ways = self._kept.pop(number), list(_subsets(sorted(self._pending)))
        self._configs = {(state, (done & frozenset(self._pending)) | gone) for state, done in kept for gone in ways}
        self._since = at

    def _closure(self, at: float, without: Op | None = None) -> set[Config]:
        """All that the configurations can become by calls under way, expiry and claims in doubt."""
        ghosts = any(window.start <= at and window.end >= self._since for window in self._claims)
        found, fresh = set(self._configs), list(self._configs)
        while fresh:
            state, done = fresh.pop()
            following = [(after, done) for after in _by_itself(state, at, ghosts=ghosts)]
            for name, op in self._pending.items():
                if name not in done and op is not without:
                    following += [(after, done | {name}) for after in _apply(state, op)]
            for config in following:
                if config not in found:
                    found.add(config)
                    fresh.append(config)
        return found


def _subsets(names: Sequence[str]) -> Iterator[frozenset[str]]:
    yield from (frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size))


def _by_itself(state: State, at: float, *, ghosts: bool) -> Iterator[State]:
    if state.present and state.expires is not None and at >= state.expires[0] - SLACK_SECONDS:
        yield replace(state, present=False)
    if ghosts and state.open and (not state.holder or state.lease_until <= at) and state.holder != UNKNOWN:
        yield replace(state, status="running", holder=UNKNOWN, lease_until=0.0)


def _is_over(state: State, op: Op) -> bool:
    """Whether the job must have expired before this call."""
    return state.present and state.expires is not None and op.start > state.expires[1] + SLACK_SECONDS


def _apply(state: State, op: Op) -> Iterator[State]:
    return iter(()) if _is_over(state, op) else RULES[op.kind](state, op)
