"""A default walk gives way: it is sized by time, takes turns, and hibernates where the server is at its limit."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis

from relay_jobs import Settings, Stage, backfill, keys
from relay_jobs.migration import Migration
from relay_jobs.pace import KEYS_FIRST, Pace
from relay_jobs.progress import BatchReport, Books, Phase, Verdict
from relay_jobs.runs import Pass
from relay_jobs.scripting import Script
from relay_jobs.stepping import LOOK_SECONDS, Steps
from relay_jobs.verification import Verification
from tests.engines.world import Rests, World, copies, equal, fill, total
from tests.servers import Server, until
from tests.store.records import put_legacy, put_scoped, set_stage

MEMORY = "of maxmemory (slower from 85%, none from 95% back to 90%)"


class Hook:
    """A ``sleep`` that does something instead, each time."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.act, self.rests = act, Rests()

    def __call__(self, seconds: float) -> None:
        """Instead of resting."""
        self.rests(seconds)
        self.act()


def refusal(walk: Iterator[BatchReport]) -> float:
    """Seconds that a walk says it waits for its turn."""
    report = next(walk)
    assert (report.phase, report.reason) == (Phase.WAITING, "its turn among all walks")
    return report.wait_seconds


class Polite(World):
    """The verbs as an operator has them who says nothing of the pace."""

    def open(self, run: str = "run-1", step: str = "full", **options: Any) -> Pass:
        """A pass, opened by default."""
        return super().open(run, step, **{"full_speed": False, **options})

    def dry_run(self, **options: Any) -> Books:
        """What a pass would do."""
        return super().dry_run(**{"full_speed": False, **options})

    def verify(self, *workspaces: str, repair: bool = False, run: str = "mender") -> Verdict:
        """A whole verification."""
        checking = self.migration.verify(workspaces=workspaces, repair=repair, run=run)
        for _ in checking:
            pass
        return checking.verdict


@pytest.fixture
def world(client: redis.Redis, rests: Rests) -> Iterator[World]:
    """A server in stage ``dual_write``."""
    set_stage(client, Stage.DUAL_WRITE)
    client.hset(keys.STAGES, "*epoch", 1)
    world = Polite(client, rests)
    yield world
    world.end()


@pytest.fixture
def memory(client: redis.Redis) -> Iterator[Callable[[float], object]]:
    """Makes so much of ``maxmemory`` used, by setting it; none is set again after the test."""
    # A few hundredths of it are room for a script and a lease, and more than a connection's buffer that shrinks.
    client.setrange("ballast", 60_000_000, "x")

    def fill_up(used: float) -> object:
        # What the test before has left may still be on its way out.
        until(lambda: client.info("memory")["lazyfree_pending_objects"] == 0, "its memory is not free")
        return client.config_set("maxmemory", int(client.info("memory")["used_memory"] / used))

    yield fill_up
    client.config_set("maxmemory", 0)


def roomy(memory: Callable[[float], object]) -> object:
    """A tenth is used."""
    return memory(0.1)


def large(client: redis.Redis, count: int, fields: int = 10_000) -> list[str]:
    """Legacy jobs with so many fields each; their ids."""
    names = [f"large-{number}" for number in range(count)]
    for name in names:
        put_legacy(client, name, **{f"field-{number}": "x" * 90 for number in range(fields)})
    return names


def taken(client: redis.Redis, seconds: float, what: str = "row") -> None:
    """All turns until then are others'; or the step of another (``step``) is not over before."""
    now, micros = client.time()
    client.hset(keys.BUCKET, what, int(now * 1_000_000 + micros + seconds * 1_000_000))


def slow_walk(
    client: redis.Redis, opened: Pass, number: int, sleep: Callable[[float], None], share: float = 0.0001
) -> Iterator[BatchReport]:
    """A walk with so little of the server's time that its turns are seconds long."""
    settings = Settings()
    walker = backfill.Walk(
        client,
        opened,
        flag_stage=settings.flag_stage,
        lease_seconds=settings.lease_seconds,
        pace=lambda: Pace(1, batch=5, share=share),
        sleep=sleep,
    )
    return walker.partition(number, f"owner-{number}")


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_default_walk_copies_everything_exactly_once(world: World, partitions: int) -> None:
    """Whatever sizes its steps have; the books balance, and a second one finds all of it copied."""
    names = fill(world.client, 3_000)
    found = world.backfill(partitions=partitions)
    # The last step of a partition may look into the next one.
    assert found.books == Books(scanned=3_000 + found.books.exists, migrated=3_000, exists=found.books.exists)
    assert found.books.exists == 0 or partitions > 1
    assert found.complete
    assert len(copies(world.client)) == 3_000
    assert all(equal(world.client, name) for name in names[::100])
    again = world.backfill("run-2", partitions=partitions).books
    assert again == Books(scanned=again.exists, exists=again.exists)
    assert again.exists >= 3_000


