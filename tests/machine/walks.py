"""Passes that stay open: a few batches at a time, abandoned, taken over, refused by a lease, closed at last."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relay_jobs.progress import BatchReport, Books, Phase
from relay_jobs.runs import Pass
from tests.machine.audit import WRITES, copy_state, name_of, truth
from tests.machine.checkpoints import BATCH, PAUSED, RESTARTED, RESUMED, WALKED, Floor, Walker
from tests.machine.passes import Passes, Scope, pass_name
from tests.machine.sides import Side

RUNS = ("r1", "r2")
_PHASES = {
    RESTARTED: {Phase.RESTARTED},
    RESUMED: {Phase.RESUMED},
    WALKED: {Phase.DONE},
    PAUSED: {Phase.PAUSED},
    BATCH: {Phase.BATCH, Phase.DONE, Phase.LIMITED},
}


@dataclass
class Opened:
    """What a run has opened on one side, with the books of its step."""

    given: Pass
    name: str
    most: int | None
    used: int = 0
    books: Books = field(default_factory=Books)
    walks: dict[tuple[int, str], tuple[Walker, Iterator[BatchReport]]] = field(default_factory=dict)


class Walks(Passes):
    """Rules of passes that others come between."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, dict[str, Opened]] = {side.name: {} for side in self.sides}
        self.graves: list[Any] = []

    def teardown(self) -> None:
        """Walks that were left give their partitions back, to whom it no longer matters."""
        for side in self.sides:
            for opened in self.opened[side.name].values():
                self.graves += [walk for _, walk in opened.walks.values()]
        for walk in self.graves:
            walk.close()

    def floor(self, side: Side) -> Floor:
        """What is held on a side."""
        return self.floors[side.name]

    def engine(self, what: str, pick: int, scope: Scope, partitions: int, most: int | None, often: int) -> None:
        """A pass is opened, walked for some steps, closed or left; or its leases end; or all of it is done at once."""
        runs = sorted({run for opened in self.opened.values() for run in opened})
        if what == "once":
            self.backfill(scope, often)
        elif what == "open" or not runs:
            run = RUNS[pick % 2]
            self.open_pass(run, scope, 1 + pick // 2, partitions, most, restart=often == 3)
            self.and_then(self.walk, run, pick, "", 1)
        elif what == "walk":
            self.walk(runs[pick % len(runs)], pick, "other" if most == 1 else "", often)
        elif what == "close":
            self.close_pass(runs[pick % len(runs)])
        elif what == "leases":
            self.engine_leases_end()
        else:
            self.leave(runs[pick % len(runs)], killed=what == "killed")

    def open_pass(
        self, run: str, scope: Scope, batch: int, partitions: int, most: int | None, *, restart: bool
    ) -> None:
        """A pass begins, or goes on; or the lease is another's."""
        self.step()
        why, name = self.refusal(scope), pass_name(scope)
        given: dict[str, Any] = {"run": run, "step": f"s{self.ledger.step}", "workspaces": scope, "batch": batch}
        given |= {"max_keys": most, "full_speed": True, "restart": restart, "wait": False}
        if why:
            self.ask(lambda side: side.migration.open_pass(**given), why)
            return
        for side in self.sides:
            floor = self.floor(side)
            # fakeredis' cursors are positions in a list that each walk sorts anew: no two walks can share them out.
            parts = 1 if side.number == 0 else partitions
            said = floor.opened(run, name, self.ledger.epoch, parts, self.ledger.step, restart=restart)
            found = side.attempt(lambda side, parts=parts: side.migration.open_pass(**given, partitions=parts))
            if said == "LeaseHeld":
                assert found.__name__ == said
                continue
            assert (found.resumed, bool(found.note)) == (said == "resumed", said == "void")
            assert found.partitions == floor.passes[name].partitions
            self._forget(side, run)
            self.opened[side.name][run] = Opened(found, name, most)

    def _forget(self, side: Side, run: str) -> None:
        """The run's earlier walks are left behind, as by a process that was killed."""
        before = self.opened[side.name].pop(run, None)
        self.graves += [walk for _, walk in before.walks.values()] if before else []

    def walk(self, run: str, partition: int, owner: str, steps: int) -> None:
        """A few steps of one partition on each side."""
        self.step()
        for side in self.sides:
            opened = self.opened[side.name].get(run)
            if opened:
                number = partition % opened.given.partitions
                for _ in range(steps):
                    if not self._one_step(side, opened, number, owner or run):
                        break

    def _one_step(self, side: Side, opened: Opened, number: int, owner: str) -> bool:
        """One report, which must be the one that the checkpoint calls for; whether the walk goes on."""
        if (number, owner) not in opened.walks:
            walker = Walker(opened.given.run, opened.name, number, owner, opened.given.partitions)
            opened.walks[number, owner] = (walker, iter(side.migration.walk(opened.given, number, owner)))
        walker, reports = opened.walks[number, owner]
        report = self._report(side, opened, walker, reports)
        over = report is None or report.phase in {Phase.DONE, Phase.LIMITED}
        if over:
            assert report is None or next(reports, None) is None
            del opened.walks[number, owner]
        return not over

    def _report(self, side: Side, opened: Opened, walker: Walker, reports: Iterator[BatchReport]) -> BatchReport | None:
        """The next report, which must be what the checkpoint calls for; None where that is an error."""
        expected = self.floor(side).next(walker, self.ledger.epoch, self.ledger.step, paused=self.ledger.paused)
        before = side.snapshot()
        report = side.attempt(lambda _: next(reports))
        if isinstance(report, type):
            assert report.__name__ == expected, f"{side.name}: {report.__name__}, and not {expected}"
            return None
        assert isinstance(report, BatchReport)
        assert report.phase in _PHASES.get(expected, ()), f"{side.name}: {report}, and not {expected}"
        self._effect(side, opened, walker, report, before)
        return report

    def _effect(self, side: Side, opened: Opened, walker: Walker, report: BatchReport, before: Any) -> None:
        """A batch has copied what its books say; every other step has changed nothing."""
        now = side.snapshot()
        copied = self.only_copied(before, now)
        assert copied == report.counts.migrated
        assert report.counts.balanced
        scope = opened.given.workspaces
        for key in now:
            if before.get(key) != now[key] and (name := name_of(key)):
                assert not scope or name[0] in scope
                assert "W" in WRITES[self.ledger.stage(name[0])]
                assert name[1].encode() in now[b"ai:index:" + name[0].encode()].value
                side.data[key] = now[key]
        opened.books += report.counts
        if report.phase in _PHASES[BATCH] and not report.reason:
            done, limited = report.phase is Phase.DONE, report.phase is Phase.LIMITED
            opened.used += report.counts.scanned
            if scope:
                opened.used -= report.counts.filtered + report.counts.gone
            assert opened.most is None or opened.used <= opened.most
            assert not limited or opened.used == opened.most
            self.floor(side).walked(walker, report.counts, ended=done, left=done or limited)
            assert side.migration.summary(opened.given).total == self.floor(side).passes[opened.name].books

    def leave(self, run: str, *, killed: bool) -> None:
        """A run ends before its pass: it gives back what it holds, unless it was killed."""
        self.step()
        for side in self.sides:
            opened = self.opened[side.name].get(run)
            if opened and killed:
                self._forget(side, run)
            elif opened:
                for walker, reports in opened.walks.values():
                    reports.close()  # type: ignore[attr-defined]
                    self.floor(side).stopped(walker)
                del self.opened[side.name][run]
                side.migration.release(run)
                self.floor(side).release(run)

    def engine_leases_end(self) -> None:
        """Nobody has renewed a lease for its time to live."""
        self.step()
        for side in self.sides:
            for key in side.snapshot("ai:migration:*lease*"):
                side.client.delete(key)
            self.floor(side).expire()

    def close_pass(self, run: str) -> None:
        """The pass is completed: what was not walked, or no longer counts, is walked now."""
        if self.ledger.paused:
            return
        self.step()
        for side in self.sides:
            opened = self.opened[side.name].get(run)
            if opened:
                self._close(side, opened)

    def _close(self, side: Side, opened: Opened) -> None:
        """Follow it report by report, as far as the lease and the run's own limit let it go."""
        floor, name, reports = self.floor(side), opened.name, iter(side.migration.close(opened.given, opened.given.run))
        while True:
            kept, void = floor.passes.get(name), floor.void(name, self.ledger.epoch)
            done = set() if void or kept is None else kept.done.keys()
            parts = opened.given.partitions if void or kept is None else kept.partitions
            left = [number for number in range(parts) if number not in done]
            if not left or side.client.hget(opened.given.record, "budget") == b"0":
                break
            assert next(reports).phase is Phase.RESTARTED
            if not all(self._whole_walk(side, opened, number, reports) for number in left):
                return
        assert next(reports, None) is None
        summary = side.migration.summary(opened.given)
        assert summary.complete is (not left)
        assert summary.books == opened.books
        if not left:
            self._completed(side, opened)

    def _whole_walk(self, side: Side, opened: Opened, number: int, reports: Iterator[BatchReport]) -> bool:
        """One partition within a close; False where another run holds what it needs."""
        walker = Walker(opened.given.run, opened.name, number, opened.given.run, opened.given.partitions)
        while True:
            report = self._report(side, opened, walker, reports)
            if report is None:
                return False
            if report.phase in {Phase.DONE, Phase.LIMITED}:
                return True

    def _completed(self, side: Side, opened: Opened) -> None:
        """Nothing that was there throughout is without its copy."""
        kept = self.floor(side).passes[opened.name]
        found = truth(side.snapshot(), opened.given.workspaces, self.ledger.stages)
        for name in found.of("missing"):
            excused = copy_state(side.snapshot(), *name) == "other" or self.disturbed.get(name, 0) >= kept.began
            excused |= WRITES[self.ledger.stage(name[0])] != "LW"
            assert excused, f"{side.name}: {name} was left behind"
        if not kept.complete:
            kept.complete = True
            self.passed(side, opened.given.workspaces)
