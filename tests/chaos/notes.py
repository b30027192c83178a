"""Short notes of made-up calls: one job, times in seconds, answers as the processes note them."""

from typing import Any

from chaos.faults import Fault
from chaos.history import Recovery
from chaos.judgement import Notes, judge
from chaos.ledger import GRACE_SECONDS, Op, Seeded
from chaos.sight import Copy, Look, Sight

JOB, WS, BY = "job-1", "acme", "writer-1.1.0"
LEASE = 1.5
CLAIM = "worker-1.1.0"


class Story:
    """Calls one after the other, or at given times."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.at = 10.0

    def call(self, kind: str, answer: dict[str, Any] | None, *, job: str = JOB, name: str = "", **facts: Any) -> Op:
        """A call of half a second, a second after the one before; without an answer it is in doubt."""
        start = facts.pop("start", self.at)
        end = facts.pop("end", start + 0.5)
        times = {"end": end, "latest": end} if answer is not None else {"latest": start + 0.5 + GRACE_SECONDS}
        op = Op(name or f"call-{len(self.ops)}", "actor", kind, job, WS, start, answer=answer, facts=facts, **times)
        self.ops.append(op)
        self.at = max(self.at, start) + 1
        return op

    def enqueue(self, answer: dict[str, Any] | None = None, *, created: bool = True, **facts: Any) -> Op:
        told = {"id": JOB, "created": created} if answer is None else answer
        return self.call("enqueue", told, **{"by": BY, "request": False, "ttl": None, **facts})

    def enqueue_in_doubt(self, **facts: Any) -> Op:
        return self.call("enqueue", None, **{"by": BY, "request": False, "ttl": None, **facts})

    def see(self, status: str | None, mark: str = "", **facts: Any) -> Op:
        return self.call("see", {"saw": None if status is None else sight(status, mark)}, **facts)

    def claim(self, name: str = CLAIM, **facts: Any) -> Op:
        return self.call("claim", {"saw": sight("running")}, job="", name=name, **{"lease": LEASE, **facts})

    def finish(self, answer: dict[str, Any] | None = None, *, mark: str = "m", claim: str = CLAIM, **facts: Any) -> Op:
        told = {"saw": sight("completed", mark)} if answer is None else answer
        return self.call("update", told, claim=claim, status="completed", mark=mark, **facts)

    def finish_in_doubt(self, mark: str = "m") -> Op:
        return self.call("update", None, claim=CLAIM, status="completed", mark=mark)

    def delete(self, *, deleted: bool | None = True, **facts: Any) -> Op:
        return self.call("delete", None if deleted is None else {"deleted": deleted}, **facts)

    def look(self, stage: str, legacy: Copy | None, scoped: Copy | None, epoch: str = "1") -> Op:
        looks = [Look(JOB, WS, legacy, scoped)]
        return self.call("look", {"stage": stage, "epoch": epoch, "looks": looks}, job="")

    def faults(self, *recoveries: Recovery, seeds: tuple[Seeded, ...] = ()) -> list[Fault]:
        return judge(Notes.of(seeds, recoveries, sorted(self.ops, key=lambda op: op.start)))

    def kinds(self, *recoveries: Recovery, seeds: tuple[Seeded, ...] = ()) -> list[str]:
        return [fault.kind for fault in self.faults(*recoveries, seeds=seeds)]


def sight(status: str, mark: str = "", *, workspace: str = WS, by: str = BY, missing: str = "") -> Sight:
    return Sight(JOB, workspace, status, mark, by, WS, missing)


def copy(status: str, mark: str = "", *, expires: int = -1, **facts: Any) -> Copy:
    saw = sight(status, mark, **facts)
    return Copy(saw, f"{saw}", expires)


def recovery(cut: float, ended: float) -> Recovery:
    return Recovery("restart", cut, cut + 0.01, ended, ended + 0.1)