def test_a_default_walk_begins_with_small_steps(world: World) -> None:
    """Before it knows how long a job takes, a tenant waits for a few of them only."""
    fill(world.client, 2_000)
    assert next(world.walk(world.open())).counts.scanned <= 2 * KEYS_FIRST


def test_a_walk_hibernates_at_the_critical_limit_and_says_so(
    client: redis.Redis, world: World, memory: Callable[[float], object]
) -> None:
    """From the first step on; nothing is copied meanwhile, and when there is room again it goes on."""
    fill(client, 2_000)
    memory(0.97)
    sleep = Hook()
    world = Polite(client, sleep)
    walk = world.walk(world.open())
    for _ in range(5):
        report = next(walk)
        assert (report.phase, report.counts) == (Phase.HIBERNATING, Books())
        assert report.reason.startswith("memory, 9")
        assert report.reason.endswith(MEMORY)
    assert sleep.rests == [LOOK_SECONDS] * 4
    assert copies(client) == set()
    roomy(memory)
    reports = list(walk)
    assert reports[-1].phase is Phase.DONE
    assert total(reports) == Books(scanned=2_000, migrated=2_000)
    assert len(copies(client)) == 2_000


@pytest.mark.parametrize("used", [0.97, 1.05])
def test_a_hibernating_walk_stays_the_holder(
    client: redis.Redis, world: World, memory: Callable[[float], object], used: float
) -> None:
    """However long it takes, and with no memory left at all: neither the run's lease nor the partition's runs out."""
    fill(client, 2_000)
    memory(0.97)
    leases = (keys.LEASE, keys.partition_lease("all", 0))

    def time_passes() -> None:
        for lease in leases:
            client.pexpire(lease, 2_000)

    world = Polite(client, Hook(time_passes))
    walk = world.walk(world.open())
    next(walk)
    assert next(walk).phase is Phase.HIBERNATING
    memory(used)
    for _ in range(5):
        assert next(walk).phase is Phase.HIBERNATING
        assert min(client.pttl(lease) for lease in leases) > 20_000
        assert world.holder() == b"run-1"
    roomy(memory)
    assert list(walk)[-1].phase is Phase.DONE
    assert len(copies(client)) == 2_000


def test_a_hibernating_walk_can_be_paused(client: redis.Redis, world: World, memory: Callable[[float], object]) -> None:
    """And says then that it is paused; when it is resumed it still hibernates."""
    fill(client, 500)
    memory(0.97)
    walk = world.walk(world.open())
    assert next(walk).phase is Phase.HIBERNATING
    world.migration.pause("night")
    assert next(walk).phase is Phase.PAUSED
    world.migration.resume()
    assert next(walk).phase is Phase.HIBERNATING


def test_status_says_what_holds_a_run(client: redis.Redis, world: World, memory: Callable[[float], object]) -> None:
    """While it is slowed down, and while it hibernates."""
    fill(client, 2_000)
    world = Polite(client, Rests(), latency_budget_ms=1_000)
    walk = world.walk(world.open())
    next(walk)
    assert world.migration.status()["throttle"] == (
        "no rate limit; it gives way to the tenants, unless it was begun with --full-speed"
    )
    walk.close()
    memory(0.97)
    walk = world.walk(world.open())
    next(walk)
    next(walk)
    assert next(walk).phase is Phase.HIBERNATING
    assert world.migration.status()["throttle"].endswith(MEMORY)
    roomy(memory)
    list(walk)
    assert MEMORY not in world.migration.status()["throttle"]


def test_a_walk_says_what_slows_it_down(client: redis.Redis, world: World, memory: Callable[[float], object]) -> None:
    """Between the soft and the critical limit it goes on, slower, and each of its reports has the reason."""
    fill(client, 300)
    world = Polite(client, Rests(), latency_budget_ms=1_000)
    memory(0.91)
    reports = list(world.walk(world.open()))
    assert {report.phase for report in reports} == {Phase.BATCH, Phase.DONE}
    assert reports[-1].reason.endswith(MEMORY)
    assert world.migration.status()["throttle"].endswith(MEMORY)


