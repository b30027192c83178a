"""The engines at one go: a dry run, a pass, a verification, and the whole way up the ladder."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from relay_jobs.progress import BatchReport, Books, Phase
from tests.machine.audit import (
    LEGACY,
    WRITES,
    copy_state,
    listed,
    name_of,
    outcomes,
    owner,
    parity,
    scoped_key,
    truth,
)
from tests.machine.checkpoints import Floor
from tests.machine.operators import Operators
from tests.machine.proofs import EVERYONE, Passed, Verified, by_workspace
from tests.machine.sides import Side
from tests.machine.twin import NAMES, WORKSPACES

Scope = tuple[str, ...]
chosen_scopes = st.sampled_from([(), (), ("a",), ("b-c",), WORKSPACES])


def total(reports: Iterable[BatchReport]) -> Books:
    """The sum of a stream; a pause would have no end."""
    books = Books()
    for report in reports:
        assert report.phase is not Phase.PAUSED
        books += report.counts
    return books


def counted(found: Iterable[str]) -> Books:
    """Books of so many outcomes."""
    names = list(found)
    return Books(len(names), **{name: names.count(name) for name in set(names)})


def pass_name(scope: Scope) -> str:
    """Where the checkpoint of a scope is kept, told apart by the machine as the library does."""
    return ",".join(sorted(scope)) or "all"


class Passes(Operators):
    """Rules of work that nothing comes between."""

    def __init__(self) -> None:
        super().__init__()
        self.floors = {side.name: Floor() for side in self.sides}

    def refusal(self, scope: Scope) -> str | None:
        """Why nothing may be copied or repaired in a scope."""
        stages = [self.ledger.stage(workspace) for workspace in scope] or list(self.ledger.stages.values())
        if scope:
            return "Refused" if "legacy" in stages else None
        return "Refused" if set(stages) == {"legacy"} else None

    def dry_run(self, scope: Scope, batch: int, most: int | None) -> None:
        """It says what a pass would do, and changes nothing at all."""
        self.step()
        why = self.refusal(scope)
        if why:
            self.ask(lambda side: side.migration.dry_run(workspaces=scope), why)
            return
        for side in self.sides:
            before = side.snapshot("*")
            found = total(side.migration.dry_run(workspaces=scope, batch=batch, max_keys=most, full_speed=True))
            assert side.snapshot("*") == before
            expected = outcomes(side.data, scope, self.ledger.stages)
            assert found.balanced
            if most is None:
                assert found == counted(expected.values())
            else:
                in_scope = [k for k, what in expected.items() if not scope or what != "filtered"]
                examined = found.scanned - (found.filtered if scope else 0)
                assert examined == min(most, len(in_scope))

    def backfill(self, scope: Scope, batch: int) -> None:
        """A whole pass copies what is missing, and nothing else."""
        if self.ledger.paused:
            return
        self.step(*NAMES)
        why, run = self.refusal(scope), f"run-{self.ledger.step}"
        given: dict[str, Any] = {"run": run, "step": "full", "workspaces": scope, "batch": batch, "full_speed": True}
        if why:
            self.ask(lambda side: side.migration.open_pass(**given), why)
            return
        if not self.nobody_walks():
            return
        for side in self.sides:
            migration = side.migration
            opened = migration.open_pass(**given, restart=True, partitions=1 + side.number, wait=False)
            floor, name = self.floors[side.name], pass_name(scope)
            kept = floor.begin(name, self.ledger.epoch, opened.partitions, self.ledger.step)
            books = Books()
            for number in range(opened.partitions):
                books += total(migration.walk(opened, number, run))
            list(migration.close(opened, run))
            summary = migration.summary(opened)
            migration.release(run)
            assert summary.complete
            assert summary.total == summary.books == books
            self.pass_is_as_it_must_be(side, scope, books, opened.partitions)
            kept.complete, kept.books, kept.done = True, books, dict.fromkeys(range(opened.partitions), run)
            kept.cursors = set(kept.done)
            self.passed(side, scope)

    def nobody_walks(self) -> bool:
        """Whether nothing is held on either side."""
        return all(floor.lease is None and not floor.partitions for floor in self.floors.values())

    def pass_is_as_it_must_be(self, side: Side, scope: Scope, books: Books, partitions: int) -> None:
        """Books by what was there before, copies by what is there now."""
        expected = counted(outcomes(side.data, scope, self.ledger.stages).values())
        assert books.balanced
        if partitions == 1:
            assert books == expected
        assert (books.migrated, books.gone, books.errors) == (expected.migrated, 0, 0)
        now = side.snapshot()
        assert self.only_copied(side.data, now) == books.migrated

    def only_copied(self, before: Any, now: Any) -> int:
        """How many copies are new; nothing else of the two schemas may have changed."""
        new = 0
        for key in before.keys() | now.keys():
            if key.startswith(b"ai:job") and before.get(key) != now.get(key):
                name = name_of(key)
                assert name is not None
                assert not key.startswith(LEGACY), f"{key!r} was {before.get(key)}, is {now.get(key)}"
                assert copy_state(before, *name) in {"absent", "partial"}
                assert owner(now, name[1]) == name[0]
                assert parity(now, *name) == "equal"
                new += 1
        return new

    def passed(self, side: Side, scope: Scope) -> None:
        """A complete pass counts for its scope."""
        proofs = self.proofs[side.name]
        for name in scope or (EVERYONE,):
            proofs.passed[name] = Passed(self.ledger.epoch, proofs.process, proofs.day)

    def verify(self, scope: Scope) -> None:
        """The verdict is the truth about both schemas."""
        self.step()
        if not scope and set(self.ledger.stages.values()) == {"legacy"}:
            self.ask(lambda side: side.migration.verify(), "Refused")
            return
        for side in self.sides:
            before = side.snapshot()
            checking = side.migration.verify(workspaces=scope, full_speed=True)
            assert all(step.direction for step in checking)
            assert side.snapshot() == before
            found = truth(side.data, scope, self.ledger.stages)
            verdict = checking.verdict.as_dict()
            names = (
                "equal",
                "different",
                "missing",
                "extra",
                "quarantined",
                "filtered",
                "malformed",
                "third_generation",
                "unindexed",
            )
            assert {name: verdict[name] for name in names} == {name: found.counts[name] for name in names}
            dirty = any(found.counts[name] for name in ("different", "missing", "extra"))
            assert checking.verdict.verified is not dirty
            self.verified(side, scope, self.ledger.step, found.findings)

    def verified(self, side: Side, scope: Scope, begun: int, findings: Any) -> None:
        """A verification counts for its scope."""
        proofs = self.proofs[side.name]
        for name in scope or (EVERYONE,):
            proofs.verified[name] = Verified(
                begun,
                self.ledger.epoch,
                proofs.process,
                proofs.day,
                dict(self.ledger.stages),
                by_workspace(findings),
            )

    def repair(self, scope: Scope) -> None:
        """Afterwards both copies are what the stage reads; only what cannot be mended is left."""
        extras = lambda side: truth(side.data, scope, self.ledger.stages).of("extra")  # noqa: E731
        if not self.same(extras):
            return
        self.step(*NAMES)
        why = self.refusal(scope)
        if why:
            self.ask(lambda side: side.migration.verify(workspaces=scope, repair=True, run="m"), why)
            return
        if not self.nobody_walks():
            return
        for name in extras(self.sides[0]):
            if self.ledger.stage(name[0]) == "dual_write" and not self.quarantined(name[1]):
                self.ledger.claims.pop(name, None)
        for side in self.sides:
            checking = side.migration.verify(
                workspaces=scope, repair=True, run=f"mend-{self.ledger.step}", full_speed=True
            )
            for _ in checking:
                pass
            left = self.repaired(side, scope)
            self.verified(side, scope, self.ledger.step, left)

    def quarantined(self, job_id: str) -> bool:
        """Whether something that is no job stands in a job's legacy place."""
        data = self.sides[0].data
        return any(key == LEGACY + job_id.encode() for key in data) and owner(data, job_id) is None

    def repaired(self, side: Side, scope: Scope) -> dict[Any, str]:
        """Each job's copies are now what its stage read before; what is still wrong could not be mended."""
        now = side.snapshot()
        found = truth(side.data, scope, self.ledger.stages).findings
        left = {}
        for name, finding in found.items():
            stage = self.ledger.stage(name[0])
            legacy, copy = LEGACY + name[1].encode(), scoped_key(*name)
            if WRITES[stage] != "LW":
                left[name] = finding
                expected = side.data.get(legacy), side.data.get(copy)
            elif finding == "extra":
                expected = self._extra_repaired(side, name, stage, left)
            elif finding == "missing" and copy_state(side.data, *name) == "other":
                left[name] = finding
                expected = side.data.get(legacy), side.data.get(copy)
            else:
                right = copy if finding == "different" and stage != "dual_write" else legacy
                expected = side.data[right], side.data[right]
            assert (now.get(legacy), now.get(copy)) == expected, f"{side.name}: {name} was {finding} in {stage}"
            if copy_state(now, *name) == "whole" and name not in left:
                assert listed(now, name, now[copy])
        return {name: finding for name, finding in left.items() if finding != "equal"}

    def _extra_repaired(self, side: Side, name: Any, stage: str, left: dict[Any, str]) -> tuple[Any, Any]:
        legacy, copy = side.data.get(LEGACY + name[1].encode()), side.data[scoped_key(*name)]
        if legacy is not None and owner(side.data, name[1]) is None:
            left[name] = "extra"
            return legacy, copy
        if stage == "dual_write":
            return legacy, None
        if legacy is not None:
            left[name] = "extra"
            return legacy, copy
        return copy, copy
