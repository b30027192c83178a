"""What tenants feel while a backfill runs as an operator would call it.

``python -m benchmarks.foreground [options] [-- words]`` prints one JSON object; what stands behind ``--`` goes to
``relay-jobs backfill --execute``. ``--sweep`` runs it once for each batch setting, ``--budgets 0.5,1,2`` once for each
latency budget, ``--spike`` with a foreign load in the middle; with ``--elsewhere`` the backfill walks another server of
this machine, so that what is felt is the machine's.
"""

import argparse
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

from benchmarks.ground import SERVERS, Content, Ground, budget, grounds, operate
from benchmarks.latency import Span, best_at, felt, rises
from benchmarks.spike import spike
from benchmarks.tenants import Rates, Tenants

JOBS = 300_000
SPIKE_JOBS = 1_000_000
COUNTS = (10, 25, 50, 100, 200, 500, 1000, 2000)
# A SCAN step within the limits of a script that a server would call slow; what takes longer is counted.
_SLOW_MICROSECONDS = 500
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """What is measured, and how.

    Attributes:
        words: of the backfill, beside ``--execute``.
        seconds: of the backfill, which is stopped if it is not done by then.
        quiet_seconds: before it, and after it.
        budget_ms: the latency budget; ``None``: the default one.
        elsewhere: whether another server is walked than the tenants use.
    """

    server: str = "valkey"
    content: Content = field(default_factory=lambda: Content(JOBS))
    rates: Rates = field(default_factory=Rates)
    words: tuple[str, ...] = ()
    seconds: float = 15.0
    quiet_seconds: float = 15.0
    budget_ms: float | None = None
    elsewhere: bool = False


def measure(options: Options) -> dict[str, Any]:
    """Quiet, beside a backfill, and quiet again."""
    with grounds(*[options.server] * (2 if options.elsewhere else 1)) as (ground, *others):
        return {**_one(ground, options, *others), "machine": ground.machine()}


def _one(ground: Ground, options: Options, *others: Ground) -> dict[str, Any]:
    """Tenants use ``ground``; the backfill walks it too, or the other one."""
    servers = (ground, *others)
    for each in servers:
        each.prepare(options.content)
    tenants = Tenants(ground.port, options.content.jobs, options.rates)
    time.sleep(_SETTLE_SECONDS)
    before, quiet_cpu = _quiet(ground, options.quiet_seconds)
    start, during, books = _beside(servers[-1], options)
    time.sleep(_SETTLE_SECONDS)
    after, _ = _quiet(ground, options.quiet_seconds)
    requests = tenants.finish()
    quiet, busy = felt(requests, before, after), felt(requests, during)
    return {
        "settings": {"words": list(options.words), "budget_ms": options.budget_ms, "jobs": options.content.jobs},
        "before": felt(requests, before),
        "start_of_process": felt(requests, start),
        "during": busy,
        "after": felt(requests, after),
        "p99": rises(quiet, busy),
        "backfill": books | {"server_cpu_quiet": quiet_cpu},
    }


def _quiet(ground: Ground, seconds: float) -> tuple[Span, float]:
    began, used = time.perf_counter(), ground.cpu_seconds()
    time.sleep(seconds)
    ended = time.perf_counter()
    return (began, ended), round((ground.cpu_seconds() - used) / (ended - began), 3)


def _beside(ground: Ground, options: Options) -> tuple[Span, Span, dict[str, Any]]:
    """When the backfill's process started, when it walked, and its figures."""
    ground.client.config_set("slowlog-log-slower-than", _SLOW_MICROSECONDS)
    ground.client.config_set("slowlog-max-len", 10_000)
    ground.client.slowlog_reset()
    began, used = time.perf_counter(), ground.cpu_seconds()
    words = ("backfill", "--execute", *options.words)
    operated = operate(ground.port, *words, environment=budget(options.budget_ms))
    operated.stop_after(options.seconds)
    books = operated.answer()
    cpu = ground.cpu_seconds() - used
    slow = [entry["duration"] for entry in ground.client.slowlog_get(10_000)]
    walked = books["duration_seconds"]
    walk = time.perf_counter() - (time.time() - ground.started_at(books["run"]))
    figures = {
        **{name: books[name] for name in ("scanned", "migrated", "invalid", "complete", "peak_mib")},
        "walk_seconds": walked,
        "start_seconds": round(walk - began, 3),
        "per_second": round(books["scanned"] / walked),
        "server_cpu": round(cpu / walked, 3),
        "process_cpu_seconds": round(books["cpu_seconds"], 3),
        "commands_over_half_a_ms": len(slow),
        "longest_command_ms": max(slow, default=0) / 1000,
    }
    return (began, walk), (walk, walk + walked), figures


