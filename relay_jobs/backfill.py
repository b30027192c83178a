"""The backfill engine: one partition of a pass as a stream of reports; planned and executed by the same script."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.errors import Fenced, PassVoid
from relay_jobs.jobs import decode_id
from relay_jobs.progress import BatchReport, Books, Phase, Sample, partition_fraction
from relay_jobs.runs import CHECKPOINT_TTL_MS, Joined, Pass, join, release, waited
from relay_jobs.scripting import Arg, Script

_WALK = Script("walk_batch", "engine")

# Samples of one batch: enough to see what is wrong, too few to fill a log.
SAMPLES = 20
_PAUSE_POLL_SECONDS = 1.0
_LIMITS = {b"rps": "the rate limit of all running work", b"rps_per_slot": "the rate limit of a pool slot"}

Sleep = Callable[[float], None]


class Walk:
    """Walks partitions of one pass.

    Args:
        client: the server.
        opened: the pass.
        flag_stage: what the process's flags mean, for workspaces without a recorded stage.
        lease_seconds: time to live of the leases; also how long a held partition is waited for.
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
        max_labels: int = 100,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._client, self._pass, self._sleep, self._labels = client, opened, sleep, max_labels
        self._flag_stage, self._lease = flag_stage, lease_seconds

    def partition(self, number: int, owner: str) -> Iterator[BatchReport]:
        """One partition to its end; a checkpoint that turns void is started over, and said.

        Raises:
            LeaseHeld: another run, or another owner of the partition, is alive.
            Fenced: another owner has taken over meanwhile.
        """
        note = ""
        while True:
            joined = waited(
                lambda: join(self._client, self._pass, number, owner, self._lease), self._lease + 1, self._sleep
            )
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
        args += [opened.scope, self._flag_stage, opened.batch, opened.batch, lease, rate, SAMPLES, CHECKPOINT_TTL_MS]
        args.append(self._labels)
        while True:
            reply = _WALK(self._client, where, *args)
            report = self._interpret(number, reply)
            yield report
            if report.phase in {Phase.DONE, Phase.LIMITED}:
                return
            if report.wait_seconds > 0:
                self._sleep(min(report.wait_seconds, _PAUSE_POLL_SECONDS))

    def _interpret(self, number: int, reply: list[Any]) -> BatchReport:
        match reply[0]:
            case b"void":
                raise PassVoid(reply[1].decode())
            case b"fenced":
                msg = f"{decode_id(reply[1])} has taken over partition {number} or the lease; this walk ends"
                raise Fenced(msg)
            case b"wait":
                seconds = int(reply[1]) / 1000
                return self._report(Phase.WAITING, number, reason=_LIMITS[reply[2]], wait_seconds=seconds)
            case b"paused":
                who, why, since = (decode_id(part) for part in reply[1:])
                reason = f"paused by {who} since {since}: {why}"
                return self._report(Phase.PAUSED, number, reason=reason, wait_seconds=_PAUSE_POLL_SECONDS)
        return batch_report(reply, number, self._pass.bits)

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
    batch: int,
    max_keys: int | None = None,
    rps: int | None = None,
    sleep: Sleep = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[BatchReport]:
    """What a pass over everything would do, by read commands only; always from the start.

    ``server`` is the process it began on; on another one it starts over, and says so.
    """
    limiter = _Pace(rps, clock)
    while True:
        state: list[Any] = [b"0", "" if max_keys is None else max_keys, []]
        try:
            for report in _plan_steps(client, server, scope, flag_stage, limiter.batch(batch), state):
                yield report
                sleep(limiter.rest(report.counts.scanned))
        except PassVoid as void:
            yield BatchReport(Phase.RESTARTED, reason=void.reason)
            server = str(client.info("server")["run_id"])
        else:
            return


def _plan_steps(
    client: "redis.Redis", server: str, scope: str, flag_stage: str, batch: int, state: list[Any]
) -> Iterator[BatchReport]:
    head = ("plan", "", "", "", 0, 0, server, scope, flag_stage, batch, batch, 0, "", SAMPLES, 0, 0)
    while True:
        cursor, budget, left = state
        reply = _WALK(client, (b"",) * 5, *head, cursor, budget, *left, read_only=True)
        if reply[0] == b"void":
            raise PassVoid(reply[1].decode())
        state[:] = [reply[2], reply[6], reply[5]]
        report = batch_report(reply, 0, 0)
        yield report
        if report.phase in {Phase.DONE, Phase.LIMITED}:
            return


class _Pace:
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


def batch_report(reply: list[Any], number: int, bits: int) -> BatchReport:
    """The report of one examined batch."""
    _, state, cursor, tally, samples, _, _, rest = reply
    counts = {name.decode(): int(value) for name, value in zip(tally[::2], tally[1::2], strict=True)}
    quads = zip(samples[::4], samples[1::4], samples[2::4], samples[3::4], strict=True)
    fraction = 1.0 if cursor == b"end" else partition_fraction(int(cursor), number, bits)
    return BatchReport(
        phase=_PHASES[state],
        partition=number,
        partitions=2**bits,
        counts=Books(**counts),
        fraction=fraction,
        wait_seconds=int(rest) / 1000,
        samples=tuple(Sample(decode_id(i), w.decode() or None, o.decode(), r.decode()) for i, w, o, r in quads),
    )
