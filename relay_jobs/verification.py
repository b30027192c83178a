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
# Doubts of several steps are settled together: when there are so many, or the first of them is so many seconds old.
_DOUBTS, _DOUBT_SECONDS = 100, 1.0
# A job whose copies still move after so many readings is called what the last one found.
_READINGS = 8
_COUNTED = frozenset(Finding)
# Equal copies, but a listing would not find the job, or not in its place; `sealed` has one copy.
_UNINDEXED = "unindexed"
_INSTANT = frozenset({Finding.MISSING.value, _UNINDEXED})


@dataclass(frozen=True, slots=True)
class Doubt:
    """A job that one reading found not equal; ``fingerprint`` is of what differs."""

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
        """The result so far, without what is still to be read again; final once :meth:`steps` is exhausted."""
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
        doubts: list[Doubt] = []
        # None: nothing is read yet; 0: it has come round.
        cursor: int | None = None
        since = 0.0
        while cursor != 0 or left:
            for _ in self._hibernated():
                yield self._step(direction, cursor, offset)
            # What the step before had no time for comes first; the cursor lies behind it.
            reply = self._ask(script, cursor or 0, *left)
            if not doubts:
                since = time.monotonic()
            doubts += self._counted(reply)
            cursor, left = cursor if left else int(reply[1]), reply[5]
            yield self._step(direction, cursor, offset)
            self._steps.rest()
            if (cursor == 0 and not left) or len(doubts) >= _DOUBTS or time.monotonic() - since >= _DOUBT_SECONDS:
                for _ in self._settle(doubts, script):
                    yield self._step(direction, cursor, offset)
                doubts = []

    def _hibernated(self) -> Iterator[None]:
        """One item for each look at a server that has no room for a step."""
        while self._steps.pace.hibernating:
            yield
            self._steps.hibernate()

    def _step(self, direction: str, cursor: int | None, offset: float) -> VerifyStep:
        fraction = 0.0 if cursor is None else partition_fraction(cursor, 0, 0) if cursor else 1.0
        return VerifyStep(direction, self._checked(), offset + fraction / 2, held_by=self._steps.pace.held_by)

    def _checked(self) -> int:
        return sum(number for name, number in self._tally.counts.items() if name in _COUNTED)

    def _again(self, script: Script, doubts: list[Doubt]) -> Iterator[list[Doubt]]:
        """Another reading of these jobs, in steps like those of the walk: what each still finds not equal."""
        by_id = script is _COMPARE
        # SCAN may have given one twice.
        names: list[tuple[bytes, ...]] = list(
            dict.fromkeys((d.job_id,) if by_id else (d.workspace, d.job_id) for d in doubts)
        )
        while names:
            for _ in self._hibernated():
                yield []
            portion, names = names[: self._steps.pace.keys], names[self._steps.pace.keys :]
            reply = self._ask(script, 0, *(part for name in portion for part in name))
            names = [(job_id,) for job_id in reply[5]] + names
            yield self._counted(reply)
            self._steps.rest()

    def _ask(self, script: Script, cursor: int, *names: bytes) -> list[Any]:
        pace = self._steps.pace
        head = (self.server, self._scope, self._flag_stage, self._leave_out, cursor, pace.keys)
        reply = self._steps.send(script, (), *head, microseconds(pace.longest), *names)
        if reply[0] == b"void":
            msg = "the server process is another one; what was compared before proves nothing"
            raise PassVoid(msg)
        if reply[4]:
            self._record_quarantined(reply[4])
        return reply

    def _settle(self, doubts: list[Doubt], script: Script) -> Iterator[None]:
        """Read doubtful jobs again until two readings agree, step by step; only then is a finding counted."""
        reading = 0
        while doubts:
            if any(doubt.finding not in _INSTANT for doubt in doubts):
                self._sleep(_SETTLE_SECONDS * 2**reading)
            before = {(d.workspace, d.job_id): d for d in doubts}
            found: list[Doubt] = []
            for part in self._again(script, doubts):
                found += part
                yield
            doubts, reading = [], min(reading + 1, _READINGS)
            for doubt in found:
                if self._run is not None and self._steps.pace.hibernating:
                    # Nothing is mended by a reading from before.
                    doubts.append(doubt)
                elif before.get((doubt.workspace, doubt.job_id)) == doubt or reading == _READINGS:
                    self._conclude(doubt)
                    if self._run is not None:
                        yield
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
        args = (doubt.workspace, doubt.job_id, self._flag_stage, run)
        reply = self._steps.work(_REPAIR, where, *args)
        if reply[0] == b"fenced":
            msg = f"{decode_id(reply[1])} has taken over the lease; the repair ends"
            raise Fenced(msg)
        return reply[0] == b"ok", reply[1].decode()

    def _counted(self, reply: list[Any]) -> list[Doubt]:
        """What a reading found is counted, but for what it doubts."""
        tally, doubts = reply[2], _doubts(reply[3])
        for name, number in zip(tally[::2], tally[1::2], strict=True):
            self._tally.counts[name.decode()] += int(number)
        for doubt in doubts:
            self._tally.counts[doubt.finding] -= 1
        return doubts

    def _record_quarantined(self, flat: list[bytes]) -> None:
        quads = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
        found = [Quarantined(i, w, fault.decode(), known == b"1") for i, w, fault, known in quads]
        self._tally.unacknowledged += sum(not record.acknowledged for record in found)
        self._quarantine(found)


def _doubts(flat: list[bytes]) -> list[Doubt]:
    rows = zip(flat[::5], flat[1::5], flat[2::5], flat[3::5], flat[4::5], strict=True)
    return [Doubt(job_id, space, found.decode(), why.decode(), print_) for job_id, space, found, why, print_ in rows]
