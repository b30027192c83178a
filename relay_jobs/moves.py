"""Moves on the ladder: up one rung through a gate, down at once, and the rollback of everything."""

from dataclasses import dataclass, replace

import redis

from relay_jobs import control
from relay_jobs.errors import GateRefused, Refused, UsageError
from relay_jobs.gates import blockers
from relay_jobs.ladder import EVERYONE, Ladder, Recorded
from relay_jobs.pace import Pace
from relay_jobs.preflight import has_jobs
from relay_jobs.quarantine import Quarantine
from relay_jobs.servers import CLIENT_NAME, identify
from relay_jobs.settings import Settings
from relay_jobs.stages import ROLLBACK_TARGET, Stage, rungs_between

# What an operator does next, by the stage that was reached.
NEXT_COMMANDS = {
    Stage.LEGACY: "relay-jobs stage set dual_write    (once every API server and worker runs the library)",
    Stage.DUAL_WRITE: "relay-jobs stage set new_first --legacy-writers-gone    (once no old process is left), "
    "then relay-jobs verify --repair, and the same stage set again",
    Stage.NEW_FIRST: "trigger relay_backfill in Airflow, or relay-jobs backfill --execute",
    Stage.NEW_ONLY: "nothing for now: let it soak; back at any time with relay-jobs stage rollback --all",
    Stage.SEALED: "back to writing both schemas with relay-jobs stage set new_only",
}


@dataclass(frozen=True, slots=True)
class Move:
    """One move that was made; ``before`` is ``None`` where nothing was recorded.

    ``overridden`` are the reasons against it that an operator has overridden, ``override`` is why; ``evidence`` is
    what speaks for or against the statement that no old process is left.
    """

    scope: str
    before: Stage | None
    after: Stage
    rungs: tuple[Stage, ...]
    overridden: tuple[str, ...] = ()
    note: str = ""
    evidence: tuple[str, ...] = ()
    override: str = ""

    @property
    def next_command(self) -> str:
        """What an operator does next."""
        return NEXT_COMMANDS[self.after]


