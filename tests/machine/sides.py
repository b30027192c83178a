"""One of the two servers: its own processes and its own migration, and what its database holds."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from redis.client import NEVER_DECODE

from relay_jobs import Job, JobStore, Settings
from relay_jobs.errors import RelayJobsError
from relay_jobs.migration import Migration
from relay_jobs.stages import Flags
from tests.machine.audit import Kept
from tests.machine.fake import EngineServer

JOBS = "ai:[jiq]*"  # both schemas, idempotency, indexes, queue

_SNAPSHOT = """
local found = {}
local read = {string = {'GET'}, list = {'LRANGE', 0, -1}, set = {'SMEMBERS'}, hash = {'HGETALL'},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'}}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind = redis.call('TYPE', key).ok
  local value = redis.call(read[kind][1], key, unpack(read[kind], 2))
  found[#found + 1] = {key, kind, value, redis.call('PEXPIRETIME', key)}
end
return found
"""


class Clock:
    """The clock that stamps jobs: it goes on by a second where it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> None:
        self.now += timedelta(seconds=1)

    @property
    def stamp(self) -> bytes:
        return self.now.isoformat(timespec="microseconds").encode()


class Side:
    """A server with two processes that use the library, and an operator.

    Args:
        number: 0 or 1, for what the ledger keeps of each side apart.
        name: for messages.
        process: the server itself, if it is the fake.
        client: the server.
        clock: the processes' clock.
    """

    def __init__(self, number: int, name: str, process: EngineServer | None, client: redis.Redis, clock: Clock) -> None:
        self.process = process
        self.number, self.name, self.client, self._clock = number, name, client, clock
        client.flushall()
        self.rests: list[float] = []
        self.migration = Migration(client, Settings(), who="ada", sleep=self.rests.append)
        self.stores: dict[int, JobStore] = {}
        self.before: dict[bytes, Kept] = {}
        self.data: dict[bytes, Kept] = {}

    def restart(self) -> None:
        """The server is started again with its data; a real one is only made to look so, which takes no time."""
        if isinstance(self.process, EngineServer):
            self.process.restart()
            return
        self.client.script_flush()
        for key in self.snapshot("ai:migration:progress:*"):
            if self.client.type(key) == b"hash" and self.client.hexists(key, "server"):
                self.client.hset(key, "server", "another process")
        for name in ("passes", "verifications"):
            for scope, text in self.client.hgetall(f"ai:migration:{name}").items():
                record = json.dumps({**json.loads(text), "server": "another process"})
                self.client.hset(f"ai:migration:{name}", scope, record)

    def start(self, process: int, flags: Flags) -> None:
        """Start a process that uses the library, or start it again."""
        self.stores[process] = JobStore(self.client, Settings(flags=flags, claim_lease_seconds=3600), now=self._clock)

    def attempt(self, call: Callable[["Side"], Any]) -> Any:
        """The answer, or the class of the error."""
        try:
            return call(self)
        except RelayJobsError as error:
            return type(error)

    def snapshot(self, pattern: str = JOBS) -> dict[bytes, Kept]:
        """What is kept under names of a pattern."""
        if self.process:
            return {key: Kept(kind, value, expires) for key, kind, value, expires in self.process.contents(pattern)}
        rows = self.client.execute_command("EVAL", _SNAPSHOT, 0, pattern, **{NEVER_DECODE: []})
        return {key: Kept(kind.decode(), _value(kind, value), int(expires)) for key, kind, value, expires in rows}

    def look(self) -> None:
        """Keep what was, and look anew."""
        self.before, self.data = self.data, self.snapshot()

    def time_ms(self) -> int:
        """The server's clock."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _value(kind: bytes, value: Any) -> Any:
    if kind == b"hash":
        return dict(zip(value[::2], value[1::2], strict=True))
    if kind == b"zset":
        return {member: float(score) for member, score in zip(value[::2], value[1::2], strict=True)}
    return set(value) if kind == b"set" else value


def seen(job: Job) -> tuple[Any, ...]:
    """A job as its workspace is shown it."""
    times = (job.enqueued_at, job.started_at, job.finished_at)
    return (
        job.job_id,
        job.workspace_id,
        job.status.value,
        job.params,
        job.result,
        job.error,
        *(time and time.isoformat(timespec="microseconds") for time in times),
    )
