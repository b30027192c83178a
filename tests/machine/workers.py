"""Workers: they claim jobs, hold them by heartbeat, and are sometimes too late."""

from functools import partial
from typing import Any

from hypothesis import strategies as st

from tests.machine.audit import Name, claimed_workspace, fault
from tests.machine.callers import Callers
from tests.machine.sides import seen
from tests.machine.twin import acts, names, processes

LONG_AGO = 1

WORK = acts(
    "work",
    process=processes,
    worker=st.sampled_from(["w1", "w2"]),
    name=names,
    what=st.sampled_from(["claim", "claim", "claim", "beat", "beat", "lapse", "lapse all", "lose", "late", "late"]),
)


class Workers(Callers):
    """Rules of those who execute jobs."""

    def work(self, process: int, worker: str, name: Name, what: str) -> None:
        """A worker asks for a job or says that it still has one; or leases end, one of them or all."""
        held = list(self.ledger.claims)
        if what == "claim" or not held:
            self.claim(process, worker)
        elif what == "beat":
            name = held[process % len(held)] if name[0] == "a" else name
            worker = self.ledger.claims[name].worker if name in self.ledger.claims and worker == "w1" else worker
            self.heartbeat(process, worker, name)
        elif what == "lapse all":
            self.leases_end(set(held))
        else:
            lost = held[len(name[1]) % len(held)]
            self.leases_end({lost})
            if what != "lapse":
                # The same worker, in this process or the other one.
                self.and_then(self.claim, process, self.ledger.claims[lost].worker)
            if what == "late":
                late = partial(self.update, said=True)
                self.and_then(late, 1 - process, lost, "next", process)

    def claim(self, process: int, worker: str) -> None:
        """The next job, or none."""
        if not self.claims_agree():
            return
        self.step()
        expected = self._next(process, worker)
        self.ask(lambda side: side.stores[process].claim(worker), expected, lambda job: job and seen(job))

    def claims_agree(self) -> bool:
        """A repair that has removed a claimed job's copy on one side only leaves the other side its claim."""
        return self.same(lambda side: set(side.client.zrange("ai:migration:claims", 0, -1)))

    def _next(self, process: int, worker: str) -> Any:
        """What a claim gives: an expired one first, then along the queue."""
        lapsed = [name for name, claim in self.ledger.claims.items() if claim.lapsed]
        for name in sorted(lapsed, key=lambda name: f"\x1f{name[0]}\x1f{name[1]}".encode()):
            if self.ledger.barred(process, name[0]):
                return "FlagConflict"
            if self._offered(name):
                return self._taken(name, worker, process)
            del self.ledger.claims[name]
        while self.ledger.queue:
            entry = self.ledger.queue[0]
            name = self._named(entry)
            if name and self.ledger.barred(process, name[0]):
                return "FlagConflict"
            del self.ledger.queue[0]
            if name and self._offered(name) and name not in self.ledger.claims:
                return self._taken(name, worker, process)
        return None

    def _named(self, entry: bytes) -> Name | None:
        if entry.startswith(b"\x1f"):
            _, workspace, job_id = entry.decode().split("\x1f", 2)
            return workspace, job_id
        data, job_id = self.sides[0].data, entry.decode()
        why = fault(data, job_id)
        if why not in {"", "absent"}:
            self.ledger.set_aside.append(entry)
        return None if why else (str(claimed_workspace(data, job_id)), job_id)

    def _offered(self, name: Name) -> bool:
        known = self.ledger.jobs.get(name)
        return known is not None and not known.ended

    def _taken(self, name: Name, worker: str, process: int) -> Any:
        known = self.ledger.jobs[name]
        self.touched.add(name)
        self.writing(name)
        if known.status == "pending":
            known.fields |= {b"status": b"running", b"started_at": self.clock.stamp}
        self.ledger.claim(name, worker, process)
        return known.shown()

    def heartbeat(self, process: int, worker: str, name: Name) -> None:
        if not self.claims_agree():
            return
        self.step()
        held = {n: c for n, c in self.ledger.claims.items() if n[1] == name[1] and c.worker == worker}
        own = next((t for n, t in self.ledger.processes[process].tokens.items() if n[1] == name[1]), None)
        claim = next(iter(held.values()), None)
        lost = claim is None or (own is not None and own != claim.token)
        call = self.ask
        call(
            lambda side: side.stores[process].heartbeat(name[1], worker),
            "ClaimLost" if lost else True,
            lambda until: until is not None,
        )
        if claim and not lost:
            claim.lapsed = False

    def leases_end(self, chosen: set[Name]) -> None:
        """Time passes: the leases of some claims end."""
        self.step()
        for name in chosen & self.ledger.claims.keys():
            self.ledger.claims[name].lapsed = True
            member = f"\x1f{name[0]}\x1f{name[1]}".encode()
            for side in self.sides:
                if side.client.zscore("ai:migration:claims", member) is not None:
                    side.client.zadd("ai:migration:claims", {member: LONG_AGO})
