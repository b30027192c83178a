"""What is wrong with an answer, given what had been acknowledged before it was asked for. Pure rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from demo.ledger import DELETED, PRESENT, RANK, Known

PARTIAL, STALE, FOREIGN, LOST, REVIVED, DOUBLED, FAILED = (
    "partial",
    "stale",
    "foreign",
    "lost",
    "revived",
    "doubled",
    "failed",
)
FAULTS = (PARTIAL, STALE, FOREIGN, LOST, REVIVED, DOUBLED, FAILED)

EXPIRY_SLACK_MS = 2_000
"""Clocks of two processes, and the moment between a look at the clock and the server's own."""


@dataclass(frozen=True)
class Seen:
    """What an answer held."""

    job_id: str
    workspace: str
    status: str
    mark: str
    missing: tuple[str, ...] = ()
    """Fields that each whole job has, and this one has not."""
    owner: str = ""
    """The workspace that the job's own parameters name; whoever wrote the hash, it travels with the job."""


@dataclass(frozen=True)
class Fault:
    """A fault with ids and a reason, and nothing of the job's content."""

    kind: str
    job_id: str
    reason: str


def expired(known: Known, now_ms: float) -> bool:
    return known.expires_at_ms is not None and now_ms > known.expires_at_ms + EXPIRY_SLACK_MS


def may_be_absent(known: Known, now_ms: float) -> bool:
    """Tell whether an absence is right: a deletion was at least announced, or the time is over."""
    over = known.expires_at_ms is not None and now_ms > known.expires_at_ms - EXPIRY_SLACK_MS
    return known.deletion != PRESENT or over


def judge(known: Known, seen: Seen, workspace: str, asked_at_ms: float) -> Fault | None:
    """Judge a job that an answer for `workspace` held. `known` is as of the time before the question."""
    rules = (
        (FOREIGN, known.workspace != workspace, f"asked for {workspace}, belongs to {known.workspace}"),
        (FOREIGN, seen.workspace != workspace, f"asked for {workspace}, says {seen.workspace}"),
        (FOREIGN, seen.owner not in ("", workspace), f"asked for {workspace}, made for {seen.owner}"),
        (PARTIAL, bool(seen.missing), f"without {', '.join(seen.missing)}"),
        (REVIVED, known.deletion == DELETED, "deleted before"),
        (REVIVED, expired(known, asked_at_ms), "expired before"),
        (STALE, RANK[seen.status] < RANK[known.status], f"{seen.status} after {known.status}"),
        (STALE, bool(known.mark) and seen.mark != known.mark, "another outcome than the acknowledged one"),
    )
    return next((Fault(kind, seen.job_id, reason) for kind, broken, reason in rules if broken), None)


def judge_walk(
    before: Mapping[str, Known], after: Mapping[str, Known], seen: Iterable[str], now_ms: float
) -> list[Fault]:
    """Judge a complete list walk: what was there throughout must be there exactly once.

    `before` holds the workspace's jobs that were present when the walk began, `after` what is known of them at its end.
    """
    counts = Counter(seen)
    faults = [Fault(DOUBLED, job_id, f"{count} times in one walk") for job_id, count in counts.items() if count > 1]
    for job_id, known in before.items():
        if job_id not in counts and known.deletion == PRESENT and not may_be_absent(after[job_id], now_ms):
            faults.append(Fault(LOST, job_id, "not in a walk although there throughout"))
    return faults