def sweep(
    options: Options, counts: Sequence[int] = COUNTS, by_hand: tuple[str, ...] = ("--full-speed",), rounds: int = 1
) -> Any:
    """Rate against p99: by default, and for each hand-set COUNT without a rate; how near ``auto`` is to the best.

    All take their turn in every round; what counts is the median.
    """
    settings = {"auto": options} | {
        f"{count}": replace(options, words=(*options.words, "--batch", str(count), *by_hand), budget_ms=None)
        for count in counts
    }
    table = _table(options.server, settings, rounds)
    auto, *hand = table["rows"]
    best = best_at(hand, auto["p99"])
    share = None if best is None else round(auto["per_second"] / best["per_second"], 3)
    return {**table, "best_by_hand": best, "auto_of_best": share}


def _median(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure."""
    return {
        name: value if isinstance(value, str | bool) else median_low(row[name] for row in rows)
        for name, value in rows[0].items()
    }


def partitions(options: Options, counts: Sequence[int]) -> dict[str, Any]:
    """Rate against p99 for so many walks at once."""
    words = {f"{count}": (*options.words, "--partitions", str(count)) for count in counts}
    return _table(options.server, {name: replace(options, words=each) for name, each in words.items()})


def budgets(options: Options, milliseconds: Sequence[float]) -> dict[str, Any]:
    """Rate against p99 for each latency budget."""
    return _table(options.server, {f"{each:g} ms": replace(options, budget_ms=each) for each in milliseconds})


def _table(server: str, settings: Mapping[str, Options], rounds: int = 1) -> dict[str, Any]:
    """A line for each setting, in turn in every round; of more than one the median."""
    with grounds(server) as (ground,):
        found = [{name: _row(ground, each, name) for name, each in settings.items()} for _ in range(rounds)]
        machine = ground.machine()
    return {"rows": [_median([each[name] for each in found]) for name in settings], "machine": machine}


def _row(ground: Ground, options: Options, name: str) -> dict[str, Any]:
    """One line of a table; ``p99`` is of all who read and write."""
    found = _one(ground, options)
    quiet = {kind: max(found["before"][kind]["p99"], found["after"][kind]["p99"]) for kind in ("reader", "writer")}
    busy = found["during"]
    books = found["backfill"]
    return {
        "setting": name,
        "per_second": books["per_second"],
        "p99": max(busy["reader"]["p99"], busy["writer"]["p99"]),
        "p99_quiet": max(quiet.values()),
        "p50": busy["reader"]["p50"],
        "ping_p99": busy["ping"]["p99"],
        "longest_command_ms": books["longest_command_ms"],
        "server_cpu": books["server_cpu"],
        "within": all(found["p99"][kind]["within"] for kind in ("reader", "writer")),
    }


def main() -> None:
    """Measure and print."""
    parser = _parser()
    said = parser.parse_args()
    if said.elsewhere and (said.sweep or said.budgets or said.spike):
        parser.error("--elsewhere goes with none of --sweep, --budgets and --spike")
    rates = Rates(*(float(rate) for rate in said.rates.split(",")))
    jobs = said.jobs or (SPIKE_JOBS if said.spike else JOBS)
    content = Content(jobs, said.invalid_every, said.large, said.foreign, said.more_params)
    words = tuple(said.words)
    options = Options(said.server, content, rates, words, said.seconds, said.quiet, said.budget, said.elsewhere)
    if said.sweep:
        counts = [int(each) for each in said.counts.split(",")]
        found = sweep(options, counts, tuple(shlex.split(said.by_hand)))
    elif said.budgets:
        found = budgets(options, [float(each) for each in said.budgets.split(",")])
    elif said.spike:
        with grounds(said.server) as (ground,):
            found = spike(ground, content, rates, words, budget(said.budget), said.seconds)
            found["machine"] = ground.machine()
    else:
        found = measure(options)
    print(json.dumps(found, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What tenants feel while a backfill runs.")
    parser.add_argument("--server", choices=SERVERS, default="valkey")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--invalid-every", type=int, default=100, help="every so many has no workspace; 0: none")
    parser.add_argument("--large", type=int, default=0, help="further jobs of 10,000 fields, 1 MB each")
    parser.add_argument("--foreign", type=int, default=0, help="keys that are none of ours")
    parser.add_argument("--more-params", type=int, default=0, help="bytes of params beside the usual 50")
    parser.add_argument("--rates", default="200,100,100", help="requests a second: reader, writer, ping")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the backfill at most")
    parser.add_argument("--quiet", type=float, default=15.0, help="seconds without it, before and after")
    parser.add_argument("--budget", type=float, help="latency budget in ms; default: the setting's own")
    parser.add_argument("--budgets", help="rate against p99 for each of these")
    parser.add_argument("--elsewhere", action="store_true", help="the backfill walks another server of this machine")
    parser.add_argument("--sweep", action="store_true", help="rate against p99 for each COUNT, and for auto")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)), help="of the sweep")
    parser.add_argument("--by-hand", default="--full-speed", help="words of the sweep's hand-set runs")
    parser.add_argument("--spike", action="store_true", help="a foreign load in the middle")
    parser.add_argument("words", nargs="*", help="of relay-jobs backfill --execute")
    return parser


if __name__ == "__main__":
    main()
