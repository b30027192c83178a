"""A job store to measure on: a server of its own, filled by itself, and the commands of an operator against it."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.migration import Migration
from relay_jobs.stages import Stage
from tests.servers import Running

SERVERS = ("valkey", "redis7")
BUDGET = "RELAY_JOBS_LATENCY_BUDGET_MS"

# ARGV: first and last job, every so many without a workspace (0: none), bytes of params beside the usual ones
_FILL_JOBS = """
local invalid, more = tonumber(ARGV[3]), string.rep('x', tonumber(ARGV[4]))
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local at = string.format('2025-01-%02dT%02d:%02d:%02d', i % 28 + 1, i % 24, i % 60, i % 59)
  local key = 'ai:jobs:job-' .. i
  redis.call('HSET', key, 'job_id', 'job-' .. i, 'status', 'completed', 'action_provider', 'google',
    'action_name', 'gmail.send', 'params', '{"to": "someone@example.com", "subject": "hello' .. more .. '"}',
    'workspace_id', 'ws-' .. i % 12, 'actor_id', 'user-1', 'result', '{"ok": true, "id": "abcdef"}',
    'enqueued_at', at .. '.123456+00:00', 'started_at', at .. '+00:00', 'finished_at', at .. '+00:00')
  if invalid > 0 and i % invalid == 0 then redis.call('HDEL', key, 'workspace_id') end
end
"""
# ARGV: number of the job, fields, bytes of each
_FILL_LARGE = """
local key, value = 'ai:jobs:large-' .. ARGV[1], string.rep('x', tonumber(ARGV[3]))
redis.call('HSET', key, 'job_id', 'large-' .. ARGV[1], 'status', 'completed', 'workspace_id', 'ws-large',
  'enqueued_at', '2025-01-01T00:00:00+00:00')
for i = 1, tonumber(ARGV[2]) do redis.call('HSET', key, 'f' .. i, value) end
"""
_FILL_FOREIGN = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('SET', 'other:' .. i, 'a value') end"
_SLICE = 20_000


@dataclass(frozen=True)
class Content:
    """What a store is filled with.

    Attributes:
        jobs: legacy jobs.
        invalid_every: every so many has no workspace; 0: none.
        large: further jobs of 10,000 fields, 1 MB each.
        foreign: strings that are none of ours.
        more_params: bytes of params beside the usual 50; from 15 on a hash is no longer kept as one short list.
    """

    jobs: int
    invalid_every: int = 100
    large: int = 0
    foreign: int = 0
    more_params: int = 0


@dataclass(frozen=True)
class Ground:
    """A running server."""

    name: str
    port: int
    client: redis.Redis

    def fill(self, content: Content) -> None:
        """Empty it, and let it fill itself: a client would need minutes for a million jobs."""
        # Otherwise Valkey would free the old keys beside the new measurement.
        self.client.execute_command("FLUSHALL", "SYNC")
        for first in range(0, content.jobs, _SLICE):
            last = min(first + _SLICE, content.jobs) - 1
            self.client.eval(_FILL_JOBS, 0, first, last, content.invalid_every, content.more_params)
        for first in range(0, content.foreign, _SLICE):
            self.client.eval(_FILL_FOREIGN, 0, first, min(first + _SLICE, content.foreign) - 1)
        for number in range(content.large):
            self.client.eval(_FILL_LARGE, 0, number, 10_000, 95)

    def climb(self) -> None:
        """Record the stages up to ``dual_write``."""
        migration = Migration(self.client, who="benchmark")
        for stage in (Stage.LEGACY, Stage.DUAL_WRITE):
            migration.set_stage(stage)

    def prepare(self, content: Content) -> None:
        """Full, and in ``dual_write``."""
        self.fill(content)
        self.climb()

    def cpu_seconds(self) -> float:
        """Seconds of a core that it has used so far."""
        used = self.client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def started_at(self, run: str) -> float:
        """When a backfill's walk began, in seconds since 1970."""
        return int(self.client.hget(keys.run(f"{run}:backfill"), "started_at") or 0) / 1000

    def machine(self) -> dict[str, Any]:
        """What the figures were taken on."""
        about = self.client.info("server")
        version = about.get("valkey_version") or about["redis_version"]
        return {"cores": os.cpu_count(), "python": platform.python_version(), "server": f"{self.name} {version}"}


@dataclass
class Operated:
    """A ``relay-jobs`` command in a process of its own."""

    process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        """As Ctrl-C: it ends after its batch, and still answers."""
        # Not by way of Popen, which would wait for it and take away its resource usage.
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGINT)

    def stop_after(self, seconds: float) -> None:
        """The same, once it has had so long."""
        timer = threading.Timer(seconds, self.stop)
        timer.daemon = True
        timer.start()

    def answer(self) -> dict[str, Any]:
        """Its end: the object it printed, with the process's peak memory and seconds of a core."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        assert printed, f"the command has ended with {self.process.returncode} and printed nothing"
        answer: dict[str, Any] = json.loads(printed)
        assert "duration_seconds" in answer, answer
        spent = {"peak_mib": round(usage.ru_maxrss / 1024, 1), "cpu_seconds": usage.ru_utime + usage.ru_stime}
        return answer | spent


def operate(port: int, *words: str, environment: Mapping[str, str] | None = None) -> Operated:
    """Start a command of the operator."""
    command = [sys.executable, "-m", "relay_jobs", *words, "--redis-url", f"redis://127.0.0.1:{port}", "--json"]
    return Operated(
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
        )
    )


def budget(milliseconds: float | None) -> dict[str, str]:
    """The environment of a latency budget; ``None``: the default one."""
    return {} if milliseconds is None else {BUDGET: f"{milliseconds:g}"}


@contextmanager
def grounds(*names: str) -> Iterator[Sequence[Ground]]:
    """Running servers of these names, empty."""
    running = Running()
    try:
        started = [running.own(name, maxmemory_policy="noeviction") for name in names]
        yield [Ground(name, own.port, own.client()) for name, own in zip(names, started, strict=True)]
    finally:
        running.stop()
