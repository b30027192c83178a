"""Listings: at one go, and page by page with anything between two pages."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.machine.audit import Name
from tests.machine.callers import Callers
from tests.machine.sides import Side, seen
from tests.machine.twin import acts, processes, workspaces

statuses = st.sampled_from([None, None, "pending", "running", "completed"])


@dataclass
class Walk:
    """A listing on both sides that is not at its end; ``throughout`` are the jobs that have been in it all along."""

    process: int
    workspace: str
    status: str | None
    throughout: dict[Name, int]
    cursors: list[str | None] = field(default_factory=lambda: [None, None])
    ended: list[bool] = field(default_factory=lambda: [False, False])
    found: list[list[tuple[Name, int]]] = field(default_factory=lambda: [[], []])


LISTS = acts(
    "list_jobs",
    process=processes,
    workspace=workspaces,
    status=statuses,
    limit=st.integers(1, 3),
    which=st.integers(0, 4),
)


class Listings(Callers):
    """Rules of those who list."""

    def __init__(self) -> None:
        super().__init__()
        self.walks: list[Walk] = []

    def listed(self, workspace: str, status: str | None) -> dict[Name, int]:
        """The jobs of a listing, each with the step that it was born in."""
        chosen = self.ledger.jobs.items()
        return {n: k.born for n, k in chosen if n[0] == workspace and status in {None, k.status}}

    def list_jobs(self, process: int, workspace: str, status: str | None, limit: int, which: int) -> None:
        """A page of one of two listings, or the rest of it; or a whole one."""
        if which > 3:
            self.list_at_once(process, workspace, status, limit)
            return
        self.turn_page(process, workspace, status, limit, which % 2)
        if which > 1:
            for _ in range(20):
                walk = self.walks[which % 2] if which % 2 < len(self.walks) else None
                if walk is None or self.ledger.barred(walk.process, walk.workspace):
                    return
                self.and_then(self.turn_page, process, workspace, status, limit, which % 2)

    def turn_page(self, process: int, workspace: str, status: str | None, limit: int, which: int) -> None:
        """The next page of one listing, or the first of another."""
        if len(self.walks) <= which:
            self.walks.append(Walk(process, workspace, status, self.listed(workspace, status)))
        walk = self.walks[which % len(self.walks)]
        self.step()
        if self.ledger.barred(walk.process, walk.workspace):
            call = lambda side: side.stores[walk.process].list_jobs(walk.workspace)  # noqa: E731
            self.ask(call, "FlagConflict")
            return
        for side in self.sides:
            if not walk.ended[side.number]:
                self._page(side, walk, limit)
        if all(walk.ended):
            self.walks.remove(walk)
            for side in self.sides:
                self._whole(side, walk)

    def list_at_once(self, process: int, workspace: str, status: str | None, limit: int) -> None:
        """All pages, one after the other."""
        if self.ledger.barred(process, workspace):
            return
        self.step()
        walk = Walk(process, workspace, status, self.listed(workspace, status))
        for side in self.sides:
            while not walk.ended[side.number]:
                self._page(side, walk, limit)
            self._whole(side, walk)
            self._in_order(side, walk)

    def _page(self, side: Side, walk: Walk, limit: int) -> None:
        number, store = side.number, side.stores[walk.process]
        page = store.list_jobs(walk.workspace, walk.status, limit=limit, cursor=walk.cursors[number])
        assert len(page.items) <= limit
        for job in page.items:
            name = (walk.workspace, job.job_id)
            assert seen(job) == self.shown(walk.process, side, name)
            known = self.ledger.jobs.get(name)
            walk.found[number].append((name, known.born if known else 0))
        walk.cursors[number], walk.ended[number] = page.next_cursor, page.next_cursor is None

    def _whole(self, side: Side, walk: Walk) -> None:
        found = walk.found[side.number]
        for job in walk.throughout.items():
            missed = walk.workspace in self.tainted
            assert found.count(job) == 1 or missed, f"{side.name}: {job} listed {found.count(job)} times in {walk}"

    def walks_go_on(self) -> None:
        """Jobs that are no longer in a listing were not in it throughout."""
        for walk in self.walks:
            there: Any = self.listed(walk.workspace, walk.status)
            walk.throughout = {n: b for n, b in walk.throughout.items() if there.get(n) == b}

    def _in_order(self, side: Side, walk: Walk) -> None:
        """What is in the index comes first, the newest first."""
        index = side.data.get(b"ai:index:" + walk.workspace.encode())
        places = {} if index is None else index.value
        found = [job_id.encode() for (_, job_id), _ in walk.found[side.number]]
        listed = [job_id for job_id in found if job_id in places]
        assert listed == sorted(listed, key=lambda job_id: (places[job_id], job_id), reverse=True)
        assert found[: len(listed)] == listed