@pytest.mark.parametrize("verb", ["dry run", "verification"])
def test_reading_walks_hibernate_too(
    client: redis.Redis, world: World, memory: Callable[[float], object], verb: str
) -> None:
    """They read only, but a server at its limit has no time for them; nothing is left out."""
    fill(client, 1_000)
    world.backfill()
    memory(0.97)
    sleep = Hook()
    world = Polite(client, sleep)
    held = 0
    if verb == "dry run":
        books = Books()
        for report in world.migration.dry_run():
            books += report.counts
            if report.phase is Phase.HIBERNATING:
                assert (report.counts, report.reason.endswith(MEMORY)) == (Books(), True)
                held += 1
                if held == 3:
                    roomy(memory)
        assert books == Books(scanned=1_000, exists=1_000)
    else:
        checking, before = world.migration.verify(), -1
        for step in checking:
            held += step.held_by.endswith(MEMORY) and step.checked == before
            before = step.checked
            if held == 3:
                roomy(memory)
        assert (checking.verdict.equal, checking.verdict.missing) == (1_000, 0)
    assert held >= 3
    assert sleep.rests.count(LOOK_SECONDS) >= 3


def test_a_preflight_hibernates_too(client: redis.Redis, world: World, memory: Callable[[float], object]) -> None:
    """It looks at every key as well."""
    fill(client, 500)
    memory(0.97)

    def time_passes() -> None:
        if sleep.rests.count(LOOK_SECONDS) == 3:
            roomy(memory)

    sleep, told = Hook(time_passes), []
    found = Polite(client, sleep).migration.preflight(mode="dry_run", watch=told.append)
    assert found.survey.legacy == {"acme": 500}
    assert sleep.rests.count(LOOK_SECONDS) >= 3
    assert [reason.endswith(MEMORY) for reason in told[:3]] == [True] * 3
    assert told[-1] == ""


def test_a_repair_that_hibernates_stays_the_holder(
    client: redis.Redis, world: World, memory: Callable[[float], object]
) -> None:
    """Its lease is renewed with every look, with no memory left at all too, and it mends what it finds afterwards."""
    fill(client, 300)
    memory(0.97)
    left: list[int] = []

    def time_passes() -> None:
        if sleep.rests[-1] == LOOK_SECONDS:
            left.append(client.pttl(keys.LEASE))
            client.pexpire(keys.LEASE, 2_000)

    sleep = Hook(time_passes)
    checking, held = Polite(client, sleep).migration.verify(repair=True, run="mender"), 0
    for step in checking:
        held += step.held_by.endswith(MEMORY)
        if held == 3:
            memory(1.05)
        elif held == 6:
            roomy(memory)
    assert len(left) >= 5
    assert min(left) > 20_000
    assert (checking.verdict.equal, checking.verdict.repaired) == (300, 300)


def mended(
    client: redis.Redis, world: World, jobs: int, hibernates: Callable[[list[int]], bool]
) -> tuple[list[int], int]:
    """How many copies there were behind each step of a repair, and how many jobs it has mended.

    Whether it hibernates next is said by the numbers so far.
    """
    fill(client, jobs)
    checking = world.migration.verify(repair=True, run="mender")
    seen: list[int] = []
    for _ in checking:
        seen.append(len(copies(client)))
        checking._engine._steps.pace.hibernating = hibernates(seen)
    return seen, checking.verdict.repaired


def test_a_repair_mends_nothing_while_it_hibernates(client: redis.Redis, world: World) -> None:
    """Also where the server has run out of room since it was read again."""
    # Until the look that each hibernation ends with: scanned, to be read again, read again, to be mended.
    copies_seen, repaired = mended(client, world, 1, lambda seen: len(seen) < 4)
    assert copies_seen[:4] == [0, 0, 0, 0]
    assert (copies_seen[-1], repaired) == (1, 1)


def test_a_repair_that_comes_to_hibernate_reads_the_rest_again(client: redis.Redis, world: World) -> None:
    """Behind each job that it mends it may find that there is no room for another."""
    # Behind the first one, and until the look that a hibernation ends with.
    copies_seen, repaired = mended(client, world, 3, lambda seen: seen.count(1) in {1, 2})
    assert copies_seen.count(1) >= 3, copies_seen
    assert (copies_seen[-1], repaired) == (3, 3)


