"""One server, an operator's verbs on it, and what the tests read of it."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, ClassVar, cast

import redis

from relay_jobs import Settings
from relay_jobs.keys import COUNTERS, LEASE, QUARANTINE, progress
from relay_jobs.migration import Migration
from relay_jobs.progress import BatchReport, Books, Summary, Verdict
from relay_jobs.runs import Pass
from tests.store.records import copy_at, legacy, put_legacy, scoped

Act = Callable[[], object]


class Rests(list[float]):
    """A ``sleep`` that only keeps what was asked for."""

    def __call__(self, seconds: float) -> None:
        """Instead of resting."""
        self.append(seconds)


class World:
    """Verbs with the tests' own defaults: full speed, nobody waits."""

    # A walk that a test leaves unfinished gives its partition back, which needs its client.
    _walks: ClassVar[list[Generator[BatchReport, None, None]]] = []

    def __init__(self, client: redis.Redis, sleep: Callable[[float], None], **settings: Any) -> None:
        self.client = client
        self.migration = Migration(client, Settings(**settings), who="ada", sleep=sleep)

    def open(self, run: str = "run-1", step: str = "full", **options: Any) -> Pass:
        """A pass, opened at full speed."""
        return self.migration.open_pass(run=run, step=step, **{"full_speed": True, **options})

    def walk(
        self, opened: Pass, partition: int = 0, owner: str = "", *, again: bool = False
    ) -> Generator[BatchReport, None, None]:
        """One partition, by its run unless told otherwise."""
        reports = self.migration.walk(opened, partition, owner or opened.run, again=again)
        walk = cast("Generator[BatchReport, None, None]", reports)
        self._walks.append(walk)
        return walk

    def end(self) -> None:
        """End every walk that a test has begun."""
        while self._walks:
            self._walks.pop().close()

    def close(self, opened: Pass) -> list[BatchReport]:
        """Complete the pass and give the lease back."""
        reports = list(self.migration.close(opened, opened.run))
        self.migration.release(opened.run)
        return reports

    def backfill(self, run: str = "run-1", **options: Any) -> Summary:
        """A whole pass."""
        opened = self.open(run, **options)
        for number in range(opened.partitions):
            list(self.walk(opened, number))
        self.close(opened)
        return self.migration.summary(opened)

    def dry_run(self, **options: Any) -> Books:
        """What a pass would do."""
        return total(self.migration.dry_run(**{"full_speed": True, **options}))

    def verify(self, *workspaces: str, repair: bool = False, run: str = "mender") -> Verdict:
        """A whole verification."""
        checking = self.migration.verify(workspaces=workspaces, repair=repair, run=run, full_speed=True)
        for _ in checking:
            pass
        return checking.verdict

    def counter(self, name: str) -> int:
        """One scraped counter."""
        return int(self.client.hget(COUNTERS, name) or 0)

    def checkpoint(self, name: str = "all") -> dict[bytes, bytes]:
        """A pass as Redis has it."""
        return copy_at(self.client, progress(name))

    def holder(self) -> bytes | None:
        """Who holds the lease of the database."""
        return self.client.hget(LEASE, "holder")

    def quarantined(self) -> dict[bytes, bytes]:
        """Reasons by legacy id."""
        return {key: value.split(b"\x1f")[0] for key, value in copy_at(self.client, QUARANTINE).items()}


def curtailed(world: World, client: redis.Redis, name: str, *patterns: str) -> World:
    """The verbs of a user that starts with all rights, and is then left with the keys of these patterns."""
    user = {"enabled": True, "nopass": True, "commands": ["+@all"]}
    world.client.acl_setuser(name, reset=True, keys=["*"], **user)  # type: ignore[arg-type]
    curtailed = World(client, Rests())
    world.client.acl_setuser(name, reset_keys=True, keys=[*patterns, "ai:migration:*"], **user)  # type: ignore[arg-type]
    return curtailed


def total(reports: Iterable[BatchReport]) -> Books:
    """The sum of a stream."""
    return sum((report.counts for report in reports), Books())


def acting(reports: Iterable[BatchReport], *acts: Act) -> list[BatchReport]:
    """Drain a walk; each act happens right after a further report, before the next batch."""
    seen, left = [], list(acts)
    for report in reports:
        seen.append(report)
        if left:
            left.pop(0)()
    assert not left, "the walk ended before all acts had happened"
    return seen


def fill(client: redis.Redis, count: int, workspace: str = "acme", prefix: str = "job", **changes: Any) -> list[str]:
    """So many legacy jobs; their ids."""
    names = [f"{prefix}-{number:05d}" for number in range(count)]
    pipe = client.pipeline(transaction=False)
    for name in names:
        put_legacy(pipe, name, workspace, **changes)
    pipe.execute()
    return names


def copies(client: redis.Redis, workspace: str = "acme") -> set[bytes]:
    """Ids that have a workspace copy."""
    prefix = scoped("", workspace)
    return {key.removeprefix(prefix) for key in client.scan_iter(prefix + b"*", count=1000)}


def equal(client: redis.Redis, job_id: str | bytes, workspace: str = "acme") -> bool:
    """Whether both copies are there and the same, expiry included."""
    pair = (legacy(job_id), scoped(job_id, workspace))
    left, right = (copy_at(client, key) for key in pair)
    return bool(left) and left == right and client.pexpiretime(pair[0]) == client.pexpiretime(pair[1])
