"""API servers read, update and delete jobs, for the right workspace and for a wrong one."""

from typing import Any

from hypothesis import strategies as st

from relay_jobs.stages import Flags
from tests.machine.audit import Name, claimed_workspace, copy_state, fault, owner, view
from tests.machine.creators import Creators
from tests.machine.ledger import ENDS
from tests.machine.sides import seen
from tests.machine.twin import NAMES, WORKSPACES, acts, names, processes

picks = st.integers(0, 9)
_WRONG = ["workspace", "job_id", "params", "ttl", "status", "result", "error", "cursor", "limit", "worker"]

CALLS = acts(
    "call",
    process=processes,
    name=names,
    pick=picks,
    what=st.sampled_from([*["update"] * 7, "delete", "read", "read", "read all", "wrong", "restart", "restart"]),
    status=st.sampled_from(["next", "next", "next", "running", *ENDS]),
    outcome=st.integers(0, 1),
    off=st.sampled_from(["", "", "read_prefers_new", "read_prefers_new", "new_schema", "legacy_writes"]),
)


class Callers(Creators):
    """Rules of those who call the store."""

    def caller(self, name: Name, pick: int) -> Name:
        """Mostly a job that is there, for its own workspace; sometimes any, sometimes for another workspace."""
        there = self.names()
        if not there or pick > 6:
            return name
        workspace, job_id = there[pick % len(there)]
        return (workspace, job_id) if pick else (next(each for each in WORKSPACES if each != workspace), job_id)

    def call(self, process: int, name: Name, pick: int, what: str, status: str, outcome: int, off: str) -> None:
        """One call of a process, or what cannot be asked for; or the process is started again, and reads."""
        name = self.caller(name, pick)
        if what == "update":
            unended = self.names(lambda known: not known.ended)
            if status == "next" and unended and pick % 5:
                name = unended[pick % len(unended)]
            self.update(process, name, status, outcome, said=off != "")
        elif what == "delete":
            self.delete(process, name)
        else:
            self.step()
            if what == "restart":
                self.restart(process, off)
            elif what == "wrong":
                self.wrong_input(process, _WRONG[pick])
            for each in [name] if what == "read" else NAMES:
                self.get(process, each)

    def get(self, process: int, name: Name) -> None:
        """A job as a process reads it."""
        if self.ledger.barred(process, name[0]):
            self.ask(lambda side: side.stores[process].get_job(name[1], name[0]), "FlagConflict")
            return
        for side in self.sides:
            job = side.stores[process].get_job(name[1], name[0])
            assert (job and seen(job)) == self.shown(process, side, name)

    def shown(self, process: int, side: Any, name: Name) -> Any:
        """A job as a process reads it; one that reads legacy sees what is there."""
        known = self.ledger.jobs.get(name)
        if known and self.ledger.processes[process].legacy_reader:
            differs = view(side.data, "legacy", name) != view(side.data, self.ledger.stage(name[0]), name)
            if differs:
                # Only what an operator has overridden, or sealed, can have made them differ.
                assert name[0] in self.tainted | self.apart or not owner(side.data, name[1])
                kept = view(side.data, "legacy", name)
                return kept and type(known)(*name, dict(kept.value), 0).shown()
        return known and known.shown()

    def update(self, process: int, name: Name, status: str, outcome: int, *, said: bool) -> None:
        """A job's status, to the next or to any."""
        workspace, job_id = name
        if status == "next":
            present = self.ledger.jobs[name].status if name in self.ledger.jobs else ENDS[0]
            status = {"pending": "running", "running": ENDS[outcome]}.get(present, present)
        result = outcome if status in ENDS else None
        error = f"e{outcome}" if status == "failed" else None
        said_workspace = workspace if said else None
        if not said:
            workspace = claimed_workspace(self.sides[0].data, job_id) or ""
        self.step((workspace, job_id))
        wanted = (b"" if result is None else str(result).encode(), (error or "").encode())
        expected = self._expected_update(process, (workspace, job_id), said, status, wanted)
        known = self.ledger.jobs.get((workspace, job_id))
        if known and not isinstance(expected, str):
            self._updated(process, (workspace, job_id), status, wanted)
            expected = known.shown()

        def call(side: Any) -> Any:
            return side.stores[process].update_status(job_id, status, said_workspace, result=result, error=error)

        self.ask(call, expected, seen)

    def _expected_update(self, process: int, name: Name, said: bool, status: str, outcome: Any) -> str | None:
        data = self.sides[0].data
        if not said:
            # Where the legacy copy says nothing of its workspace, the default stage decides.
            if self.ledger.stage(name[0]) == "sealed":
                return "UsageError"
            if fault(data, name[1]):
                return "UsageError" if self.ledger.reversal_owed(name[0]) else "JobNotFound"
        if self.ledger.barred(process, name[0]):
            return "FlagConflict"
        if name not in self.ledger.jobs:
            return "ForeignJob" if owner(data, name[1]) not in {None, name[0]} else "JobNotFound"
        return self.ledger.expected_update(process, name, status, outcome)

    def _updated(self, process: int, name: Name, status: str, outcome: tuple[bytes, bytes]) -> None:
        known = self.ledger.jobs[name]
        if known.status != status:
            self.writing(name)
            known.fields[b"status"] = status.encode()
            if status in ENDS:
                known.fields |= {b"finished_at": self.clock.stamp, b"result": outcome[0]}
                if outcome[1]:
                    known.fields[b"error"] = outcome[1]
                self.ledger.claims.pop(name, None)
            else:
                known.fields[b"started_at"] = self.clock.stamp
        if status in ENDS:
            self.ledger.processes[process].tokens.pop(name, None)

    def delete(self, process: int, name: Name) -> None:
        """A job goes, with both of its copies."""
        workspace, job_id = name
        if not self.same(lambda side: copy_state(side.data, *name)):
            return
        self.step(name)
        known, copy = self.ledger.jobs.get(name), copy_state(self.sides[0].data, *name)
        barred = self.ledger.barred(process, workspace)
        expected = "FlagConflict" if barred else known is not None
        self.ask(lambda side: side.stores[process].delete_job(job_id, workspace), expected)
        if barred:
            return
        self.ledger.processes[process].tokens.pop(name, None)
        self.ledger.claims.pop(name, None)
        if known or copy == "whole" or owner(self.sides[0].data, job_id) == workspace:
            self.ledger.jobs.pop(name, None)
            for side in self.sides:
                left = side.snapshot()
                assert owner(left, job_id) != workspace
                assert copy_state(left, *name) != "whole"
                index = left.get(b"ai:index:" + workspace.encode())
                assert index is None or job_id.encode() not in index.value

    def wrong_input(self, process: int, what: str) -> None:
        """Refused by its words alone."""
        calls: dict[str, tuple[str, Any]] = {
            "workspace": ("InvalidWorkspace", lambda s: s.get_job("j", "no such")),
            "job_id": ("InvalidJobId", lambda s: s.delete_job("j\x1f", "a")),
            "params": ("InvalidPayload", lambda s: s.enqueue("a", "p", "a", {1, 2}, "u")),
            "ttl": ("UsageError", lambda s: s.enqueue("a", "p", "a", 1, "u", ttl_seconds=0)),
            "status": ("InvalidPayload", lambda s: s.update_status("j", "done", "a")),
            "result": ("InvalidPayload", lambda s: s.update_status("j", "running", "a", result=1)),
            "error": ("InvalidPayload", lambda s: s.update_status("j", "completed", "a", error="e")),
            "cursor": ("InvalidCursor", lambda s: s.list_jobs("a", cursor="nonsense")),
            "limit": ("UsageError", lambda s: s.list_jobs("a", limit=0)),
            "worker": ("InvalidJobId", lambda s: s.claim("")),
        }
        expected, call = calls[what]
        self.ask(lambda side: call(side.stores[process]), expected)

    def restart(self, process: int, off: str) -> None:
        """A process is started again, with one of its flags off or with none."""
        stages = set(self.ledger.stages.values())
        refused = {
            "read_prefers_new": "sealed" in stages,
            "new_schema": stages != {"legacy"},
            "legacy_writes": stages != {"sealed"},
        }.get(off, False)
        flags = Flags(**{off: False}) if off else Flags()
        self.ask(lambda side: side.start(process, flags), "FlagConflict" if refused else None)
        if not refused:
            remembered = self.ledger.processes[process]
            remembered.legacy_reader, remembered.tokens = off == "read_prefers_new", {}
