"""What every answer of the HTTP API is held against: kept outside of the system, by what it has answered before."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SHOWN = frozenset(
    {"job_id", "status", "action", "result", "error", "duration_ms", "enqueued_at", "started_at", "finished_at"}
)
_RANKS = {"pending": 0, "running": 1, "completed": 2}


def action_of(workspace: str) -> str:
    """The action of every job of a workspace, so that a foreign job is known by it."""
    return f"act-{workspace}"


def result_of(job_id: str) -> dict[str, str]:
    """What every finished job has as its result."""
    return {"done": job_id}


@dataclass(slots=True)
class _Workspace:
    ranks: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)


class Ledger:
    """Jobs that are known to exist, how far each was seen to be, and what was wrong with an answer."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 -- made-up traffic
        self._workspaces: dict[str, _Workspace] = {}
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()

    def created(self, workspace: str, job_ids: list[str], rank: int = 0) -> None:
        """The client was told of these jobs."""
        with self._lock:
            known = self._workspaces.setdefault(workspace, _Workspace())
            for job_id in job_ids:
                if job_id not in known.ranks:
                    known.ranks[job_id] = rank
                    known.ids.append(job_id)

    def any_job(self, workspace: str) -> tuple[str, int]:
        """A known job, and how far it was seen to be before now."""
        with self._lock:
            known = self._workspaces[workspace]
            job_id = self._random.choice(known.ids)
            return job_id, known.ranks[job_id]

    def known(self, workspace: str) -> dict[str, int]:
        """Every job that exists by now, and how far it was seen to be."""
        with self._lock:
            return dict(self._workspaces[workspace].ranks)

    def met(self, workspace: str, job: dict[str, Any], rank: int, where: str) -> None:
        """A job was shown, after it had been seen as far as ``rank``."""
        for fault in _faults(workspace, job, rank):
            self.blame(f"{where}: job {job.get('job_id')} of {workspace}: {fault}")
        with self._lock:
            known = self._workspaces[workspace]
            seen = _RANKS.get(job.get("status", ""), 0)
            job_id = job.get("job_id", "")
            if job_id in known.ranks:
                known.ranks[job_id] = max(known.ranks[job_id], seen)

    def walked(self, workspace: str, before: dict[str, int], jobs: list[dict[str, Any]]) -> None:
        """A walk over a listing has ended that began when ``before`` was known."""
        times = Counter(job["job_id"] for job in jobs)
        for job in jobs:
            self.met(workspace, job, before.get(job["job_id"], 0), "walk")
        for job_id, count in times.items():
            if count > 1:
                self.blame(f"walk: job {job_id} of {workspace}: {count} times")
        for job_id in before.keys() - times.keys():
            self.blame(f"walk: job {job_id} of {workspace}: missing")
        self.count("walks")
        self.count("walked jobs", len(jobs))

    def blame(self, what: str) -> None:
        """Something was wrong."""
        with self._lock:
            self.wrong.append(what)

    def count(self, what: str, number: int = 1) -> None:
        """One more of something."""
        with self._lock:
            self.counts[what] += number


def _faults(workspace: str, job: dict[str, Any], rank: int) -> list[str]:
    status = job.get("status", "")
    ended = status == "completed"
    facts = {
        f"fields {sorted(job)}": set(job) != SHOWN,
        f"foreign or partial, action {job.get('action')!r}": job.get("action") != action_of(workspace),
        "partial, no enqueued_at": job.get("enqueued_at") is None,
        f"status {status!r}": status not in _RANKS,
        f"stale, {status!r} after rank {rank}": _RANKS.get(status, 0) < rank,
        "partial, no result": ended and job.get("result") != result_of(job.get("job_id", "")),
        "partial, no times": ended and None in {job.get("started_at"), job.get("finished_at"), job.get("duration_ms")},
        "a result before the end": not ended and job.get("result") is not None,
    }
    return [fault for fault, holds in facts.items() if holds]
