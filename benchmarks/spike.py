"""A foreign load that comes in the middle of a backfill: how fast the backfill gives way, and comes back."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import redis

from benchmarks.ground import Content, Ground, operate
from benchmarks.latency import Span, felt, rises
from benchmarks.tenants import Rates, Tenants
from relay_jobs import keys

LOADS = 2
_SAMPLE_SECONDS = 0.05
_SETTLE_SECONDS = 1.0
# A rate that stays there for so many samples in a row has arrived; one batch more or less makes no change.
_STEADY = 4
# A rate that is above that has not fallen.
_FALLEN = 0.9

Samples = Sequence[tuple[float, int]]


def spike(
    ground: Ground,
    content: Content,
    rates: Rates,
    words: tuple[str, ...],
    environment: Mapping[str, str],
    seconds: float,
) -> dict[str, Any]:
    """The load alone, then in the middle of a backfill: a third of the time before it, it, and after it."""
    ground.prepare(content)
    third = seconds / 3
    tenants = Tenants(ground.port, content.jobs, rates)
    time.sleep(_SETTLE_SECONDS)
    alone, alone_cpu = _load(ground, content.jobs, third)
    time.sleep(_SETTLE_SECONDS)
    with Watch(ground.port) as watch:
        operated = operate(ground.port, "backfill", "--execute", *words, environment=environment)
        operated.stop_after(seconds + 10)
        watch.wait_for_first()
        began = time.perf_counter()
        time.sleep(third)
        loaded, cpu = _load(ground, content.jobs, third)
        time.sleep(third)
        ended = time.perf_counter()
        operated.stop()
        books = operated.answer()
    requests = tenants.finish()
    first_second = (loaded[0], loaded[0] + 1)
    spans = {"before": (began, loaded[0]), "first_second": first_second, "rest": (first_second[1], loaded[1])}
    spans |= {"after": (loaded[1] + 1, ended), "load_alone": alone}
    tenants_felt = {name: felt(requests, span) for name, span in spans.items()}
    return {
        "felt": tenants_felt,
        "p99_beside_load_alone": rises(tenants_felt["load_alone"], tenants_felt["rest"]),
        "rate": reaction(watch.samples, (began, loaded[0]), loaded, ended),
        "server_cpu": {"load_alone": alone_cpu, "load_beside_backfill": cpu},
        "backfill": {name: books[name] for name in ("scanned", "complete", "duration_seconds")},
    }


def reaction(samples: Samples, before: Span, load: Span, ended: float) -> dict[str, Any]:
    """Keys a second before, under and after the load; how long until it has fallen, and until it has come back.

    It has fallen halfway when the rate is nearer to what it is in the end under the load, and is back at four fifths.
    """
    rates = [
        (later, (count - earlier_count) / (later - earlier))
        for (earlier, earlier_count), (later, count) in zip(samples, samples[2:], strict=False)
    ]
    calm = _median(rates, *before)
    under = _median(rates, load[0] + 1, load[1])
    back = _median(rates, load[1] + 1, ended)
    fell = _first(rates, load, lambda rate: rate <= (calm + under) / 2) if under < _FALLEN * calm else None
    rose = _first(rates, (load[1], ended), lambda rate: rate >= 0.8 * calm)
    return {
        "before": round(calm),
        "under_load": round(under),
        "after": round(back),
        "left_under_load": round(under / calm, 3) if calm else None,
        "seconds_to_fall": fell,
        "seconds_to_come_back": rose,
    }


def _median(rates: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    return median([rate for at, rate in rates if begin <= at < end] or [0.0])


def _first(rates: Sequence[tuple[float, float]], span: Span, holds: Any) -> float | None:
    """Seconds into the span until it holds and goes on to."""
    within = [(at, holds(rate)) for at, rate in rates if span[0] <= at < span[1]]
    for number, (at, _) in enumerate(within):
        following = within[number : number + _STEADY]
        if len(following) == _STEADY and all(held for _, held in following):
            return round(at - span[0], 3)
    return None


def _load(ground: Ground, jobs: int, seconds: float) -> tuple[Span, float]:
    """When it was there, and what share of a core the server used."""
    words = [sys.executable, "-m", "benchmarks.load", str(ground.port), str(jobs)]
    pipe = subprocess.PIPE
    loads = [subprocess.Popen([*words, str(seed)], stdin=pipe, stdout=pipe) for seed in range(LOADS)]
    for load in loads:
        assert load.stdout is not None
        assert load.stdout.readline() == b"ready\n"
    began, used = time.perf_counter(), ground.cpu_seconds()
    time.sleep(seconds)
    for load in loads:
        assert load.stdin is not None
        load.stdin.close()
    for load in loads:
        assert load.wait() == 0
    ended = time.perf_counter()
    return (began, ended), round((ground.cpu_seconds() - used) / (ended - began), 3)


class Watch:
    """Asks for a pass's books twenty times a second, in a thread."""

    def __init__(self, port: int) -> None:
        self.samples: list[tuple[float, int]] = []
        self._client, self._stop = redis.Redis(port=port), threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def wait_for_first(self) -> None:
        """Until it has examined something."""
        while not any(count for _, count in self.samples):
            time.sleep(_SAMPLE_SECONDS)

    def _ask(self) -> None:
        name = keys.progress(keys.scope_name(()))
        due = time.perf_counter()
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            due += _SAMPLE_SECONDS
            books: Any = self._client.hgetall(name)
            at = time.perf_counter()
            self.samples.append((at, sum(int(n) for field, n in books.items() if field.startswith(b"scanned:"))))
