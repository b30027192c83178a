"""How exact a rate limit is, on every kind of key and over several partitions."""

from collections.abc import Sequence

from benchmarks.ground import Content, Ground, grounds, operate
from benchmarks.result import Section, figure, machine

RPS = 2_000
_JOBS = 60_000

# What the keys are: the content, whether it is copied before, and words of the command.
_KINDS: dict[str, tuple[Content, bool, Sequence[str]]] = {
    "fresh": (Content(_JOBS, invalid_every=0), False, ()),
    "fresh, 8 partitions": (Content(_JOBS, invalid_every=0), False, ("--partitions", "8")),
    "copied": (Content(_JOBS, invalid_every=0), True, ()),
    "filtered": (Content(_JOBS, invalid_every=0), False, ("--workspace", "ws-none")),
    "invalid": (Content(_JOBS, invalid_every=1), False, ()),
}


def exact_rates(*, quick: bool = False) -> Section:
    """Keys a second under ``--rps``, of those that were asked for."""
    with grounds("valkey") as (ground,):
        rows = [
            figure(
                f"{kind} keys: of the rate that was asked for",
                [_share(ground, kind, 3 if quick else 10)],
                "",
                "1 ± 5 %",
            )
            for kind in _KINDS
        ]
        about = ground.machine()
    return Section(
        title="Rates",
        command="python -m benchmarks rates",
        says=_SAYS,
        rows=tuple(rows),
        machine=machine(about["server"], "redis", "hiredis"),
        chart={},
    )


def _share(ground: Ground, kind: str, seconds: float) -> float:
    content, copied, words = _KINDS[kind]
    ground.prepare(content)
    if copied:
        operate(ground.port, "backfill", "--execute", "--full-speed").answer()
    operated = operate(ground.port, "backfill", "--execute", "--rps", str(RPS), *words)
    operated.stop_after(seconds)
    books = operated.answer()
    return float(books["scanned"]) / float(books["duration_seconds"]) / RPS


_SAYS = f"""\
`relay-jobs backfill --execute --rps {RPS}` over ten seconds, examined keys a second by its own books and duration, by
what there is to examine: jobs without a copy, jobs that have one, jobs of workspaces that were not asked for, records
that are invalid. The limit is one bucket in Redis, for all partitions, tasks and runs."""