def test_a_verification_that_hibernates_at_once_has_compared_nothing(
    client: redis.Redis, world: World, memory: Callable[[float], object]
) -> None:
    """And says so: it is at its beginning, not half-way."""
    fill(client, 20)
    memory(0.97)
    checking = iter(Polite(client, Hook()).migration.verify())
    first = next(checking)
    assert (first.checked, first.fraction) == (0, 0.0)
    assert first.held_by.endswith(MEMORY)


def test_a_step_of_large_jobs_ends_when_its_time_is_over(world: World) -> None:
    """One or few of them instead of a whole batch: what was scanned is examined by the steps that follow."""
    names = large(world.client, 24)
    opened = world.open()
    reports = list(world.walk(opened))
    sizes = [report.counts.scanned for report in reports]
    assert max(sizes) <= 5, sizes
    assert total(reports) == Books(scanned=24, migrated=24)
    assert all(equal(world.client, name) for name in names)


def test_a_step_ends_behind_a_large_job_however_few_keys_are_left_to_it(world: World) -> None:
    """Two more would be a block three times as long."""
    fill(world.client, 12)
    small = list(world.client.scan_iter(keys.LEGACY_PREFIX + b"*"))
    names = large(world.client, 3)
    opened = world.open()
    world.client.rpush(keys.pending("all", 0), *small, *(keys.legacy(name) for name in names))
    world.client.hset(keys.progress("all"), mapping={"pending:0": 15, "cursor:0": "end"})
    reports = list(world.walk(opened))
    assert total(reports) == Books(scanned=15, migrated=15)
    assert [report.counts.scanned for report in reports[-2:]] == [1, 1], reports


def test_what_a_step_had_no_time_for_is_on_record(world: World) -> None:
    """Another process goes on with exactly these keys."""
    names = large(world.client, 12)
    opened = world.open()
    walk = world.walk(opened)
    first = next(walk)
    assert first.counts.scanned < 12
    pending = world.client.lrange(keys.pending("all", 0), 0, -1)
    assert int(world.checkpoint()[b"pending:0"]) == len(pending) > 0
    walk.close()
    rest = list(world.walk(opened, owner="another"))
    assert rest[0].phase is Phase.RESUMED
    assert total([first, *rest]) == Books(scanned=12, migrated=12)
    assert copies(world.client) == {name.encode() for name in names}
    assert not world.client.exists(keys.pending("all", 0))


def test_a_batch_set_by_hand_is_examined_to_its_end(world: World) -> None:
    """Whoever names a size has it."""
    large(world.client, 12, fields=2_000)
    reports = list(world.walk(world.open(batch=50)))
    assert max(report.counts.scanned for report in reports) == 12


@pytest.mark.parametrize("names", [{}, {"latency_budget_ms": 0.001}])
def test_a_dry_run_of_large_jobs_examines_each_once(client: redis.Redis, world: World, names: dict[str, Any]) -> None:
    """What a step leaves comes first in the next one."""
    large(client, 24)
    fill(client, 300)
    assert Polite(client, Rests(), **names).dry_run() == Books(scanned=324, migrated=324)


def steps_of(checking: Any) -> list[int]:
    """Jobs that each step of a verification has compared."""
    seen = [0] + [step.checked for step in checking]
    return [after - before for before, after in pairwise(seen)]


@pytest.mark.parametrize("repair", [False, True])
def test_a_verification_of_large_jobs_ends_its_steps_in_time(client: redis.Redis, world: World, repair: bool) -> None:
    """What was scanned and not compared comes first in the next step: no job is skipped, none is compared twice."""
    for name in large(client, 24):
        client.copy(f"ai:jobs:{name}", f"ai:job:acme:{name}")
    if not repair:
        world.backfill()
    checking = world.migration.verify(repair=repair, run="mender")
    sizes = steps_of(checking)
    assert (checking.verdict.equal, sum(sizes)) == (24, 24)
    assert max(sizes) <= 5, sizes


def test_large_jobs_that_differ_are_read_again_in_steps(client: redis.Redis, world: World) -> None:
    """A second reading blocks the server no longer than the first one."""
    for name in large(client, 24):
        client.copy(f"ai:jobs:{name}", f"ai:job:acme:{name}")
        client.hset(f"ai:jobs:{name}", "status", "failed")
    checking = world.migration.verify()
    # The last steps are those of the second reading, and one along the other schema.
    sizes = [step.direction for step in checking].count("legacy")
    assert checking.verdict.different == 24
    assert sizes >= 2 * 24 / 2


