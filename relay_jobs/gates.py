"""Gates of the ladder: what must be proven before a scope may move up one rung; pure, evaluated on recorded facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay_jobs.stages import Stage

_CLEAN_FOR_READS = ("different", "extra", "errors")
_CLEAN = ("missing", "different", "extra", "errors")


@dataclass(frozen=True, slots=True)
class Proof:
    """A recorded pass or verification.

    Times are seconds since 1970 by the server's clock; ``stage`` is where the scope stood when it began.
    """

    started_at: float
    finished_at: float
    epoch: str
    server: str
    stage: str
    counts: Mapping[str, int]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Proof":
        """A proof as it is recorded in Redis."""
        return cls(
            started_at=float(record["started_at"]),
            finished_at=float(record["finished_at"]),
            epoch=str(record["epoch"]),
            server=str(record["server"]),
            stage=str(record["stage"]),
            counts=record["books"],
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is recorded about a scope, and where the server stands now.

    ``passes`` and ``verifications`` are the records that cover the scope: its own and the one of everything, each
    with what it found in this scope alone.
    """

    epoch: str
    server: str
    now: float
    proof_max_age_hours: float
    statement_at: float | None
    passes: Sequence[Proof]
    verifications: Sequence[Proof]
    unacknowledged: int
    withdrawn_at: float = 0.0  # when it last came back to dual_write from above, 0 if never
    flag: str = ""  # how the commands name the scope, e.g. ' --workspace W'


def blockers(target: Stage, facts: Facts) -> tuple[str, ...]:
    """Every reason why the scope may not move up to ``target``, each with what ends it; empty if it may."""
    if target in {Stage.LEGACY, Stage.DUAL_WRITE}:
        return ()
    if target is Stage.NEW_FIRST:
        return _reads_may_prefer_new(facts)
    reasons = _reads_may_need_new(facts)
    if target is Stage.SEALED:
        reasons += (
            "stage sealed needs every live process to be known and confirmed, which this version cannot tell yet: "
            "stay in new_only",
        )
    return reasons


def _reads_may_prefer_new(facts: Facts) -> tuple[str, ...]:
    verify = f"run 'relay-jobs verify{facts.flag}' (with --repair if it finds something)"
    if facts.statement_at is None:
        since = " since the rollback" if facts.withdrawn_at else ""
        return (
            f"nobody has stated{since} that no process without the library writes any more: "
            f"once it is so, run 'relay-jobs stage set new_first{facts.flag} --legacy-writers-gone'",
            f"a verification in dual_write, begun after that statement, is needed: {verify}",
        )
    stated_at = facts.statement_at
    return _verified(
        facts,
        _CLEAN_FOR_READS,
        verify,
        lambda proof: [
            *_when(proof.started_at < stated_at, f"the verification was begun before the statement: {verify}"),
            *_when(
                proof.stage != Stage.DUAL_WRITE,
                f"the verification was made in stage {proof.stage or 'that changed meanwhile'}: {verify}",
            ),
            *_when(proof.epoch != facts.epoch, f"the verification is of an earlier dual-write epoch: {verify}"),
            # A server that came back from a snapshot may hold what the verification has seen mended.
            *_when(
                proof.server != facts.server,
                f"the verification was made on another server process: {verify}",
            ),
        ],
    )


def _reads_may_need_new(facts: Facts) -> tuple[str, ...]:
    backfill = f"run relay_backfill in Airflow, or 'relay-jobs backfill --execute{facts.flag}'"
    verify = f"run 'relay-jobs verify{facts.flag}'"
    reasons = _best(
        facts.passes,
        f"no complete pass is recorded: {backfill}",
        lambda proof: _stale("pass", proof, facts, backfill),
    )
    reasons += _verified(facts, _CLEAN, verify, lambda proof: _stale("verification", proof, facts, verify))
    if facts.unacknowledged:
        reasons += (
            f"{facts.unacknowledged} quarantined records are not acknowledged: look at 'relay-jobs quarantine list', "
            "then 'relay-jobs quarantine ack --reason ...'",
        )
    return reasons


def _stale(what: str, proof: Proof, facts: Facts, remedy: str) -> list[str]:
    age = (facts.now - proof.finished_at) / 3600
    limit = facts.proof_max_age_hours
    return [
        *_when(proof.epoch != facts.epoch, f"the {what} is of an earlier dual-write epoch: {remedy}"),
        *_when(proof.server != facts.server, f"the {what} was made on another server process: {remedy}"),
        *_when(
            what == "verification" and _overtaken(proof, facts),
            f"the verification was begun when processes without the library might still write: {remedy}",
        ),
        *_when(age > limit, f"the {what} is {age:.1f} h old, older than {limit:g} h: {remedy}"),
    ]


def _overtaken(proof: Proof, facts: Facts) -> bool:
    """Whether a process without the library may have created a job behind the walk, which has no workspace copy."""
    after_statement = facts.statement_at is not None and proof.started_at >= facts.statement_at
    after_rollback = proof.stage in {Stage.NEW_FIRST, Stage.NEW_ONLY} and proof.started_at >= facts.withdrawn_at
    return not (after_statement or after_rollback)


def _unclean(what: str, proof: Proof, names: Sequence[str], remedy: str) -> list[str]:
    found = {name: proof.counts.get(name, 0) for name in names if proof.counts.get(name, 0)}
    text = ", ".join(f"{name} = {number}" for name, number in found.items())
    return _when(bool(found), f"the last {what} found {text}; all must be 0: {remedy}")


def _when(condition: bool, reason: str) -> list[str]:  # noqa: FBT001 -- reads as a sentence at every call
    return [reason] if condition else []


def _verified(facts: Facts, names: Sequence[str], remedy: str, judge: Callable[[Proof], list[str]]) -> tuple[str, ...]:
    """Reasons against the best verification; one that holds is enough, unless a later one has found something."""

    def reasons(proof: Proof) -> list[str]:
        return [*judge(proof), *_unclean("verification", proof, names, remedy)]

    holding = [proof.started_at for proof in facts.verifications if not reasons(proof)]
    if not holding:
        return _best(facts.verifications, f"no verification is recorded: {remedy}", reasons)
    later = [proof for proof in facts.verifications if proof.started_at > max(holding)]
    return tuple(reason for proof in later for reason in _unclean("verification", proof, names, remedy))


def _best(proofs: Sequence[Proof], absent: str, judge: Callable[[Proof], list[str]]) -> tuple[str, ...]:
    """Reasons against the proof that has fewest of them; one good proof is enough."""
    if not proofs:
        return (absent,)
    judged: list[list[str]] = [judge(proof) for proof in sorted(proofs, key=lambda p: -p.finished_at)]
    return tuple(sorted(judged, key=len)[0])
