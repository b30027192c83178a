"""A dry run writes nothing at all."""

from collections.abc import Callable

import pytest
import redis

from relay_jobs.progress import Books, Phase
from tests.engines.test_books import ALL, put_everything
from tests.engines.world import Rests, World, fill, total
from tests.servers import Server
from tests.store.records import dump, put_scoped

WRITES = ("copy", "hset", "hincrby", "zadd", "del", "pexpire", "incr", "rpush", "set", "lpush", "eval", "evalsha")


def _written(client: redis.Redis, act: Callable[[], object]) -> set[str]:
    client.config_resetstat()
    act()
    called = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    return called & set(WRITES)


def test_a_dry_run_changes_no_key_and_calls_no_command_that_could(world: World) -> None:
    """Full dump before and after, and what the server has counted; the script itself runs read-only."""
    put_everything(world.client)
    before = dump(world.client)
    assert _written(world.client, lambda: world.dry_run(batch=10)) == set()
    assert dump(world.client) == before


def test_a_look_from_every_side_writes_nothing(world: World) -> None:
    """Status and survey are for an operator who may only read."""
    put_everything(world.client)
    before = dump(world.client)
    for act in (
        lambda: world.migration.preflight(mode="dry_run"),
        world.migration.status,
        lambda: list(world.migration.dry_run(workspaces=["acme"], max_keys=3, rps=10**6)),
    ):
        assert _written(world.client, act) == set()
    assert dump(world.client) == before


@pytest.mark.parametrize(
    "commands", [["+@all", "-@write"], ["+@read", "+@scripting", "+@connection", "+info", "+time"]]
)
def test_a_user_who_may_not_write_can_make_it(world: World, real_server: Server, commands: list[str]) -> None:
    """Read commands, scripting and INFO are enough."""
    put_everything(world.client)
    world.client.acl_setuser("reader", reset=True, enabled=True, nopass=True, commands=commands, keys=["*"])
    reader = World(real_server.client(username="reader", password="x"), Rests())
    assert reader.dry_run() == ALL


def test_a_dry_run_beside_a_real_run_disturbs_neither(world: World) -> None:
    """It takes no lease, shares no checkpoint, and starts at the start."""
    fill(world.client, 100)
    walk = world.walk(world.open(batch=10))
    for _ in range(3):
        next(walk)
    plan = world.migration.dry_run(rps=None, batch=10)
    counts = [next(plan).counts]
    for report in walk:
        counts += [report.counts for report in [next(plan, None)] if report]
    counts += [report.counts for report in plan]
    assert sum(counts, Books()).scanned == 100
    world.close(world.open())
    assert world.backfill("run-2").books == Books(scanned=100, exists=100)


def test_a_dry_run_is_refused_by_no_stage(client: redis.Redis, rests: Rests) -> None:
    """Before anything is recorded it says what the process's own flags would do."""
    fill(client, 5)
    assert World(client, rests).dry_run() == Books(scanned=5, migrated=5)


def test_a_dry_run_names_samples_without_values(world: World) -> None:
    """Ids and reasons only."""
    put_everything(world.client)
    samples = [sample for report in world.migration.dry_run(rps=None) for sample in report.samples]
    assert {s.finding for s in samples} == {"invalid", "conflict"}
    assert ("job-00010", "acme", "conflict", "differs") in {
        (s.job_id, s.workspace_id, s.finding, s.reason) for s in samples
    }


def test_a_dry_run_reports_how_far_it_is(world: World) -> None:
    """The visited part only grows, up to the whole."""
    fill(world.client, 300)
    reports = list(world.migration.dry_run(rps=None, batch=20))
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert (reports[-1].phase, fractions[-1]) == (Phase.DONE, 1.0)


def test_a_copy_alone_is_nothing_to_migrate(world: World) -> None:
    """A walk goes over legacy keys."""
    put_scoped(world.client, "j")
    assert total(world.migration.dry_run()) == Books()
