"""Those who read, and judge every answer by what had been acknowledged before they asked."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from demo.duty import Duty, as_seen, now_ms
from demo.ledger import DELETED, PRESENT, Known, View
from demo.verdicts import FOREIGN, LOST, Fault, Seen, expired, judge, judge_walk, may_be_absent
from demo.world import World
from relay_jobs import JobStore, Page

PAGE = 200


@dataclass
class Reader:
    """Reads single jobs, the recent ones as often as the old ones, and now and then a foreign one."""

    world: World
    store: JobStore
    duty: Duty
    view: View

    def run(self) -> None:
        for number in self.duty.ticks():
            self.view.refresh()
            among = self.view.recent if number % 2 and self.view.recent else self.view.ids
            job_id = random.choice(among)
            known = replace(self.view.jobs[job_id])
            if number % 10 == 9:
                self._foreign(job_id, known)
            else:
                self._own(job_id, known)

    def _own(self, job_id: str, known: Known) -> None:
        asked_at = now_ms()
        with self.duty.call("read", job_id):
            job = self.store.get_job(job_id, known.workspace)
            if job is not None:
                self.duty.fault(judge(known, as_seen(job), known.workspace, asked_at))
            elif not may_be_absent(known, now_ms()):
                # Looked at again only now: a deletion is announced before it is sent.
                self.view.refresh()
                if not may_be_absent(self.view.jobs[job_id], now_ms()):
                    self.duty.fault(Fault(LOST, job_id, f"absent, was {known.status}"))

    def _foreign(self, job_id: str, known: Known) -> None:
        others = [name for name, _ in self.world.workspaces if name != known.workspace]
        other = random.choice(others)
        with self.duty.call("foreign_try", job_id):
            if self.store.get_job(job_id, other) is not None:
                self.duty.fault(Fault(FOREIGN, job_id, f"{other} could read it"))


@dataclass
class Walk:
    """One list walk: what was there when it began, and what it has shown so far."""

    workspace: str
    status: str | None
    before: dict[str, Known]
    begun_at: float
    cursor: str | None = None
    shown: list[str] = field(default_factory=list)


@dataclass
class Lister:
    """Walks the lists of workspaces, page by page; small ones most of the time, large ones too."""

    world: World
    store: JobStore
    duty: Duty
    view: View

    def run(self) -> None:
        walk: Walk | None = None
        for number in self.duty.ticks():
            walk = self._begin(number) if walk is None else walk
            walk = self._go_on(walk)

    def _go_on(self, walk: Walk) -> Walk | None:
        """Show one more page; None at the end of the walk, or after a refusal, which is a fault."""
        pages: list[Page] = []
        with self.duty.call("page"):
            pages.append(self.store.list_jobs(walk.workspace, walk.status, PAGE, walk.cursor))
        for page in pages:
            for job in page.items:
                self._judge(walk, as_seen(job))
            walk.cursor = page.next_cursor
            if walk.cursor is None:
                self._end(walk)
        return walk if walk.cursor is not None and pages else None

    def _begin(self, number: int) -> Walk:
        self.view.refresh()
        names = [name for name, _ in self.world.workspaces]
        workspace = random.choices(names, [1 / (1 + count / 1_000) for _, count in self.world.workspaces])[0]
        status = "completed" if number % 5 == 0 else None
        before = {
            job_id: replace(known)
            for job_id in self.view.by_workspace.get(workspace, ())
            if self._counts(known := self.view.jobs[job_id], status)
        }
        return Walk(workspace, status, before, now_ms())

    def _counts(self, known: Known, status: str | None) -> bool:
        """Jobs that are deleted by now stay in, so that a walk that shows one is noticed."""
        there = known.deletion == DELETED or (known.deletion == PRESENT and not expired(known, now_ms()))
        return there and status in (None, known.status)

    def _judge(self, walk: Walk, seen: Seen) -> None:
        walk.shown.append(seen.job_id)
        self.duty.counters["listed"] += 1
        known = walk.before.get(seen.job_id)
        if known is not None:
            self.duty.fault(judge(known, seen, walk.workspace, walk.begun_at))
        elif seen.owner not in ("", walk.workspace):
            self.duty.fault(Fault(FOREIGN, seen.job_id, f"listed for {walk.workspace}"))

    def _end(self, walk: Walk) -> None:
        self.view.refresh()
        self.duty.counters["walk"] += 1
        for fault in judge_walk(walk.before, self.view.jobs, walk.shown, now_ms()):
            self.duty.fault(fault)