class Moves:
    """Moves of one server's workspaces.

    Args:
        client: the server, with replies as bytes.
        settings: for the age that a proof may have.
        who: who moves, for the history.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, who: str) -> None:
        self._client, self._settings, self._who = client, settings, who
        self._ladder = Ladder(client)

    def set_stage(
        self,
        target: Stage,
        workspace: str | None = None,
        *,
        legacy_writers_gone: bool = False,
        override: str | None = None,
    ) -> Move:
        """Move a workspace, or all that have no stage of their own.

        Args:
            target: the stage to reach; up it is the next rung, down any.
            workspace: whose stage; default: all others'.
            legacy_writers_gone: state that no process without the library writes any more.
            override: the reason why a gate that does not hold is passed all the same.

        Raises:
            GateRefused: every reason against it, each with what ends it.
            UsageError: a statement that does not belong to this move, or an empty reason.
        """
        if override is not None and not override.strip():
            msg = "an override needs a reason"
            raise UsageError(msg)
        if legacy_writers_gone and target is not Stage.NEW_FIRST:
            msg = f"--legacy-writers-gone belongs to the move to new_first, not to {target}"
            raise UsageError(msg)
        scope = workspace or EVERYONE
        evidence = self._evidence() if legacy_writers_gone else ()
        passed: Move | None = None
        while True:
            recorded = self._ladder.recorded()
            start = recorded.of(scope) or Stage.LEGACY
            # What a gate has seen on one server process proves nothing on another that came back older meanwhile.
            server = identify(self._client).run_id if target.rung > start.rung else ""
            if legacy_writers_gone and start is Stage.DUAL_WRITE and self._blockers(scope, recorded, target):
                # Made once more where the gate holds, it would outdate the verification that was begun after it.
                self._ladder.state_writers_gone(scope, recorded.epoch, self._who)
                legacy_writers_gone = False
            move = self._plan(scope, recorded, target, override)
            stop = _stop_to_look(start, target)
            if stop and self._make(replace(move, after=stop, rungs=_rungs(move.before, stop)), recorded, server):
                passed = passed or move
            elif not stop and self._make(move, recorded, server):
                first = passed or move
                return replace(move, before=first.before, rungs=_rungs(first.before, target), evidence=evidence)

    def rollback(self, workspace: str | None = None) -> list[Move]:
        """Everything above dual_write (or one workspace) down to it, running work paused; what changed."""
        control.pause(self._client, self._who, "rollback")
        recorded = self._ladder.recorded()
        scopes = [workspace] if workspace else [EVERYONE, *(s for s in recorded.stages if s != EVERYONE)]
        return [move for scope in scopes for move in self._roll_back(scope)]

    def _roll_back(self, scope: str) -> list[Move]:
        moves: list[Move] = []
        while True:
            recorded = self._ladder.recorded()
            before = recorded.of(scope)
            if before is not None and before.rung <= ROLLBACK_TARGET.rung:
                return _joined(moves)
            unreversed = self._unreversed(scope, recorded)
            if unreversed and before is Stage.NEW_ONLY:
                return _joined(moves)
            target = Stage.NEW_ONLY if before is Stage.SEALED else ROLLBACK_TARGET
            note = "further down only after a reverse pass: legacy copies were not written" if unreversed else ""
            move = Move(scope, before, target, _rungs(before, target), note=note)
            if self._make(move, recorded):
                moves.append(move)

    def _plan(self, scope: str, recorded: Recorded, target: Stage, override: str | None) -> Move:
        before = recorded.of(scope)
        start = before or Stage.LEGACY
        rungs = _rungs(before, target)
        if target.rung <= start.rung:
            self._refuse_unreversed(scope, recorded, target)
            return Move(scope, before, target, rungs if scope in recorded.stages or before is None else (target,))
        if not has_jobs(self._client, Pace(self._settings.latency_budget)):
            return Move(scope, before, target, rungs, note="the server holds no job: there is nothing to prove")
        if len(rungs) > 1:
            what = f"{_name(scope)} cannot move from {start} to {target}"
            raise GateRefused(what, [f"moves up go one rung at a time: next is 'relay-jobs stage set {rungs[0]}'"])
        reasons = self._blockers(scope, recorded, target)
        # Without a reverse pass there is no way back from sealed: no reason is good enough.
        if reasons and (override is None or target is Stage.SEALED):
            raise GateRefused(f"{_name(scope)} cannot move from {start} to {target} yet", reasons)
        return Move(scope, before, target, rungs, overridden=reasons, override=override or "" if reasons else "")

    def _blockers(self, scope: str, recorded: Recorded, target: Stage) -> tuple[str, ...]:
        if target.rung <= Stage.DUAL_WRITE.rung:
            return ()
        facts = self._ladder.facts(
            scope,
            recorded,
            server=identify(self._client).run_id,
            proof_max_age_hours=self._settings.proof_max_age_hours,
            unacknowledged=self._unacknowledged(scope, recorded),
        )
        reasons = blockers(target, facts)
        if target is Stage.NEW_FIRST and reasons:
            reasons += self._evidence()
        return reasons

    def _evidence(self) -> tuple[str, ...]:
        strangers = self._ladder.strangers(CLIENT_NAME)
        names = sorted({f"{s.name} from {s.address} ({s.last_command})" for s in strangers})
        if not names:
            return ()
        return (
            f"for your judgement: {len(names)} connections do not carry the library's name: {'; '.join(names[:10])}",
        )

    def _unacknowledged(self, scope: str, recorded: Recorded) -> int:
        """Quarantined records of the scope; those that are nobody's are everyone's."""
        left = [record.workspace_id for record in Quarantine(self._client).records() if not record.acknowledged]
        if scope != EVERYONE:
            return left.count(scope)
        return sum(workspace is None or not recorded.own(workspace) for workspace in left)

    def _unreversed(self, scope: str, recorded: Recorded) -> bool:
        """Whether legacy copies of the scope were not written for a time; without any job there is nothing amiss."""
        sealed = recorded.of(scope) is Stage.SEALED or self._ladder.sealed_since(scope, recorded)
        return sealed and has_jobs(self._client, Pace(self._settings.latency_budget))

    def _refuse_unreversed(self, scope: str, recorded: Recorded, target: Stage) -> None:
        if target.rung < Stage.NEW_ONLY.rung and self._unreversed(scope, recorded):
            what = f"{_name(scope)} cannot move from {recorded.of(scope)} to {target}"
            reason = "its legacy copies were not written in sealed: a reverse pass has to write them back first"
            raise Refused(what, [reason, "until then: 'relay-jobs stage set new_only'"])

    def _make(self, move: Move, recorded: Recorded, server: str = "") -> bool:
        if not move.rungs:
            return True
        event = {
            "event": "stage",
            "scope": move.scope,
            "from": move.before,
            "to": move.after,
            "who": self._who,
            "at": self._ladder.now(),
            "overridden": list(move.overridden),
            "override": move.override,
        }
        return self._ladder.move(move.scope, recorded, move.rungs, event, server)


def _rungs(before: Stage | None, target: Stage) -> tuple[Stage, ...]:
    start = before or Stage.LEGACY
    return rungs_between(start, target) or (() if before is target else (target,))


def _joined(moves: list[Move]) -> list[Move]:
    """Moves of one scope, one after the other, as one."""
    if not moves:
        return []
    first, last = moves[0].before, moves[-1]
    return [replace(last, before=first, rungs=_rungs(first, last.after))]


def _stop_to_look(start: Stage, target: Stage) -> Stage | None:
    """Where a move on a server without any job stops, to look once more: only where both schemas are written does a
    job that is made after the look have both copies.
    """
    if start is Stage.LEGACY and target.rung > Stage.DUAL_WRITE.rung:
        return Stage.DUAL_WRITE
    if start is Stage.SEALED and target.rung < Stage.NEW_ONLY.rung:
        return Stage.NEW_ONLY
    return None


def _name(scope: str) -> str:
    return "the default stage" if scope == EVERYONE else f"workspace {scope}"
