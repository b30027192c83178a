"""How near the engines come to what the server needs for the same work without a client.

``python -m benchmarks.limit [near verify far flat foreign]`` prints one JSON object; without a word, all parts. Bare
work and engine alternate on one server, and what counts are the ratios: 1 is as fast as the server can.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import redis

from benchmarks import bare
from benchmarks.bare import Cost
from benchmarks.far import far
from benchmarks.ground import SERVERS, Content, Ground, grounds, operate

JOBS = 200_000
SIZES = (10_000, 100_000, 1_000_000)
PARTITIONS = (1, 4, 8, 16)
FAR_MS = 2.0
FULL_SPEED = ("backfill", "--execute", "--full-speed")
VERIFY = ("verify", "--full-speed")

Figures = dict[str, Any]


def near(ground: Ground, content: Content, rounds: int = 5) -> Figures:
    """Backfill beside the bare work, on a server at hand."""
    copies, engines = [], []
    for _ in range(rounds):
        ground.prepare(content)
        copies.append(figures(bare.copy(ground)))
        ground.prepare(content)
        engines.append(_engine(ground, ground.port, content.jobs, *FULL_SPEED))
    return {"jobs": content.jobs, **side_by_side(copies, engines)}


def verify(ground: Ground, content: Content, rounds: int = 5) -> Figures:
    """Verification beside the bare comparison, of jobs that are all copied and equal."""
    ground.prepare(content)
    bare.copy(ground)
    compared, engines = [], []
    for _ in range(rounds):
        cost = bare.compare(ground)
        compared.append(figures(cost))
        engines.append(_engine(ground, ground.port, content.jobs, *VERIFY))
        assert cost.fine == engines[-1]["equal"], cost
    return {"jobs": content.jobs, **side_by_side(compared, engines)}


def far_away(ground: Ground, content: Content, partitions: Sequence[int] = PARTITIONS) -> Figures:
    """Backfill of a server behind a proxy that adds to every round trip, by more and more partitions."""
    rows = []
    with far(ground.port, FAR_MS) as port:
        trip = _round_trip(port)
        for number in partitions:
            ground.prepare(content)
            limit = figures(bare.copy(ground))
            ground.prepare(content)
            row = _engine(ground, port, content.jobs, *FULL_SPEED, "--partitions", str(number))
            rows.append({"partitions": number, **side_by_side([limit], [row])})
        verified = _engine(ground, port, content.jobs, *VERIFY)
    compared = side_by_side([figures(bare.compare(ground))], [verified])
    return {"adds_ms": FAR_MS, "round_trip_ms": trip, "backfill": rows, "verify": compared}


def flat(ground: Ground, content: Content, sizes: Sequence[int] = SIZES) -> Figures:
    """Cost of one job at every size; small stores are done several times."""
    rows = []
    for size in sizes:
        sized = replace(content, jobs=size)
        rounds = 3 if size <= SIZES[1] else 1
        copies, engines = [], []
        for _ in range(rounds):
            ground.prepare(sized)
            copies.append(figures(bare.copy(ground)))
            ground.prepare(sized)
            engines.append(_engine(ground, ground.port, size, *FULL_SPEED))
        rows.append({"jobs": size, **side_by_side(copies, engines)})
    costs = [row["engine"]["us_per_key"] for row in rows]
    limits = [row["limit"]["us_per_key"] for row in rows]
    return {"rows": rows, "largest_of_smallest": _times(costs), "limit_does": _times(limits)}


def foreign(ground: Ground, content: Content) -> Figures:
    """One key in a hundred is a job: cost of a key of the whole keyspace."""
    mixed = replace(content, jobs=content.jobs // 20, foreign=content.jobs // 20 * 99)
    every = mixed.jobs + mixed.foreign
    copies, engines = [], []
    for _ in range(3):
        ground.prepare(mixed)
        copies.append(figures(replace(bare.copy(ground), keys=every)))
        ground.prepare(mixed)
        engines.append(_engine(ground, ground.port, every, *FULL_SPEED))
    return {"keys": every, "jobs": mixed.jobs, **side_by_side(copies, engines)}


def _times(costs: Sequence[float]) -> float:
    return round(costs[-1] / costs[0], 2)


def figures(cost: Cost) -> Figures:
    """What a key costs."""
    return {
        "seconds": round(cost.seconds, 3),
        "per_second": round(cost.keys / cost.seconds),
        "us_per_key": round(cost.seconds / cost.keys * 1e6, 2),
        "server_us_per_key": round(cost.server_seconds / cost.keys * 1e6, 2),
    }


def of_limit(limit: Figures, engine: Figures) -> float:
    """What share of the limit's speed an engine has."""
    return round(float(limit["us_per_key"]) / float(engine["us_per_key"]), 3)


