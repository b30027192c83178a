"""``max_keys`` and the rate, on the arithmetic of the limiter and on what a walk asks to rest."""

from collections.abc import Iterator
from typing import Any

import pytest

from relay_jobs.errors import UsageError
from relay_jobs.progress import BatchReport, Books, Phase
from tests.engines.test_books import put_everything
from tests.engines.world import Rests, World, copies, fill, total
from tests.store.records import put_both

BUCKET = b"ai:migration:bucket"


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("batch", [1, 7, 500])
def test_each_run_examines_exactly_max_keys(world: World, partitions: int, batch: int) -> None:
    """Over all partitions; each run advances, and the last one completes the pass."""
    fill(world.client, 95)
    seen = []
    for turn in range(30):
        found = world.backfill(f"run-{turn}", max_keys=20, batch=batch, partitions=partitions)
        seen.append(found.books.scanned)
        if found.complete:
            break
        assert found.limited
    assert found.complete
    assert set(seen[:-1]) == {20}
    assert len(copies(world.client)) == 95


def test_keys_of_other_workspaces_do_not_count(world: World) -> None:
    """``max_keys`` counts the selected workspaces' keys, however many foreign ones lie between."""
    fill(world.client, 30)
    fill(world.client, 300, "beta", "b")
    found = world.backfill(workspaces=["acme"], max_keys=10, batch=20)
    assert (found.books.migrated, found.books.balanced, found.complete) == (10, True, False)
    assert world.backfill("run-2", workspaces=["acme"], max_keys=10, batch=20).books.migrated == 10
    last = world.backfill("run-3", workspaces=["acme"], max_keys=11, batch=20)
    assert (last.books.migrated, last.complete) == (10, True)


def test_every_outcome_of_the_scope_counts(world: World) -> None:
    """Existing, conflicting and invalid keys use max_keys up like copied ones."""
    put_everything(world.client)
    assert world.backfill(max_keys=50, batch=3).books.scanned == 50


def test_a_retried_opening_gets_no_second_allowance(world: World) -> None:
    """max_keys belongs to the step, and what is used up stays used up."""
    fill(world.client, 50)
    list(world.walk(world.open(max_keys=10)))
    again = world.open(max_keys=10)
    assert [report.phase for report in world.walk(again)] == [Phase.RESUMED, Phase.LIMITED]
    assert world.migration.summary(again).books.scanned == 10


def test_max_keys_of_all_keys_needs_no_further_run(world: World) -> None:
    """The allowance may end exactly at the end."""
    fill(world.client, 10)
    assert world.backfill(max_keys=10).complete


def test_a_dry_run_is_limited_in_the_same_way(world: World) -> None:
    """Always from the start."""
    fill(world.client, 30)
    fill(world.client, 30, "beta", "b")
    for _ in range(2):
        assert world.dry_run(workspaces=["acme"], max_keys=10).migrated == 10
        assert world.dry_run(max_keys=7, batch=3).scanned == 7


@pytest.mark.parametrize("name", ["max_keys", "rps", "rps_per_slot", "batch"])
@pytest.mark.parametrize("value", [0, -1, True, 10**10])
def test_a_limit_that_makes_no_sense_is_refused_before_anything_is_written(world: World, name: str, value: int) -> None:
    """Zero is not unlimited."""
    fill(world.client, 3)
    options: dict[str, Any] = {name: value}
    before = set(world.client.keys("*"))
    with pytest.raises(UsageError, match=name):
        world.open(**options)
    assert set(world.client.keys("*")) == before


class Clock:
    """Stands in for the server's clock: what the limiter has granted must fit into the time that it asked for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def due(self, name: str) -> int:
        """The limiter's arrival time in microseconds."""
        return int(self._world.client.hget(BUCKET, name) or 0)

    def now(self) -> int:
        """The server's time in microseconds."""
        seconds, micros = self._world.client.time()
        return int(seconds) * 1_000_000 + int(micros)

    def skip(self, name: str) -> None:
        """As if all that is due had been waited for."""
        self._world.client.hset(BUCKET, name, min(self.due(name), self.now()))


def granted(world: World, walk: Iterator[BatchReport], name: str) -> list[tuple[int, float]]:
    """Keys of each batch and the rest that it asked for, time passing only as the limiter asks."""
    clock, batches = Clock(world), []
    for report in walk:
        if report.counts.scanned:
            batches.append((report.counts.scanned, report.wait_seconds))
        clock.skip(name)
    return batches


