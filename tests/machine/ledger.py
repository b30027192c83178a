"""What was acknowledged, kept outside Redis: jobs as their workspaces must see them, requests, queue, claims."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.machine.audit import STAGES, WRITES, Name, stage_of

ENDS = ("completed", "failed")
EDGES = {("pending", "running"), ("running", "completed"), ("running", "failed")}


@dataclass
class Known:
    """A job that was acknowledged; ``expires`` is by side, -1 for never."""

    workspace: str
    job_id: str
    fields: dict[bytes, bytes]
    born: int
    expires: list[int] = field(default_factory=lambda: [-1, -1])
    old: bool = False  # made by a process without the library: in no index until someone sees to it

    @property
    def status(self) -> str:
        said = self.fields.get(b"status", b"").decode()
        said = "failed" if said == "error" else said
        return said if said in {"running", *ENDS} else "pending"

    @property
    def ended(self) -> bool:
        return self.status in ENDS

    def shown(self) -> tuple[Any, ...]:
        """As its workspace is shown it."""

        def text(name: bytes) -> str:
            return self.fields.get(name, b"").decode()

        decoded = (json.loads(text(name)) if text(name) else None for name in (b"params", b"result"))
        times = (text(name) or None for name in (b"enqueued_at", b"started_at", b"finished_at"))
        return (self.job_id, self.workspace, self.status, *decoded, text(b"error") or None, *times)


@dataclass
class Claim:
    """A job that a worker holds; ``token`` tells one claim of a job from the next."""

    worker: str
    token: int
    lapsed: bool = False


@dataclass
class Process:
    """What a process that uses the library remembers: how it reads, and the claims that it took."""

    legacy_reader: bool = False
    tokens: dict[Name, int] = field(default_factory=dict)


class Ledger:
    """The acknowledged state."""

    def __init__(self) -> None:
        self.step = 0
        self.withdrawn: dict[str, int] = {}  # scope: step of its last way back to dual_write from above
        self.stages: dict[str, str] = {}
        self.epoch = 0
        self.unreversed: set[str] = set()
        self.paused = False
        self.jobs: dict[Name, Known] = {}
        self.requests: dict[Name, tuple[str, tuple[Any, ...]]] = {}
        self.queue: list[bytes] = []
        self.set_aside: list[bytes] = []
        self.claims: dict[Name, Claim] = {}
        self.processes = {0: Process(), 1: Process()}
        self._tokens = 0

    def stage(self, workspace: str) -> str:
        """The stage in force."""
        return stage_of(self.stages, workspace)

    def writes(self, workspace: str, side: str) -> bool:
        """Whether a workspace's stage writes a schema, L or W."""
        return side in WRITES[self.stage(workspace)]

    def barred(self, process: int, workspace: str) -> bool:
        """A process that reads legacy must not act where legacy is not written, or was not and is not reversed yet."""
        gaps = not self.writes(workspace, "L") or self.reversal_owed(workspace)
        return self.processes[process].legacy_reader and gaps

    def reversal_owed(self, workspace: str) -> bool:
        """Whether legacy copies of a workspace were not written for a time."""
        return (workspace if workspace in self.stages else "*") in self.unreversed

    def add(self, workspace: str, job_id: str, fields: dict[bytes, bytes], *, old: bool = False) -> Known:
        """A job is there."""
        known = Known(workspace, job_id, fields, self.step, old=old)
        self.jobs[workspace, job_id] = known
        return known

    def holder(self, job_id: str) -> str | None:
        """Who has a job of this id."""
        return next((workspace for workspace, held in self.jobs if held == job_id), None)

    def claim(self, name: Name, worker: str, process: int) -> None:
        """A worker of a process takes a job."""
        self._tokens += 1
        self.claims[name] = Claim(worker, self._tokens)
        self.processes[process].tokens[name] = self._tokens

    def entry(self, workspace: str, job_id: str) -> bytes:
        """How a job is queued."""
        bare = self.writes(workspace, "L")
        return job_id.encode() if bare else b"\x1f%b\x1f%b" % (workspace.encode(), job_id.encode())

    def expected_update(self, process: int, name: Name, status: str, outcome: tuple[bytes, bytes]) -> str | None:
        """Why an update of a job that is there is refused: 'ClaimLost', 'IllegalTransition', or None."""
        known, own, held = self.jobs[name], self.processes[process].tokens.get(name), self.claims.get(name)
        if not known.ended and own is not None and (held is None or held.token != own):
            return "ClaimLost"
        if known.status == status:
            recorded = tuple(known.fields.get(part, b"") for part in (b"result", b"error"))
            return "IllegalTransition" if known.ended and outcome != recorded else None
        return None if (known.status, status) in EDGES else "IllegalTransition"

    def withdrawn_at(self, scope: str) -> int:
        """Since when a statement about old processes counts for a scope."""
        return max(self.withdrawn.get(name, 0) for name in (scope, "*"))

    def moved(self, scope: str, rungs: tuple[str, ...]) -> None:
        """A scope has passed these rungs."""
        inherits = scope not in self.stages
        before = self.stages.get(scope) or self.stages.get("*") or "legacy"
        if inherits and "*" in self.unreversed:
            self.unreversed.add(scope)
        for stage in rungs:
            self.epoch += before == "legacy" and "W" in WRITES[stage]
            if stage == "sealed":
                self.unreversed.add(scope)
            if stage == "dual_write" and STAGES.index(before) > STAGES.index(stage):
                self.withdrawn[scope] = self.step
            if STAGES.index(stage) < STAGES.index("new_only"):
                self.unreversed.discard(scope)
            self.stages[scope] = before = stage