def side_by_side(limits: Sequence[Figures], engines: Sequence[Figures]) -> Figures:
    """The median round of both, the ratio of every round, and where an engine's time goes.

    ``server_does_more``: the server's own time for a key against the limit's; ``server_waits``: the part of the walk
    in which the server has nothing to do.
    """
    ratios = [of_limit(limit, engine) for limit, engine in zip(limits, engines, strict=True)]
    limit, engine = _middle(limits), _middle(engines)
    return {
        "of_limit": median(ratios),
        "rounds": ratios,
        "limit_us_per_key": [row["us_per_key"] for row in limits],
        "engine_us_per_key": [row["us_per_key"] for row in engines],
        "of_limit_by_process": round(limit["us_per_key"] / engine["process_us_per_key"], 3),
        "server_does_more": round(engine["server_us_per_key"] / limit["server_us_per_key"], 3),
        "server_waits": round(1 - engine["server_us_per_key"] / engine["us_per_key"], 3),
        "limit": limit,
        "engine": engine,
    }


def _middle(rows: Sequence[Figures]) -> Figures:
    return sorted(rows, key=lambda row: float(row["us_per_key"]))[len(rows) // 2]


def _engine(ground: Ground, port: int, keys: int, *words: str) -> Figures:
    """A command's own figures, and those of its process with its start and end; a key that is met twice is one."""
    began, used = time.perf_counter(), ground.cpu_seconds()
    answer = operate(port, *words).answer()
    whole, cpu = time.perf_counter() - began, ground.cpu_seconds() - used
    own = figures(Cost(keys, keys, answer["duration_seconds"], cpu))
    own |= {"process_us_per_key": round(whole / keys * 1e6, 2), "process_seconds": round(whole, 3)}
    own |= {"process_cpu_seconds": round(answer["cpu_seconds"], 3), "peak_mib": answer["peak_mib"]}
    return own | {name: answer[name] for name in ("scanned", "migrated", "equal") if name in answer}


def _round_trip(port: int) -> float:
    client, times = redis.Redis(port=port), []
    for _ in range(50):
        began = time.perf_counter()
        client.ping()
        times.append(time.perf_counter() - began)
    client.close()
    return round(median(times) * 1000, 3)


PARTS: dict[str, Callable[[Ground, Content], Figures]] = {
    "near": near,
    "verify": verify,
    "far": far_away,
    "flat": flat,
    "foreign": foreign,
}


def measure(server: str = "valkey", content: Content | None = None, parts: Sequence[str] = tuple(PARTS)) -> Figures:
    """Every part, one after the other, on one server."""
    with grounds(server) as (ground,):
        found = {part: PARTS[part](ground, content or Content(JOBS)) for part in parts}
        return {**found, "machine": ground.machine()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How near the engines come to the server's own limit.")
    parser.add_argument("--server", choices=SERVERS, default="valkey")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--invalid-every", type=int, default=100, help="every so many has no workspace; 0: none")
    parser.add_argument("--more-params", type=int, default=0, help="bytes of params beside the usual 50")
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part", help=", ".join(PARTS))
    said = parser.parse_args()
    content = Content(said.jobs, said.invalid_every, more_params=said.more_params)
    print(json.dumps(measure(said.server, content, said.parts), indent=2))


if __name__ == "__main__":
    main()