def test_what_is_doubted_is_read_again_in_steps(client: redis.Redis) -> None:
    """As many keys at a time as the walk examines."""
    for name in fill(client, 200):
        put_scoped(client, name, status="failed")
    checking = Verification(client, scope="", flag_stage="dual_write", pace=Pace(None, batch=5), sleep=Rests())
    client.config_resetstat()
    for _ in checking.steps():
        pass
    assert checking.verdict.different == 200
    # Some 36 steps along each schema, and 40 of the second reading.
    assert client.info("commandstats")["cmdstat_evalsha_ro"]["calls"] >= 95


def test_differences_of_many_steps_are_waited_for_together(client: redis.Redis, world: World) -> None:
    """A pause before the second reading of each would be most of the verification."""
    for name in fill(client, 800):
        put_scoped(client, name, status="failed")
    rests = Rests()
    found = Polite(client, rests).verify()
    assert found.different == 800
    # Ten at once by their number, and some by their age where the machine is slow; there are fifty steps or more.
    assert 0 < rests.count(0.02) < 25


@pytest.mark.parametrize("budget", [0.001, 1, 50])
def test_a_verification_compares_every_job_once_whatever_its_budget(
    client: redis.Redis, world: World, budget: float
) -> None:
    """Also where each step ends after its first job."""
    world = Polite(client, Rests(), latency_budget_ms=budget)
    for name in fill(client, 700):
        put_scoped(client, name)
    world.backfill()
    client.delete("ai:job:acme:job-00003", "ai:job:acme:job-00500", "ai:jobs:job-00600")
    client.hset("ai:jobs:job-00007", "status", "failed")
    client.set("ai:jobs:broken", "x")
    found = world.verify()
    assert found.as_dict() | {"duration_seconds": 0} == found.as_dict() | {
        "equal": 696,
        "missing": 2,
        "different": 1,
        "extra": 1,
        "quarantined": 1,
        "duration_seconds": 0,
    }


@pytest.mark.parametrize("what", ["row", "step"])
def test_a_walk_waits_for_its_turn(client: redis.Redis, world: World, what: str) -> None:
    """Of all polite walks one step at a time: a walk that comes anew is told when, and asks but once."""
    fill(client, 500)
    before: list[int] = []
    sleep = Hook()

    def come_round() -> None:
        before.append(len(copies(client)))
        time.sleep(sleep.rests[-1])

    sleep.act = come_round
    opened = world.open()
    taken(client, 0.5, what)
    assert next(Polite(client, sleep).walk(opened)).phase is Phase.BATCH
    assert before == [0]
    assert 0.2 < sleep.rests[0] <= 0.5


def test_walks_that_come_at_one_moment_get_a_turn_each(client: redis.Redis, world: World) -> None:
    """In a row, as far apart as their steps are."""
    fill(client, 500)
    opened = world.open(partitions=4)
    taken(client, 5)
    waits = [refusal(slow_walk(client, opened, number, Hook(), share=0.002)) for number in range(4)]
    assert 4 < waits[0] <= 5
    assert all(later - earlier > 0.3 for earlier, later in pairwise(waits)), waits


def test_a_walk_on_the_heels_of_another_gets_a_new_turn(client: redis.Redis, world: World) -> None:
    """Its turn had come, but the step before it is late."""
    fill(client, 500)
    walk = Polite(client, Hook()).walk(world.open())
    next(walk)
    taken(client, 5, "step")
    taken(client, 7)
    time.sleep(0.05)
    assert 6 < refusal(walk) <= 7


def test_a_walk_in_time_behind_a_late_one_waits_for_its_step_only(client: redis.Redis, world: World) -> None:
    """Who is late goes to the end of the row, not who is not."""
    fill(client, 500)
    sleep = Hook()

    def another_is_late() -> None:
        time.sleep(sleep.rests[-1])
        taken(client, 3, "step")
        taken(client, 9)

    sleep.act = another_is_late
    walk = slow_walk(client, world.open(), 0, sleep, share=0.0005)
    next(walk)
    assert refusal(walk) < 3


