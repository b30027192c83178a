"""What all traffic processes share: a pace, a way to stop, counters and faults on file, and how an answer is read."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import redis

from demo.verdicts import FAILED, Fault, Seen
from relay_jobs import Job, RelayJobsError

REQUIRED = ("action_provider", "action_name", "params", "actor_id", "enqueued_at")
STARTED = ("running", "completed", "failed")
FINISHED = ("completed", "failed")


def as_seen(job: Job) -> Seen:
    """Reduce a job to what a verdict needs."""
    required = [*REQUIRED]
    required += ["started_at"] if job.status in STARTED else []
    required += ["finished_at"] if job.status in FINISHED else []
    missing = tuple(name for name in required if getattr(job, name) in (None, ""))
    owner = job.params.get("ws", "") if isinstance(job.params, dict) else ""
    mark = job.result.get("mark", "") if isinstance(job.result, dict) else (job.error or "")
    return Seen(job.job_id, job.workspace_id, str(job.status), mark, missing, owner)


def now_ms() -> float:
    """Return the wall clock in milliseconds, as expiry times are."""
    return time.time() * 1000


class Duty:
    """One traffic process: it works at its rate until it is stopped, and leaves its counters beside the ledgers."""

    def __init__(self, name: str, folder: Path, rate: float) -> None:
        self.name = name
        self.counters: Counter[str] = Counter()
        self._folder = folder
        self._period = 1 / rate
        self._next = self._written = time.monotonic()
        self._stopping = False
        self._seconds: list[float] = []
        self._faults = (folder / f"{name}.faults").open("a", buffering=1)

    def stop(self, _signum: int, _frame: FrameType | None) -> None:
        """End after the present tick; a handler of signals."""
        self._stopping = True

    def ticks(self) -> Iterator[int]:
        """Yield at the duty's rate until it is asked to stop; a long pause is not made up for."""
        number = 0
        parent = os.getppid()
        while not self._stopping:
            if os.getppid() != parent:  # killed without a chance to end us
                sys.exit(1)
            pause = self._next - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self._next = max(self._next + self._period, time.monotonic() - 0.5)
            if time.monotonic() - self._written > 0.5:
                self._write()
            yield number
            number += 1

    def fault(self, fault: Fault | None) -> None:
        """Count a fault and note it; None is none."""
        if fault is not None:
            self.counters[fault.kind] += 1
            self._faults.write(json.dumps([self.name, fault.kind, fault.job_id, fault.reason]) + "\n")

    @contextmanager
    def call(self, what: str, job_id: str = "") -> Iterator[None]:
        """Count a call of the store, and time a read; an error that nobody expected is a fault and ends nothing."""
        begin = time.perf_counter()
        try:
            yield
        except (RelayJobsError, redis.RedisError) as error:
            self.fault(Fault(FAILED, job_id, f"{what}: {type(error).__name__}: {error}"[:300]))
        else:
            self.counters[what] += 1
            if what == "read":
                self._seconds.append(time.perf_counter() - begin)

    def _write(self) -> None:
        self._written = time.monotonic()
        partial = self._folder / f"{self.name}.new"
        partial.write_text(json.dumps(self.counters))
        partial.rename(self._folder / f"{self.name}.stats")

    def finish(self) -> None:
        """Write the last counters, and how long its reads took."""
        self._write()
        self._faults.close()
        (self._folder / f"{self.name}.times").write_text(json.dumps([round(s * 1000, 3) for s in self._seconds]))
