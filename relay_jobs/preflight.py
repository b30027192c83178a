"""Preflight: what a server holds before anything is moved, what it will cost, and what stands in the way."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from relay_jobs.jobs import decode_id
from relay_jobs.pace import Pace
from relay_jobs.progress import Sample
from relay_jobs.scripting import Script
from relay_jobs.servers import identify
from relay_jobs.stepping import Sleep, Steps

_SURVEY = Script("survey_keys", "engine", read_only=True)

Answer = TypeVar("Answer")
Watch = Callable[[str], None]

SAMPLES = 10
_WEIGHED = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """Counts of a server's keys.

    Attributes:
        legacy: valid legacy jobs by workspace.
        copies: whole workspace copies by workspace.
        partial: hashes under a workspace's name that are no copy, by workspace.
        invalid: legacy jobs that cannot be moved, by reason.
        other_type: keys of another type under a workspace's name; a backfill counts them as conflict.
        third_generation: ``ai:job:{id}`` records of an older generation.
        bytes_per_job: mean memory of a sampled legacy job.
        samples: some of the invalid ones.
    """

    legacy: Mapping[str, int]
    copies: Mapping[str, int]
    partial: Mapping[str, int]
    invalid: Mapping[str, int]
    other_type: int
    third_generation: int
    bytes_per_job: float
    samples: tuple[Sample, ...]

    @property
    def legacy_keys(self) -> int:
        """Keys that a walk examines."""
        return sum(self.legacy.values()) + sum(self.invalid.values())

    def bytes_needed(self, workspaces: Sequence[str] = ()) -> int:
        """Memory that the second copies of a scope will take, from the sampled mean."""
        names = workspaces or list(self.legacy)
        missing = sum(max(0, self.legacy.get(name, 0) - self.copies.get(name, 0)) for name in names)
        return round(missing * self.bytes_per_job)

    def smallest(self, number: int) -> list[str]:
        """The smallest workspaces, for a canary."""
        return sorted(self.legacy, key=lambda name: (self.legacy[name], name))[:number]


def survey(client: "redis.Redis", pace: Pace, *, sleep: Sleep = time.sleep, watch: Watch = lambda _: None) -> Survey:
    """Walk the keyspace once, by read commands only, at a pace.

    A cursor means nothing on another server process: if there is another one at the end, the walk is made again.
    ``watch`` is told before each step why the walk hibernates, '' if it does not; what it raises ends the walk.
    """
    return _on_one_process(client, lambda: _survey(client, Steps(client, pace, sleep=sleep), watch))


def _on_one_process(client: "redis.Redis", look: Callable[[], Answer]) -> Answer:
    while True:
        process = identify(client).run_id
        found = look()
        if identify(client).run_id == process:
            return found


def _survey(client: "redis.Redis", steps: Steps, watch: Watch) -> Survey:
    counts: Counter[str] = Counter()
    samples: list[Sample] = []
    weights: list[int] = []
    for step in _walk(steps, watch):
        counts.update({name.decode(): int(n) for name, n in zip(step[2][::2], step[2][1::2], strict=True)})
        if len(samples) < SAMPLES:
            rows = zip(step[3][::3], step[3][1::3], step[3][2::3], strict=True)
            samples += [Sample(decode_id(i), w.decode() or None, "invalid", why.decode()) for i, w, why in rows]
        if step[4] and len(weights) < _WEIGHED:
            weights.append(int(client.memory_usage(step[4][0]) or 0))
    return Survey(
        legacy=_under(counts, "legacy:"),
        copies=_under(counts, "workspace:"),
        partial=_under(counts, "partial:"),
        invalid=_under(counts, "invalid:"),
        other_type=counts["other_type"],
        third_generation=counts["third_generation"],
        bytes_per_job=sum(weights) / len(weights) if weights else 0.0,
        samples=tuple(samples[:SAMPLES]),
    )


def _walk(steps: Steps, watch: Watch = lambda _: None) -> Iterator[list[list[bytes]]]:
    cursor = b"0"
    steps.look()
    while True:
        while steps.pace.hibernating:
            watch(steps.pace.held_by)
            steps.hibernate()
        watch("")
        step = steps.send(_SURVEY, (), cursor, steps.pace.keys, SAMPLES)
        yield step
        cursor = step[1]
        if cursor == b"0":
            return
        steps.rest()


def has_jobs(client: "redis.Redis", pace: Pace) -> bool:
    """Whether the server holds any job, in any schema."""
    return _on_one_process(client, lambda: any(step[2] for step in _walk(Steps(client, pace))))


def _under(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
