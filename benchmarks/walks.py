"""Two parts of the page: how near the walks come to the server's own limit, and what tenants feel of them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks import foreground, limit
from benchmarks.ground import SERVERS, Content, grounds
from benchmarks.result import Row, Section, figure, machine
from benchmarks.spike import spike

_SPIKE_JOBS = 400_000
_BUDGETS = (0.5, 1.0, 2.0)
_PARTITIONS = (2, 8)
_COUNTS = (10, 15, 20, 30, 50, 100, 500)


def near_the_limit(*, quick: bool = False) -> Section:
    """Backfill and verification at full speed beside the bare work."""
    found = limit.measure(content=Content(limit.JOBS // 10 if quick else limit.JOBS))
    far, flat = found["far"], found["flat"]
    rows = [
        _share("backfill", found["near"], "≥ 0.75"),
        _share("verification", found["verify"], "≥ 0.75"),
        *(
            _share(f"backfill, {far['adds_ms']:g} ms away, partitions {row['partitions']}", row, "≥ 0.6")
            for row in far["backfill"]
        ),
        _share("verification, as far away", far["verify"]),
        *(_share(f"backfill of {row['jobs']:,} jobs", row) for row in flat["rows"]),
        figure("a job among the most against one among the fewest: times its cost", [flat["largest_of_smallest"]], ""),
        figure("the same of the bare work", [flat["limit_does"]], ""),
        _share("backfill, 99 keys of 100 foreign", found["foreign"]),
        figure("peak memory of the process", [row["engine"]["peak_mib"] for row in flat["rows"]], "MiB", "< 150", 1),
    ]
    return Section(
        title="Near the server's limit",
        command="python -m benchmarks limit",
        says=_LIMIT,
        rows=tuple(rows),
        machine=machine(found["machine"]["server"], "redis", "hiredis"),
        chart={
            f"{what}, {side}": found[part][key]["us_per_key"]
            for part, what in (("near", "backfill"), ("verify", "verification"))
            for key, side in (("limit", "bare"), ("engine", "ours"))
        },
        axis="microseconds a job",
    )


def beside_tenants(*, quick: bool = False) -> Section:
    """Rate of a polite backfill against the p99 of those who use the store meanwhile."""
    options = foreground.Options(content=Content(200_000), seconds=4 if quick else 8, quiet_seconds=2 if quick else 5)
    rounds = range(1 if quick else 3)
    by_server = {name: [_here_and_elsewhere(replace(options, server=name)) for _ in rounds] for name in SERVERS}
    spikes = [_spike(options) for _ in rounds]
    at_once = foreground.partitions(options, _PARTITIONS)["rows"]
    by_budget = foreground.budgets(options, _BUDGETS)["rows"]
    swept = foreground.sweep(
        replace(options, seconds=3, quiet_seconds=1), _COUNTS[::3] if quick else _COUNTS, rounds=len(rounds)
    )
    return Section(
        title="What tenants feel",
        command="python -m benchmarks tenants",
        says=_TENANTS,
        rows=(*_by_default(by_server), *_under_load(spikes), *_by_hand(at_once, by_budget, swept)),
        machine=machine(
            " and ".join(found[0]["machine"]["server"] for found in by_server.values()), "redis", "hiredis"
        ),
        chart={f"{row['setting']}, p99 {row['p99']:.2f} ms": row["per_second"] for row in swept["rows"]},
        axis="keys a second, by COUNT",
    )


def _here_and_elsewhere(options: foreground.Options) -> dict[str, Any]:
    """In turn, so that both share the hour."""
    here = foreground.measure(options)
    elsewhere = foreground.measure(replace(options, elsewhere=True))
    felt = {kind: elsewhere["during"][kind]["p99"] for kind in ("reader", "writer")}
    return here | {"elsewhere": {**felt, "per_second": elsewhere["backfill"]["per_second"]}}


def _spike(options: foreground.Options) -> dict[str, Any]:
    """What a backfill does about a foreign load that takes all of the server."""
    with grounds(options.server) as (ground,):
        return spike(ground, Content(_SPIKE_JOBS), options.rates, (), {}, options.seconds * 2)


def _by_default(by_server: Mapping[str, list[dict[str, Any]]]) -> Iterator[Row]:
    for found in by_server.values():
        name = found[0]["machine"]["server"]
        rates = [each["backfill"]["per_second"] for each in found]
        rates_elsewhere = [each["elsewhere"]["per_second"] for each in found]
        yield figure(f"{name}: keys a second by default", rates, "", "≥ 10,000", 0)
        yield figure(f"{name}: the same of a walk of another server", rates_elsewhere, "", "", 0)
        for who in ("reader", "writer"):
            felt = [each["during"][who]["p99"] for each in found]
            quiet = [each["during"][who]["p99"] - each["p99"][who]["rise_ms"] for each in found]
            elsewhere = [each["elsewhere"][who] for each in found]
            of_allowed = [each["during"][who]["p99"] / each["p99"][who]["allowed_p99"] for each in found]
            yield figure(f"{name}: p99 of a {who} meanwhile", felt, "ms")
            yield figure(f"{name}: the same before and after", quiet, "ms")
            yield figure(f"{name}: the same beside a walk of another server", elsewhere, "ms")
            yield figure(f"{name}: part of the p99 that is allowed", of_allowed, "", "≤ 1")


def _under_load(spikes: list[dict[str, Any]]) -> Iterator[Row]:
    rates = [each["rate"] for each in spikes]
    yield figure(
        "a load takes the whole server: seconds until the walk has given way", _known(rates, "fall"), "", "≤ 1"
    )
    yield figure("its rate then, of the rate before", [rate["left_under_load"] for rate in rates], "", "", 3)
    yield figure("seconds until it is back, when the load has gone", _known(rates, "come_back"), "")


def _known(rates: list[dict[str, Any]], what: str) -> list[float]:
    """Where it never came, that is told as longer than any measurement."""
    return [999.0 if rate[f"seconds_to_{what}"] is None else rate[f"seconds_to_{what}"] for rate in rates]


def _by_hand(at_once: list[dict[str, Any]], by_budget: list[dict[str, Any]], swept: Mapping[str, Any]) -> Iterator[Row]:
    named = [(f"{row['setting']} partitions at once", row) for row in at_once]
    named += [(f"budget {row['setting']}", row) for row in by_budget]
    for name, row in named:
        what = f"{name}: keys a second, at a p99 of {row['p99']:.2f} ms ({row['p99_quiet']:.2f} without)"
        yield figure(what, [row["per_second"]], "", "", 0)
    if swept["auto_of_best"] is not None:
        what = f"auto against the best COUNT by hand at its p99 ({swept['best_by_hand']['setting']})"
        yield figure(what, [swept["auto_of_best"]], "", "≥ 0.8")


def _share(what: str, found: Mapping[str, Any], goal: str = "") -> Row:
    return figure(f"{what}: share of the limit's speed", found["rounds"], "", goal)


_LIMIT = """\
The limit is what the server needs for the bare work without any client: one script that scans, reads the fields that
decide, copies and indexes, or compares both copies in both directions, over slices of the keyspace. Beside it, on the
same content and in turn, `relay-jobs backfill --execute --full-speed` and `relay-jobs verify --full-speed`, by their
own durations; one job in a hundred is invalid. The difference pays for the stage, the leases, exact books by workspace,
the checkpoint and the round trips. *Away* is a proxy that adds to every round trip."""

_TENANTS = """\
A reader (200 a second), a writer (100) and a ping (100) in a process of their own, by a fixed timetable, quiet and then
beside `relay-jobs backfill --execute` as an operator calls it; times are from when a request was due. Allowed is a p99
of a millisecond more, or twice as much if that is more. The load is two clients that send a hundred `HGETALL` at a
time, one after the other. Several partitions walk in threads of one process. A COUNT by hand is `--full-speed --batch
N`, which rests for nobody; all of them and `auto` take turns. Server, backfill and tenants share two cores, so that
part of what is felt is the processor's, not the server's: a walk of *another server*, a second one on the same machine,
takes of that processor too, and nothing of the tenants' server."""
