"""The verification engine: both directions, every byte and expiry, compared inside the server."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.errors import Fenced, PassVoid
from relay_jobs.jobs import decode_id
from relay_jobs.pace import Pace
from relay_jobs.parity import Finding
from relay_jobs.progress import Sample, Verdict, VerifyStep, partition_fraction
from relay_jobs.scripting import Script
from relay_jobs.servers import identify
from relay_jobs.stepping import Steps, microseconds

_COMPARE = Script("compare_jobs", "engine", read_only=True)
_EXTRA = Script("find_extra", "engine", read_only=True)
_REPAIR = Script("repair_job", "engine")

SAMPLES = 20
# A writer without the library writes one schema after the other: it is given that long before a second reading.
_SETTLE_SECONDS = 0.02
# A job whose copies still move after so many readings is called what the last one found.
_READINGS = 8
_COUNTED = frozenset(Finding)
# Equal copies, but a listing would not find the job, or not in its place; `sealed` has one copy.
_UNINDEXED = "unindexed"
_INSTANT = frozenset({Finding.MISSING.value, _UNINDEXED})


@dataclass(frozen=True, slots=True)
class Doubt:
    """A job that one reading found not equal; ``fingerprint`` is of both copies."""

    job_id: bytes
    workspace: bytes
    finding: str
    reason: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A legacy job that is not valid."""

    job_id: bytes
    workspace: bytes
    fault: str
    acknowledged: bool