def test_a_walk_in_a_long_row_stays_the_holder(client: redis.Redis, world: World) -> None:
    """However long it waits, neither the run's lease nor the partition's runs out."""
    fill(client, 500)
    leases = (keys.LEASE, keys.partition_lease("all", 0))
    walk = Polite(client, Hook()).walk(world.open())
    next(walk)
    for _ in range(3):
        for lease in leases:
            client.pexpire(lease, 2_000)
        taken(client, 8)
        taken(client, 8, "step")
        time.sleep(0.05)
        assert refusal(walk) > 5
        assert min(client.pttl(lease) for lease in leases) > 20_000


def test_a_walk_that_comes_late_asks_anew(client: redis.Redis, world: World) -> None:
    """After a pause all walks would have their turn at one moment."""
    fill(client, 500)
    walk = Polite(client, Hook()).walk(world.open())
    next(walk)
    time.sleep(1.1)
    taken(client, 5)
    assert 3 < refusal(walk) <= 5


def test_two_walks_never_step_in_the_same_turn(client: redis.Redis, world: World) -> None:
    """A step leaves behind when the next one may begin, and the other walk keeps to it."""
    fill(client, 500)
    opened = world.open(partitions=2)
    first = slow_walk(client, opened, 0, Hook())
    assert next(first).phase is Phase.BATCH
    done = len(copies(client))
    # As far as a walk may rest; without its turn it would be known by its step only, which is over before.
    assert refusal(slow_walk(client, opened, 1, Hook())) > 9
    assert len(copies(client)) == done


def test_walks_know_of_each_others_work(client: redis.Redis, world: World) -> None:
    """Each step adds what the one before has taken of the server; nobody takes it for a tenant's."""
    fill(client, 500)
    list(world.walk(world.open(partitions=2)))
    assert int(client.hget(keys.BUCKET, "walked")) > 0


def test_full_speed_waits_for_no_turn(client: redis.Redis, world: World, rests: Rests) -> None:
    """It gives way to nobody, and leaves no turn behind."""
    fill(client, 100)
    taken(client, 8)
    before = client.hgetall(keys.BUCKET)
    assert total(world.walk(world.open(full_speed=True))).migrated == 100
    assert rests == []
    assert client.hgetall(keys.BUCKET) == before


def test_a_turn_that_a_clock_has_left_in_the_future_does_not_stop_a_walk(
    client: redis.Redis, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a jump of the server's clock the turns begin anew, a walk's own too."""
    fill(client, 100)
    sleep = Hook()

    def shortly() -> None:
        assert sleep.rests[-1] < 1

    sleep.act = shortly
    taken(client, 3_600)
    taken(client, 3_600, "step")
    walk = Polite(client, sleep).walk(world.open())
    assert next(walk).phase is Phase.BATCH
    send = Steps.send

    def before_the_jump(steps: Steps, script: Script, where: Any, *args: Any, **options: Any) -> list[Any]:
        monkeypatch.setattr(Steps, "send", send)
        *rest, turn, used = args
        return send(steps, script, where, *rest, int(turn) + 3_600_000_000, used, **options)

    monkeypatch.setattr(Steps, "send", before_the_jump)
    assert next(walk).phase is Phase.BATCH


def test_the_latency_budget_is_read_from_the_environment(client: redis.Redis, world: World) -> None:
    """Small steps for a small one, larger steps for a larger one."""
    fill(client, 400)
    steps = {}
    for text in ("0.001", "1000"):
        settings = Settings.from_env({"RELAY_JOBS_LATENCY_BUDGET_MS": text})
        migration = Migration(client, settings, who="ada", sleep=Rests())
        books = [report.counts.scanned for report in migration.dry_run()]
        assert sum(books) == 400
        steps[text] = len(books)
    assert steps["0.001"] > 150 > 40 > steps["1000"]


class Mute(redis.Redis):
    """A server that says nothing of its load."""

    def info(self, section: str | None = None, *args: str, **options: Any) -> dict[str, Any]:
        """Only what it is."""
        return {} if section == "cpu" else super().info(section, *args, **options)


def test_a_server_that_says_nothing_of_its_load_stops_nobody(real_server: Server, world: World) -> None:
    """What is not known is not held against it."""
    with Mute(host="127.0.0.1", port=real_server.port) as mute:
        fill(mute, 400)
        silent = Polite(mute, Rests())
        assert silent.backfill().books == Books(scanned=400, migrated=400)
        assert silent.dry_run() == Books(scanned=400, exists=400)
        assert silent.verify().equal == 400
