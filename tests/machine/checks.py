"""Verifications that stay open: a step at a time, with anything between two steps, looking or repairing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from relay_jobs.errors import LeaseHeld
from relay_jobs.proving import RecordedVerification
from tests.machine.audit import LEGACY, Name, copy_state, legacy_key, owner, scoped_key, truth
from tests.machine.passes import Scope, chosen_scopes
from tests.machine.proofs import EVERYONE, Verified
from tests.machine.sides import Side
from tests.machine.twin import NAMES, acts
from tests.machine.walks import Walks

MENDER = "mender"
_WRONG = ("different", "missing", "extra")


@dataclass
class Check:
    """A verification on one side that is not at its end; ``stable`` is what has not changed since it began."""

    engine: RecordedVerification
    steps: Iterator[Any]
    scope: Scope
    repairing: bool
    begun: int
    process: int
    stages: dict[str, str]
    epoch: int
    stable: dict[Name, str] = field(default_factory=dict)
    started: bool = False


RUNNING = acts(
    "run",
    what=st.sampled_from(
        [
            *["walk"] * 6,
            *["open", "open", "close", "close", "leave", "killed", "leases", "once"],
            *["go on"] * 4,
            *["to its end", "verify", "repair", "dry run"],
        ]
    ),
    pick=st.integers(0, 3),
    scope=chosen_scopes,
    partitions=st.sampled_from([1, 2, 4]),
    most=st.sampled_from([None, None, 1, 3]),
    often=st.integers(1, 3),
)


class Checks(Walks):
    """Rules of verifications that others come between."""

    def __init__(self) -> None:
        super().__init__()
        self.checks: dict[str, Check] = {}

    def teardown(self) -> None:
        """What was left open ends, while nobody minds."""
        self.graves += [check.steps for check in self.checks.values()]
        super().teardown()

    def run(self, what: str, pick: int, scope: Scope, partitions: int, most: int | None, often: int) -> None:
        """An engine goes on by some steps: a pass or a verification; or does all of its work at once."""
        if what in {"go on", "to its end", "verify", "repair", "dry run"}:
            self.check(what, scope, pick)
        else:
            self.engine(what, pick, scope, partitions, most, often)

    def check(self, what: str, scope: Scope, number: int) -> None:
        """Both schemas are compared, or a pass is planned: at once, or a step further."""
        if what == "dry run":
            self.dry_run(scope, 1 + number, [None, None, 1, 3][number])
        elif what in {"go on", "to its end"}:
            self.go_on_checking(scope, repairing=number > 1, steps=20 if what != "go on" else 1 + number % 2)
        else:
            (self.verify if what == "verify" else self.repair)(scope)

    def go_on_checking(self, scope: Scope, *, repairing: bool, steps: int) -> None:
        """The open verification goes on, on each side; or another begins."""
        if not self.checks:
            self._begin(scope, repairing=repairing)
        else:
            self.step()
        for side in self.sides:
            for _ in range(steps):
                check = self.checks.get(side.name)
                if check:
                    self._step_of(side, check)

    def _begin(self, scope: Scope, *, repairing: bool) -> None:
        self.step()
        why = self.refusal(scope) if repairing or not scope else None
        given: dict[str, Any] = {"workspaces": scope, "repair": repairing, "run": MENDER, "full_speed": True}
        if why:
            self.ask(lambda side: side.migration.verify(**given), why)
            return
        for side in self.sides:
            engine = side.migration.verify(**given)
            stages, process = dict(self.ledger.stages), self.proofs[side.name].process
            check = Check(engine, iter(engine), scope, repairing, self.ledger.step, process, stages, self.ledger.epoch)
            check.stable = self.judged(side, scope)
            self.checks[side.name] = check

    def _anew(self, side: Side, check: Check) -> None:
        """On another server process it starts over."""
        check.begun, check.process, check.epoch = self.ledger.step, self.proofs[side.name].process, self.ledger.epoch
        check.stages, check.stable = dict(self.ledger.stages), self.judged(side, check.scope)

    def judged(self, side: Side, scope: Scope) -> dict[Name, str]:
        """What there is to be said of each job of a scope."""
        found = truth(side.data, scope, self.ledger.stages).findings
        return {name: found.get(name, "") for name in NAMES if not scope or name[0] in scope}

    def checks_go_on(self) -> None:
        """What has changed under a verification may be found as it was or as it is."""
        for side in self.sides:
            check = self.checks.get(side.name)
            if check:
                now = self.judged(side, check.scope)
                check.stable = {name: was for name, was in check.stable.items() if now.get(name) == was}
                same = check.stages.items() & self.ledger.stages.items()
                every = {*check.stages, *self.ledger.stages}
                check.stages = dict.fromkeys(every, "") | dict(same)

    def _step_of(self, side: Side, check: Check) -> None:
        floor, before = self.floor(side), side.snapshot()
        held = check.repairing and floor.lease not in {None, MENDER}
        if check.repairing and not held:
            floor.lease = MENDER
        step = side.attempt(lambda _: next(check.steps, None))
        assert held is (step is LeaseHeld)
        if step is None:
            self._ended(side, check)
            return
        if held:
            del self.checks[side.name]
            self._looked_or_mended(side, check, before)
            return
        now = self.proofs[side.name].process
        assert bool(step.notice) is (check.started and check.process != now)
        check.started = True
        if check.process != now:
            self._anew(side, check)
        self._looked_or_mended(side, check, before)

    def _looked_or_mended(self, side: Side, check: Check, before: Any) -> None:
        """A look changes nothing; a repair changes what the stage does not read first, and makes both equal."""
        now = side.snapshot()
        changed = {
            key for key in before.keys() | now.keys() if key.startswith(b"ai:job") and before.get(key) != now.get(key)
        }
        assert check.repairing or not changed
        for key in changed:
            name = self._name(before, now, key)
            stage = self.ledger.stage(name[0])
            legacy, copy = legacy_key(name[1]), scoped_key(*name)
            right, wrong = (legacy, copy) if stage == "dual_write" else (copy, legacy)
            if stage != "dual_write" and copy_state(before, *name) != "whole":
                right, wrong = wrong, right
            assert key == wrong, f"{side.name}: {key!r} was changed in {stage}"
            assert stage in {"dual_write", "new_first", "new_only"}
            mine = right == copy or owner(before, name[1]) == name[0]
            assert now.get(wrong) == (before.get(right) if mine else None)
            side.data[key] = now.get(key)  # type: ignore[assignment]
            if now.get(key) is None:
                del side.data[key]
                self._claim_is_gone(name)

    def _name(self, before: Any, now: Any, key: bytes) -> Name:
        if not key.startswith(LEGACY):
            workspace, job_id = key.removeprefix(b"ai:job:").decode().split(":", 1)
            return workspace, job_id
        job_id = key.removeprefix(LEGACY).decode()
        workspace = owner(now, job_id) or owner(before, job_id)
        assert workspace is not None
        return workspace, job_id

    def _claim_is_gone(self, name: Name) -> None:
        """The claim of a job that was no job goes with its copy, once no side has it any more."""
        member = f"\x1f{name[0]}\x1f{name[1]}".encode()
        if all(side.client.zscore("ai:migration:claims", member) is None for side in self.sides):
            self.ledger.claims.pop(name, None)

    def _ended(self, side: Side, check: Check) -> None:
        """What did not change is found as it is; the books balance; the record is what the gates go by."""
        del self.checks[side.name]
        if check.repairing:
            self.floor(side).release(MENDER)
        verdict = check.engine.verdict
        found = {(s.workspace_id, s.job_id): s.finding for s in verdict.samples if s.finding in _WRONG}
        now = self.judged(side, check.scope)
        for name, was in check.stable.items():
            if now[name] != was:
                continue  # mended in this very step
            said = found.get(name, "")
            expected = was if was in _WRONG else ""
            assert said == expected, f"{side.name}: {name} is {was!r} and was found {said!r}"
        findings = check.engine._engine.findings
        proofs = self.proofs[side.name]
        record = Verified(
            check.begun,
            self.ledger.epoch if check.epoch == self.ledger.epoch else None,
            check.process,
            proofs.day,
            check.stages,
            _counter(findings),
        )
        for scope in check.scope or (EVERYONE,):
            proofs.verified[scope] = record


def _counter(findings: dict[str, dict[str, int]]) -> Any:
    return Counter({(w, finding): n for w, found in findings.items() for finding, n in found.items()})