@dataclass(slots=True)
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Counter[str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    repaired: int = 0
    unacknowledged: int = 0


class Verification:
    """Compares every job of a scope in both directions.

    Args:
        client: the server.
        scope: workspaces, comma-separated, '' for all.
        flag_stage: what the process's flags mean, for workspaces without a recorded stage.
        repairing_as: the run that holds the lease, to repair what is found; default: only look.
        pace: how fast it may go.
        sleep: how to rest.
        quarantine: told of every legacy job that is not valid.
    """

    def __init__(
        self,
        client: "redis.Redis",
        *,
        scope: str,
        flag_stage: str,
        repairing_as: str | None = None,
        pace: Pace,
        sleep: Callable[[float], None] = time.sleep,
        quarantine: Callable[[list[Quarantined]], None] = lambda _: None,
    ) -> None:
        self._client, self._scope, self._flag_stage = client, scope, flag_stage
        self._run, self._sleep = repairing_as, sleep
        self._steps = Steps(client, pace, sleep=sleep)
        self._quarantine = quarantine
        # Whoever names a workspace wants to know; otherwise stage legacy has nothing to compare.
        self._leave_out = "0" if scope else "1"
        self._tally = _Tally()
        self._began = time.monotonic()
        self.server = ""

    def steps(self) -> Iterator[VerifyStep]:
        """Walk both directions; on another server process it starts over, and says so."""
        notice = ""
        while True:
            self._tally, self._began = _Tally(), time.monotonic()
            self.server = identify(self._client).run_id
            if notice:
                yield VerifyStep("legacy", 0, 0.0, notice)
            try:
                yield from self._walk("legacy", 0.0)
                yield from self._walk("workspace", 0.5)
            except PassVoid as void:
                notice = f"starting over: {void.reason}"
            else:
                return

    @property
    def verdict(self) -> Verdict:
        """The result so far; final once :meth:`steps` is exhausted."""
        counts, tally = self._tally.counts, self._tally
        findings = {finding.value: counts[finding.value] for finding in Finding}
        others = {name: counts[name] for name in ("unindexed", "malformed", "third_generation", "filtered")}
        return Verdict(
            **findings,
            **others,
            repaired=tally.repaired,
            unacknowledged=tally.unacknowledged,
            duration_seconds=time.monotonic() - self._began,
            samples=tuple(tally.samples),
        )

    @property
    def findings(self) -> dict[str, dict[str, int]]:
        """What is not equal, by workspace; workspaces without such a job are left out."""
        return {workspace: dict(found) for workspace, found in self._tally.findings.items()}

    def _walk(self, direction: str, offset: float) -> Iterator[VerifyStep]:
        script = _COMPARE if direction == "legacy" else _EXTRA
        self._steps.look()
        left: list[bytes] = []
        cursor, first = 0, True
        while cursor or left or first:
            while self._steps.pace.hibernating:
                yield self._step(direction, cursor, offset)
                self._steps.hibernate()
            # What the step before had no time for comes first; the cursor lies behind it.
            reply = self._ask(self._steps.send, script, cursor, microseconds(self._steps.pace.longest), *left)
            doubts = _doubts(reply[3])
            self._count(reply[2], doubts)
            self._settle(doubts, script)
            cursor, left, first = cursor if left else int(reply[1]), reply[5], False
            yield self._step(direction, cursor, offset)
            self._steps.rest()

    def _step(self, direction: str, cursor: int, offset: float) -> VerifyStep:
        fraction = partition_fraction(cursor, 0, 0) if cursor else 1.0
        return VerifyStep(direction, self._checked(), offset + fraction / 2, held_by=self._steps.pace.held_by)

    def _checked(self) -> int:
        return sum(number for name, number in self._tally.counts.items() if name in _COUNTED)

    def _again(self, script: Script, doubts: list[Doubt]) -> list[Any]:
        names = [(doubt.job_id,) if script is _COMPARE else (doubt.workspace, doubt.job_id) for doubt in doubts]
        return self._ask(self._run_at_once, script, 0, "", *(part for name in names for part in name))

    def _run_at_once(self, script: Script, *args: Any) -> list[Any]:
        return script(self._client, *args)

    def _ask(self, send: Callable[..., list[Any]], script: Script, cursor: int, *args: Any) -> list[Any]:
        head = (self.server, self._scope, self._flag_stage, self._leave_out, cursor, self._steps.pace.keys)
        reply = send(script, (), *head, *args)
        if reply[0] == b"void":
            msg = "the server process is another one; what was compared before proves nothing"
            raise PassVoid(msg)
        if reply[4]:
            self._record_quarantined(reply[4])
        return reply

    def _settle(self, doubts: list[Doubt], script: Script) -> None:
        """Read doubtful jobs again until two readings agree; only then is a finding counted."""
        for reading in range(_READINGS):
            if not doubts:
                return
            if any(doubt.finding not in _INSTANT for doubt in doubts):
                self._sleep(_SETTLE_SECONDS * 2**reading)
            before = {(d.workspace, d.job_id): d for d in doubts}
            reply = self._again(script, doubts)
            now = _doubts(reply[3])
            self._count(reply[2], now)
            doubts = []
            for doubt in now:
                if before.get((doubt.workspace, doubt.job_id)) == doubt or reading == _READINGS - 1:
                    self._conclude(doubt)
                else:
                    doubts.append(doubt)

    def _conclude(self, doubt: Doubt) -> None:
        finding, reason = doubt.finding, doubt.reason
        if self._run is not None and finding != "malformed":
            done, what = self._repair(doubt, self._run)
            if done:
                self._tally.repaired += what not in {"equal", "gone"}
                # What is equal or gone now is counted as that, so that the books still balance.
                self._tally.counts["equal"] += what not in {"removed", "gone", "listed"}
                return
            reason = what
        self._tally.counts[finding] += 1
        self._tally.counts["equal"] += finding == _UNINDEXED and doubt.reason != "sealed"
        self._tally.findings.setdefault(doubt.workspace.decode(), Counter())[finding] += 1
        # What a repair or a pass mends by itself leaves room for what needs eyes.
        if len(self._tally.samples) < (SAMPLES // 4 if finding == _UNINDEXED else SAMPLES):
            sample = Sample(decode_id(doubt.job_id), doubt.workspace.decode(), finding, reason)
            self._tally.samples.append(sample)

    def _repair(self, doubt: Doubt, run: str) -> tuple[bool, str]:
        where = (
            keys.LEGACY_PREFIX + doubt.job_id,
            keys.WORKSPACE_PREFIX + doubt.workspace + b":" + doubt.job_id,
            keys.INDEX_PREFIX + doubt.workspace,
        )
        reply = _REPAIR(self._client, where, doubt.workspace, doubt.job_id, self._flag_stage, run)
        if reply[0] == b"fenced":
            msg = f"{decode_id(reply[1])} has taken over the lease; the repair ends"
            raise Fenced(msg)
        return reply[0] == b"ok", reply[1].decode()

    def _count(self, tally: list[bytes], doubts: list[Doubt]) -> None:
        for name, number in zip(tally[::2], tally[1::2], strict=True):
            self._tally.counts[name.decode()] += int(number)
        for doubt in doubts:
            self._tally.counts[doubt.finding] -= 1

    def _record_quarantined(self, flat: list[bytes]) -> None:
        quads = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        found = [Quarantined(i, w, fault.decode(), known == b"1") for i, w, fault, known in quads]
        self._tally.unacknowledged += sum(not record.acknowledged for record in found)
        self._quarantine(found)


def _doubts(flat: list[bytes]) -> list[Doubt]:
    rows = zip(flat[::5], flat[1::5], flat[2::5], flat[3::5], flat[4::5], strict=True)
    return [Doubt(job_id, space, found.decode(), why.decode(), print_) for job_id, space, found, why, print_ in rows]
