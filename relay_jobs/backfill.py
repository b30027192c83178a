"""The backfill engine: one partition of a pass as a stream of reports; planned and executed by the same script."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.errors import Fenced, PassVoid
from relay_jobs.jobs import decode_id
from relay_jobs.pace import Pace
from relay_jobs.progress import BatchReport, Books, Phase, Sample, partition_fraction
from relay_jobs.runs import CHECKPOINT_TTL_MS, Joined, Pass, Terms, join, release, waited
from relay_jobs.scripting import Arg, Script
from relay_jobs.stepping import LOOK_SECONDS, Sleep, Steps, microseconds

_WALK = Script("walk_batch", "engine")

# Samples of one batch: enough to see what is wrong, too few to fill a log.
SAMPLES = 20
_PAUSE_POLL_SECONDS = 1.0
# Walks of one rate come apart by so much, which the bucket makes up for.
_SPREAD_SECONDS = 0.05
# A wait for a turn that is shorter is nothing to report.
_SAID_SECONDS = 1.0
_LIMITS = {
    b"turn": "its turn among all walks",
    b"rps": "the rate limit of all running work",
    b"rps_per_slot": "the rate limit of a pool slot",
}
# What a step is told of its pace when it has none.
_UNPACED = ("", "", "")


class Walk:
    """Walks partitions of one pass.

    Args:
        client: the server.
        opened: the pass.
        flag_stage: what the process's flags mean, for workspaces without a recorded stage.
        lease_seconds: time to live of the leases; also how long a held partition is waited for.
        pace: makes the pace of a partition.
        max_labels: how many workspaces get a metric label of their own.
        sleep: how to rest.
    """

    def __init__(
        self,
        client: "redis.Redis",
        opened: Pass,
        *,
        flag_stage: str,
        lease_seconds: float,
        pace: Callable[[], Pace],
        max_labels: int = 100,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._client, self._pass, self._sleep, self._labels = client, opened, sleep, max_labels
        self._flag_stage, self._lease, self._pace = flag_stage, lease_seconds, pace

    def partition(self, number: int, owner: str, *, again: bool = False) -> Iterator[BatchReport]:
        """One partition to its end; a checkpoint that turns void is started over, and said.

        Args:
            number: of the partition, from 0.
            owner: the unit of work.
            again: walk it even if it is walked.

        Raises:
            LeaseHeld: another run, or another owner of the partition, is alive.
            Fenced: another owner has taken over meanwhile.
        """
        note = ""
        while True:
            joined = self._join(number, owner, again=again and not note)
            if joined.found == "walked":
                yield self._report(Phase.DONE, number, fraction=1.0, reason="it was walked before")
                return
            try:
                if joined.found == "void" or note:
                    yield self._report(Phase.RESTARTED, number, reason=note or joined.reason)
                elif joined.found == "resumed":
                    fraction = self._fraction(joined.cursor, number)
                    yield self._report(Phase.RESUMED, number, fraction=fraction, reason="an unfinished walk goes on")
                yield from self._steps(number, owner, joined)
            except PassVoid as void:
                note = void.reason
            except GeneratorExit:
                # Whoever stops early lets the next one begin at once.
                release(self._client, owner, keys.partition_lease(self._pass.name, number))
                raise
            else:
                return

    def _join(self, number: int, owner: str, *, again: bool) -> Joined:
        terms = Terms(again=again)
        return waited(
            lambda: join(self._client, self._pass, number, owner, self._lease, terms), self._lease + 1, self._sleep
        )

    def _steps(self, number: int, owner: str, joined: Joined) -> Iterator[BatchReport]:
        opened, lease = self._pass, round(self._lease * 1000)
        where = (
            keys.progress(opened.name),
            keys.pending(opened.name, number),
            keys.partition_lease(opened.name, number),
            keys.run(opened.run),
            opened.record,
        )
        rate = "" if opened.rps_per_slot is None else opened.rps_per_slot
        args: list[Arg] = ["copy", opened.run, owner, joined.token, number, opened.bits, joined.generation]
        args += [opened.scope, self._flag_stage]
        after: list[Arg] = [lease, rate, SAMPLES, CHECKPOINT_TTL_MS, self._labels]
        steps = Steps(self._client, self._pace(), sleep=self._sleep)
        steps.look()
        # Its next turn among all polite walks, and seconds of the server that the others do not know of yet.
        turn, taken = b"", 0.0
        while True:
            keys_ = 0 if steps.pace.hibernating else steps.pace.keys
            reply = steps.send(_WALK, where, *args, keys_, *after, *_paced(steps.pace), turn, microseconds(taken))
            if reply[0] == b"wait" and reply[2] == b"turn":
                turn, seconds = reply[3], int(reply[1]) / 1e6
                if seconds < _SAID_SECONDS:
                    self._sleep(seconds)
                    continue
            report = self._interpret(number, reply, steps.pace)
            yield report
            if report.phase in {Phase.DONE, Phase.LIMITED}:
                return
            if report.phase is Phase.BATCH:
                turn, taken = reply[8], max(0.0, steps.used)
                steps.rest(at_least=_due(report), next_in=int(reply[9]) / 1e6, walked=int(reply[10]) / 1e6)
            elif report.phase is Phase.HIBERNATING:
                steps.hibernate()
            else:
                self._sleep(_due(report))

    def _interpret(self, number: int, reply: list[Any], pace: Pace) -> BatchReport:
        match reply[0]:
            case b"void":
                raise PassVoid(reply[1].decode())
            case b"fenced":
                msg = f"{decode_id(reply[1])} has taken over partition {number} or the lease; this walk ends"
                raise Fenced(msg)
            case b"wait" if reply[2] == b"held":
                return self._report(Phase.HIBERNATING, number, reason=pace.held_by, wait_seconds=LOOK_SECONDS)
            case b"wait":
                seconds = int(reply[1]) / 1e6
                return self._report(Phase.WAITING, number, reason=_LIMITS[reply[2]], wait_seconds=seconds)
            case b"paused":
                who, why, since = (decode_id(part) for part in reply[1:])
                reason = f"paused by {who} since {since}: {why}"
                return self._report(Phase.PAUSED, number, reason=reason, wait_seconds=_PAUSE_POLL_SECONDS)
        return batch_report(reply, number, self._pass.bits, pace.held_by)

    def _fraction(self, cursor: str, number: int) -> float:
        return 1.0 if cursor == "end" else partition_fraction(int(cursor), number, self._pass.bits)

    def _report(self, phase: Phase, number: int, **facts: Any) -> BatchReport:
        return BatchReport(phase, number, self._pass.partitions, **facts)


def plan(
    client: "redis.Redis",
    *,
    server: str,
    scope: str,
    flag_stage: str,
    pace: Pace,
    max_keys: int | None = None,
    rps: int | None = None,
    sleep: Sleep = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[BatchReport]:
    """What a pass over everything would do, by read commands only; always from the start.

    ``server`` is the process it began on; on another one it starts over, and says so.
    """
    steps, limiter = Steps(client, pace, sleep=sleep), _Rate(rps, clock)
    while True:
        try:
            yield from _plan_steps(steps, limiter, (server, scope, flag_stage), max_keys)
        except PassVoid as void:
            yield BatchReport(Phase.RESTARTED, reason=void.reason)
            server = str(client.info("server")["run_id"])
        else:
            return


def _plan_steps(
    steps: Steps, limiter: "_Rate", what: tuple[str, str, str], max_keys: int | None
) -> Iterator[BatchReport]:
    steps.look()
    left: list[bytes] = []
    cursor, budget = b"0", b"" if max_keys is None else b"%d" % max_keys
    while True:
        while steps.pace.hibernating:
            yield BatchReport(Phase.HIBERNATING, reason=steps.pace.held_by, wait_seconds=LOOK_SECONDS)
            steps.hibernate()
        head = ("plan", "", "", "", 0, 0, *what, limiter.batch(steps.pace.keys), 0, "", SAMPLES, 0, 0)
        # It keeps no turns in Redis: it writes nothing.
        longest = microseconds(steps.pace.longest)
        reply = steps.send(_WALK, (b"",) * 5, *head, longest, "", "", "", 0, cursor, budget, *left, read_only=True)
        if reply[0] == b"void":
            raise PassVoid(reply[1].decode())
        cursor, budget, left = reply[2], reply[6], reply[5]
        report = batch_report(reply, 0, 0, steps.pace.held_by)
        yield report
        if report.phase in {Phase.DONE, Phase.LIMITED}:
            return
        steps.rest(at_least=limiter.rest(report.counts.scanned))


def _due(report: BatchReport) -> float:
    """Seconds to rest where a report asks for it: not on the dot, which would bring all walks back at one moment."""
    if not report.wait_seconds:
        return 0.0
    spread = random.uniform(0, _SPREAD_SECONDS)  # noqa: S311 -- no secret
    return min(report.wait_seconds + spread, _PAUSE_POLL_SECONDS)


def _paced(pace: Pace) -> tuple[Arg, Arg, Arg]:
    """After how many microseconds a step ends, how many there are to the next one, and why."""
    if not pace.polite:
        return _UNPACED
    spacing = LOOK_SECONDS if pace.hibernating else pace.spacing
    return microseconds(pace.longest), microseconds(spacing), pace.held_by


class _Rate:
    """A dry run's own rate limit: it may not keep one in Redis."""

    def __init__(self, rps: int | None, clock: Callable[[], float]) -> None:
        self._rps, self._clock, self._due = rps, clock, clock()

    def batch(self, batch: int) -> int:
        return batch if self._rps is None else max(1, min(batch, self._rps // 10))

    def rest(self, examined: int) -> float:
        if self._rps is None:
            return 0.0
        now = self._clock()
        self._due = max(self._due, now - 0.25) + examined / self._rps
        return max(0.0, self._due - now)


_PHASES = {b"more": Phase.BATCH, b"done": Phase.DONE, b"limited": Phase.LIMITED}


def batch_report(reply: list[Any], number: int, bits: int, held_by: str = "") -> BatchReport:
    """The report of one examined batch."""
    _, state, cursor, tally, samples, _, _, rest = reply[:8]
    counts = {name.decode(): int(value) for name, value in zip(tally[::2], tally[1::2], strict=True)}
    quads = zip(samples[::4], samples[1::4], samples[2::4], samples[3::4], strict=True)
    fraction = 1.0 if cursor == b"end" else partition_fraction(int(cursor), number, bits)
    return BatchReport(
        phase=_PHASES[state],
        partition=number,
        partitions=2**bits,
        counts=Books(**counts),
        fraction=fraction,
        reason=held_by,
        wait_seconds=int(rest) / 1e6,
        samples=tuple(Sample(decode_id(i), w.decode() or None, o.decode(), r.decode()) for i, w, o, r in quads),
    )
