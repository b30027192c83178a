"""The operator: moves on the ladder, rollback, pause and resume, the quarantine."""

from typing import Any

from relay_jobs import Stage
from tests.machine.audit import (
    STAGES,
    WRITES,
    claimed_workspace,
    fault,
    legacy_key,
    owner,
    scoped_key,
    truth,
    view,
)
from tests.machine.proofs import EVERYONE, Proofs
from tests.machine.sides import Side
from tests.machine.twin import NAMES, WORKSPACES, Twin


def rank(stage: str) -> int:
    """Place on the ladder."""
    return STAGES.index(stage)


class Operators(Twin):
    """Rules of whoever steers the migration by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.proofs = {side.name: Proofs() for side in self.sides}

    def move(self, scope: str, to: str, gone: bool = False, override: str | None = None) -> None:
        """Try to move a scope; both servers must refuse, or let it pass, as their proofs say."""
        if gone and to != "new_first":
            gone = False
        if not self.same(lambda side: (self.proven(side, scope, to), bool(self.any_job(side)))):
            return
        if override and not self.same(lambda side: self.shown_at(side, to)):
            return
        self.step()
        side = self.sides[0]
        start = self.standing(scope)
        if gone and start == "dual_write" and not self.proven(side, scope, to):
            self.statements[scope] = (self.ledger.step, self.ledger.epoch)
        expected = self._expected_move(side, scope, to, override)
        workspace = None if scope == EVERYONE else scope

        def call(side: Side) -> Any:
            migration = side.migration
            return migration.set_stage(Stage(to), workspace, legacy_writers_gone=gone, override=override)

        self.ask(call, expected, lambda move: str(move.after))
        if expected == to:
            unproven = override is not None and rank(to) > rank(start) and not self.proven(side, scope, to)
            self.moved(scope, self._rungs(scope, to), unproven)

    def _expected_move(self, side: Side, scope: str, target: str, override: str | None) -> str:
        start = self.standing(scope)
        if rank(target) <= rank(start):
            down = rank(target) < rank("new_only") and self.unreversed(scope)
            return "Refused" if down and self.any_job(side) else target
        if not self.any_job(side):
            return target
        if rank(target) - rank(start) > 1:
            return "GateRefused"
        if self.proven(side, scope, target) or (override and target != "sealed"):
            return target
        return "GateRefused"

    def standing(self, scope: str) -> str:
        """Where a scope stands."""
        return self.ledger.stages.get(scope) or self.ledger.stages.get(EVERYONE) or "legacy"

    def unreversed(self, scope: str) -> bool:
        """Whether a scope is sealed, or was and its legacy copies were not written back since."""
        own = scope if scope in self.ledger.stages else EVERYONE
        return self.standing(scope) == "sealed" or own in self.ledger.unreversed

    def any_job(self, side: Side) -> bool:
        """Whether the server holds a job, whatever its state."""
        return any(key.startswith(b"ai:job") for key in side.data)

    def proven(self, side: Side, scope: str, target: str) -> bool:
        """Whether a side's proofs are what the gate wants."""
        own = set(self.ledger.stages)
        since = self.ledger.withdrawn_at(scope)
        statements = {name: said for name, said in self.statements.items() if said[0] >= since}
        facts = (scope, self.ledger.epoch, own, statements, self.unacknowledged(side, scope), since)
        return self.proofs[side.name].hold(target, *facts)

    def unacknowledged(self, side: Side, scope: str) -> int:
        """Quarantined records that nobody has acknowledged; those that are nobody's are everyone's."""
        known, left = side.snapshot("ai:migration:quarantine*"), 0
        seen, acknowledged = (
            known[key].value if key in known else {}
            for key in (b"ai:migration:quarantine", b"ai:migration:quarantine:acknowledged")
        )
        for raw in seen:
            why, workspace = fault(side.data, raw.decode()), claimed_workspace(side.data, raw.decode())
            if why in {"", "absent"} or acknowledged.get(raw) == why.encode():
                continue
            left += (
                workspace == scope if scope != EVERYONE else workspace is None or workspace not in self.ledger.stages
            )
        return left

    def _rungs(self, scope: str, target: str) -> tuple[str, ...]:
        start, own = rank(self.standing(scope)), scope in self.ledger.stages or not self.ledger.stages
        if rank(target) > start:
            return STAGES[start + 1 : rank(target) + 1]
        if not own or rank(target) == start:
            return () if own and self.ledger.stages else (target,)
        return tuple(reversed(STAGES[rank(target) : start]))

    def moved(self, scope: str, rungs: tuple[str, ...], unproven: bool = False) -> None:
        """The move has been made: nobody may miss a job, or see a stale one, unless a gate was overridden."""
        before = {workspace: self.ledger.stage(workspace) for workspace in WORKSPACES}
        self.ledger.moved(scope, rungs)
        for workspace in WORKSPACES:
            now = self.ledger.stage(workspace)
            changed = [
                (side.name, name)
                for side in self.sides
                for name in NAMES
                if name[0] == workspace and view(side.data, before[workspace], name) != view(side.data, now, name)
            ]
            if changed:
                assert unproven or workspace in self.tainted, (
                    f"{before[workspace]} to {now}: {changed} read differently"
                )
                self.adopt([workspace])

    def shown_at(self, side: Side, stage: str) -> list[Any]:
        """What readers would see."""
        kept = [view(side.data, stage, name) for name in NAMES]
        return [k and k.value for k in kept]

    def seal(self, scope: str) -> None:
        """What the gate will do in a later version: every copy is there and equal."""
        if self.standing(scope) != "new_only" or not all(self.in_order(side, scope) for side in self.sides):
            return
        self.step()
        self.moved(scope, ("sealed",))
        self.apart |= {workspace for workspace in WORKSPACES if self.ledger.stage(workspace) == "sealed"}
        for side in self.sides:
            ladder = side.migration.ladder
            assert ladder.move(scope, ladder.recorded(), (Stage.SEALED,), {"event": "sealed by hand"})

    def covered(self, scope: str) -> list[str]:
        """The workspaces whose stage a scope's is."""
        own = self.ledger.stages
        return [w for w in WORKSPACES if w == scope or (scope == EVERYONE and w not in own)]

    def in_order(self, side: Side, scope: str) -> bool:
        """Whether nothing is missing, different or extra in a scope."""
        found = truth(side.data, (), self.ledger.stages).findings
        return all(finding == "equal" for name, finding in found.items() if name[0] in self.covered(scope))

    def reverse(self, scope: str) -> None:
        """What a reverse pass will do in a later version: each legacy copy is written back, or goes with its job."""
        own = scope if scope in self.ledger.stages else EVERYONE
        if self.standing(own) != "new_only" or own not in self.ledger.unreversed:
            return
        names = [name for name in NAMES if name[0] in self.covered(own)]
        if any(fault(side.data, n[1]) not in {"", "absent"} for side in self.sides for n in names):
            return
        self.step(*names)
        self.ledger.unreversed.discard(own)
        self.apart -= set(self.covered(own))
        for side in self.sides:
            side.client.hdel("ai:migration:unreversed", own)
            for name in names:
                if name in self.ledger.jobs:
                    side.client.copy(scoped_key(*name), legacy_key(name[1]), replace=True)
                elif owner(side.data, name[1]) == name[0]:
                    side.client.delete(legacy_key(name[1]))

    def rollback(self, scope: str) -> None:
        """Everything above dual_write down to it, or as far as the way back is open."""
        if not self.same(lambda side: bool(self.any_job(side))):
            return
        self.step()
        all_scopes = [scope] if scope != EVERYONE else [EVERYONE, *(s for s in self.ledger.stages if s != EVERYONE)]
        expected = []
        for each in all_scopes:
            target = self._rollback_target(each)
            if target:
                expected.append((each, target))
                self.moved(each, self._rungs(each, target))
        self.ledger.paused = True
        workspace = None if scope == EVERYONE else scope
        self.ask(
            lambda side: side.migration.rollback(workspace),
            sorted(expected),
            lambda moves: sorted((move.scope, str(move.after)) for move in moves),
        )

    def _rollback_target(self, scope: str) -> str | None:
        start = self.standing(scope)
        if rank(start) <= rank("dual_write"):
            return None
        if self.unreversed(scope) and self.any_job(self.sides[0]):
            return None if start == "new_only" else "new_only"
        return "dual_write"

    def pause(self, paused: bool) -> None:
        """Running work rests, or goes on."""
        self.step()
        self.ledger.paused = paused
        self.ask(lambda side: side.migration.pause("why") if paused else side.migration.resume(), None)

    def acknowledge(self) -> None:
        """What is quarantined is acknowledged; nothing is left that could hold up a move."""
        self.step()
        self.ask(lambda side: side.migration.acknowledge("known"), None, lambda _: None)
        for side in self.sides:
            assert self.unacknowledged(side, EVERYONE) == 0

    def writes_both(self, workspace: str) -> bool:
        """Whether a workspace's stage writes both schemas."""
        return WRITES[self.ledger.stage(workspace)] == "LW"