@pytest.mark.parametrize("rps", [1, 10, 50, 1000])
def test_a_batch_rests_for_as_long_as_its_keys_take(world: World, rps: int) -> None:
    """Each batch holds a tenth of a second's keys at most and asks for their time, less a pause made up for."""
    fill(world.client, 60)
    batches = granted(world, world.walk(world.open(rps=rps, batch=500)), "sum")
    assert sum(keys for keys, _ in batches) == 60
    assert max(keys for keys, _ in batches) <= max(1, rps // 10)
    for keys, rest in batches[:-1]:
        assert keys / rps - 0.25 <= rest <= keys / rps + 0.001


@pytest.mark.parametrize("rps", [7, 100, 250_000])
def test_what_is_due_grows_by_exactly_the_examined_keys(world: World, rps: int) -> None:
    """Where nothing is to be made up for, the limiter is pure arithmetic: keys divided by the rate."""
    fill(world.client, 60)
    walk = world.walk(world.open(rps=rps, batch=500))
    before = Clock(world).now()
    world.client.hset(BUCKET, "sum", before)
    keys = next(walk).counts.scanned
    assert keys >= 1
    assert Clock(world).due("sum") - before == pytest.approx(keys * 1_000_000 / rps, abs=1)


def test_the_burst_after_a_pause_is_a_quarter_of_a_second(world: World) -> None:
    """However long nothing ran, no more is granted at once than that and one batch."""
    fill(world.client, 1000)
    clock, keys = Clock(world), 0
    world.client.hset(BUCKET, "sum", 1)
    walk = world.walk(world.open(rps=400, batch=500))
    began = clock.now()
    for report in walk:
        keys += report.counts.scanned
        if report.wait_seconds:
            break
    # A quarter of a second's keys, one batch of a tenth, and what the clock really let pass meanwhile.
    assert 100 <= keys <= 100 + 40 + 400 * (clock.now() - began) / 1_000_000


def test_a_step_before_its_time_examines_nothing(world: World) -> None:
    """The limit is in the script: a client that does not rest gains nothing by it."""
    fill(world.client, 30)
    walk = world.walk(world.open(rps=1))
    reports = [next(walk) for _ in range(20)]
    assert total(reports).scanned <= 2
    waiting = next(report for report in reports if report.phase is Phase.WAITING)
    assert waiting.reason == "the rate limit of all running work"
    assert waiting.counts == Books()
    assert 0 < waiting.wait_seconds <= 1


@pytest.mark.parametrize("kind", ["foreign", "existing", "invalid", "filtered"])
def test_every_examined_key_counts_towards_the_rate(world: World, kind: str) -> None:
    """Skipped keys load the server too."""
    put_both_or = {"existing": put_both}.get(kind)
    for number in range(30):
        if put_both_or:
            put_both(world.client, f"j{number}")
        elif kind == "invalid":
            world.client.set(f"ai:jobs:j{number}", "x")
    if kind in {"foreign", "filtered"}:
        fill(world.client, 30, "beta")
    if kind == "filtered":
        world.client.hset("ai:migration:stages", "beta", "legacy")
    scope = ["acme"] if kind == "foreign" else []
    batches = granted(world, world.walk(world.open(rps=100, batch=500, workspaces=scope)), "sum")
    assert sum(keys for keys, _ in batches) == 30
    assert all(keys <= 10 for keys, _ in batches)
    assert all(rest >= 0 for _, rest in batches)


def test_the_rate_is_of_all_partitions_together(world: World) -> None:
    """A second partition waits for what the first has used."""
    fill(world.client, 60)
    opened = world.open(rps=1, partitions=2)
    first, second = world.walk(opened, 0, "a"), world.walk(opened, 1, "b")
    assert next(first).counts.scanned == 1
    assert next(second).phase is Phase.WAITING


def test_the_rate_of_a_slot_is_of_one_partition(world: World) -> None:
    """Each running partition has its own, so that slots times rate is the sum."""
    fill(world.client, 60)
    opened = world.open(rps_per_slot=1, partitions=2)
    for number in (0, 1):
        walk = world.walk(opened, number, str(number))
        assert next(walk).counts.scanned == 1
        waiting = next(walk)
        assert (waiting.phase, waiting.reason) == (Phase.WAITING, "the rate limit of a pool slot")


def test_the_lower_of_two_limits_rules(world: World) -> None:
    """Sum and slot are both kept."""
    fill(world.client, 60)
    walk = world.walk(world.open(rps=1000, rps_per_slot=1))
    reports = [next(walk) for _ in range(50)]
    assert total(reports).scanned == 1
    assert reports[-1].reason == "the rate limit of a pool slot"


def test_a_limit_that_a_clock_has_left_in_the_future_does_not_stop_the_run(world: World) -> None:
    """After a jump of the server's clock the limiter begins anew."""
    fill(world.client, 5)
    world.client.hset(BUCKET, "sum", Clock(world).now() + 3_600_000_000)
    assert next(world.walk(world.open(rps=10))).counts.scanned == 1


def test_a_walk_asks_for_the_rests_that_it_reports(world: World, rests: Rests) -> None:
    """A second at most at a time, so that pause, throttle and signals are noticed."""
    fill(world.client, 3)
    world.client.hset(BUCKET, "sum", Clock(world).now() + 30_000_000)
    walk = world.walk(world.open(rps=10))
    waiting = next(walk)
    assert 29 < waiting.wait_seconds <= 30
    next(walk)
    assert rests == [1.0]


def test_walks_of_one_rate_do_not_come_back_at_one_moment(world: World, rests: Rests) -> None:
    """Each rests for what is due and a little more of its own: what they wait for one another is no tenant's delay."""
    fill(world.client, 60)
    later = []
    for _ in range(5):
        world.client.hset(BUCKET, "sum", Clock(world).now() + 100_000)
        walk = world.walk(world.open(rps=1_000, restart=True))
        waiting = next(walk)
        next(walk)
        walk.close()
        later.append(rests[-1] - waiting.wait_seconds)
    assert all(0 < more <= 0.05 for more in later)
    assert len(set(later)) == 5


def test_a_dry_run_keeps_its_rate_by_itself(world: World, rests: Rests) -> None:
    """It may not keep a limiter in Redis, so it asks for rests: keys divided by the rate, a quarter second made up."""
    fill(world.client, 60)
    counted = total(world.migration.dry_run(rps=100))
    assert counted.scanned == 60
    assert world.client.exists(BUCKET) == 0
    # Nobody rests here, so what is still due is asked for again after every batch.
    assert 0.6 - 0.25 - 0.2 <= max(rests) <= 0.6
