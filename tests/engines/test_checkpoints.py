"""When a checkpoint still counts, and when it is void: then the pass starts over, says so, and reaches every key."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from relay_jobs import Stage
from relay_jobs.errors import NothingRecorded
from relay_jobs.pace import Pace
from relay_jobs.preflight import survey
from relay_jobs.progress import Books, Phase
from relay_jobs.runs import Pass
from tests.engines.restarts import Restartable
from tests.engines.world import Rests, World, acting, copies, curtailed, fill
from tests.proxy import Proxy
from tests.servers import Server
from tests.store.records import scoped, set_stage


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Restartable]:
    """A server that can be restarted with its data."""
    server = Restartable(request.param, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def own(server: Restartable, rests: Rests) -> Iterator[World]:
    """Two thousand jobs on it."""
    with server.client() as client:
        set_stage(client, Stage.DUAL_WRITE)
        fill(client, 2000)
        world = World(client, rests)
        yield world
        world.end()


def test_a_restart_between_two_runs_starts_the_pass_over_and_reaches_every_key(own: World, server: Restartable) -> None:
    """A cursor of another server process would skip a quarter of the keys."""
    own.backfill(max_keys=1000)
    server.restart()
    opened = own.open("run-2")
    assert not opened.resumed
    assert "server process" in opened.note
    list(own.walk(opened))
    own.close(opened)
    assert len(copies(own.client)) == 2000
    assert own.migration.summary(opened).total == Books(scanned=2000, migrated=1000, exists=1000)


def test_a_restart_under_a_walk_starts_the_pass_over_and_reaches_every_key(own: World, server: Restartable) -> None:
    """The walk itself notices at its next batch, says so, and goes on from the start."""
    reports = acting(own.walk(own.open(batch=100)), lambda: None, lambda: None, server.restart)
    notices = [report for report in reports if report.phase is Phase.RESTARTED]
    assert [("server process" in notice.reason, notice.counts) for notice in notices] == [(True, Books())]
    assert len(copies(own.client)) == 2000


def test_partitions_that_were_walked_before_a_restart_are_walked_again_by_close(
    own: World, server: Restartable
) -> None:
    """Keys change their partition with the process: finished partitions prove nothing any more."""
    # A step that is larger than a partition goes on into the next one.
    opened = own.open(partitions=4, batch=100)
    for number in (0, 1, 2):
        list(own.walk(opened, number))
    server.restart()
    list(own.walk(opened, 3))
    assert len(copies(own.client)) < 2000
    reports = own.close(opened)
    said = next(report for report in reports if report.phase is Phase.RESTARTED)
    assert "3 of 4 partitions are not walked on this server process" in said.reason
    summary = own.migration.summary(opened)
    assert (len(copies(own.client)), summary.complete) == (2000, True)
    assert summary.total.scanned >= 2000


def test_a_restart_after_the_last_partition_is_noticed_by_close(own: World, server: Restartable) -> None:
    """A pass is complete only if all of it was walked on the process that completes it."""
    opened = own.open(partitions=2)
    for number in (0, 1):
        list(own.walk(opened, number))
    server.restart()
    reports = own.close(opened)
    assert "server process" in reports[0].reason
    summary = own.migration.summary(opened)
    assert summary.total.exists == summary.total.scanned >= 2000
    assert summary.complete


def test_a_restart_under_a_verification_starts_it_over(own: World, server: Restartable) -> None:
    """What was compared on the other process is not counted, and the notice says why."""
    own.backfill()
    checking = own.migration.verify()
    notices, at = [], []
    for number, step in enumerate(checking):
        if number == 3:
            server.restart()
        if step.notice:
            notices.append(step)
            at.append(number)
    assert at == [4]
    assert [("server process" in step.notice, step.checked) for step in notices] == [(True, 0)]
    assert checking.verdict.equal == 2000


def test_a_restart_under_the_other_direction_starts_a_verification_over(own: World, server: Restartable) -> None:
    """A cursor along the workspace copies is as void as one along the legacy keys."""
    own.backfill()
    own.client.hset("ai:job:acme:extra", mapping={"workspace_id": "acme", "status": "pending"})
    checking, notices = own.migration.verify(), []
    for step in checking:
        if step.direction == "workspace" and not notices:
            server.restart()
        notices += [step.notice] if step.notice else []
    assert len(notices) == 1
    assert (checking.verdict.equal, checking.verdict.extra) == (2000, 1)


def test_a_restart_under_a_dry_run_starts_it_over(own: World, server: Restartable) -> None:
    """Also a plan walks the whole keyspace on one process."""
    counted, notices = Books(), 0
    for number, report in enumerate(own.migration.dry_run(rps=None, batch=100)):
        if number == 3:
            server.restart()
        if report.phase is Phase.RESTARTED:
            counted, notices = Books(), notices + 1
        counted += report.counts
    assert (counted, notices) == (Books(scanned=2000, migrated=2000), 1)


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(world: World) -> None:
    """SCRIPT FLUSH between two batches is no failure."""
    fill(world.client, 50)
    acting(world.walk(world.open(batch=10)), world.client.script_flush)
    assert len(copies(world.client)) == 50


def test_an_unfinished_pass_goes_on_where_it_was(world: World) -> None:
    """The next run examines only what the one before has not."""
    fill(world.client, 100)
    world.backfill(max_keys=40, batch=10)
    opened = world.open("run-2")
    assert opened.resumed
    reports = list(world.walk(opened))
    assert reports[0].phase is Phase.RESUMED
    assert 0 < reports[0].fraction < 1
    world.close(opened)
    assert world.migration.summary(opened).books == Books(scanned=60, migrated=60)


def test_an_unfinished_pass_keeps_the_partitions_it_had(world: World) -> None:
    """Another number would leave keys between the partitions' cursors."""
    fill(world.client, 100)
    opened = world.open(partitions=8)
    list(world.walk(opened, 3))
    world.close(world.open(max_keys=1, partitions=8, step="limited"))
    assert world.open("run-2", partitions=2).partitions == 8


def test_a_finished_pass_starts_afresh(world: World) -> None:
    """A complete pass is no checkpoint."""
    fill(world.client, 20)
    world.backfill(partitions=4)
    opened = world.open("run-2")
    assert (opened.resumed, opened.note, opened.partitions) == (False, "", 1)


def test_a_restart_that_is_asked_for_begins_anew(world: World) -> None:
    """``restart`` voids what is there, and says so."""
    fill(world.client, 50)
    world.backfill(max_keys=20)
    opened = world.open("run-2", restart=True)
    assert "restart was asked for" in opened.note
    list(world.walk(opened))
    assert world.migration.summary(opened).total == Books(scanned=50, migrated=30, exists=20)


def _raise_epoch(world: World) -> None:
    world.client.hset("ai:migration:stages", "late", "legacy")
    world.migration.set_stage(Stage.DUAL_WRITE, "late")


def test_a_workspace_that_enters_dual_write_voids_the_pass(world: World) -> None:
    """What was copied of it before may have missed updates."""
    fill(world.client, 50)
    fill(world.client, 10, "late", "late")
    world.client.hset("ai:migration:stages", "late", "legacy")
    reports = acting(
        world.walk(world.open(batch=10)), lambda: None, lambda: world.migration.set_stage(Stage.DUAL_WRITE, "late")
    )
    assert [r.reason for r in reports if r.phase is Phase.RESTARTED] == ["a workspace has entered dual_write since"]
    assert len(copies(world.client, "late")) == 10
    world.close(world.open())
    assert world.migration.ladder.last(b"ai:migration:passes")["*"]["epoch"] == "2"


def test_a_pass_of_an_earlier_epoch_is_not_resumed(world: World) -> None:
    """The next run starts it over, and says why."""
    fill(world.client, 20)
    next(world.walk(world.open(batch=10)))
    world.migration.set_stage(Stage.LEGACY, "beta")
    world.migration.set_stage(Stage.DUAL_WRITE, "beta")
    opened = world.open()
    assert not opened.resumed
    assert "a workspace has entered dual_write" in opened.note


def test_a_walk_whose_pass_another_one_has_started_over_joins_it_again(world: World) -> None:
    """The partitions of one run notice one after the other; none of them is taken for a zombie."""
    fill(world.client, 100)
    opened = world.open(partitions=2, batch=5)
    first, second = (world.walk(opened, number, f"task/{number}") for number in (0, 1))
    assert (next(first).phase, next(second).phase) == (Phase.BATCH, Phase.BATCH)
    _raise_epoch(world)
    assert next(second).reason == "a workspace has entered dual_write since"
    reports = [*first, *second]
    assert [report.reason for report in reports if report.phase is Phase.RESTARTED] == ["the pass was started over"]
    world.close(opened)
    assert len(copies(world.client)) == 100


def test_a_pass_that_was_started_over_while_it_was_closed_is_not_recorded_with_its_old_books(
    world: World, real_server: Server
) -> None:
    """What close has read is of the generation that it completes."""
    fill(world.client, 20)
    with Proxy(real_server.port) as proxy:
        far = World(real_server.client(port=proxy.port), Rests())
        opened = far.open()
        list(far.walk(opened))
        proxy.hold(lambda: list(world.walk(world.open(restart=True))))
        reports = far.close(opened)
    assert "the pass was started over" in reports[0].reason
    record = world.migration.ladder.last(b"ai:migration:passes")["*"]
    assert record["books"] == Books(scanned=20, exists=20).as_dict()


def test_a_workspace_that_enters_dual_write_between_walk_and_close_voids_the_pass(world: World) -> None:
    """A pass of an earlier epoch is not completed: close walks it once more."""
    fill(world.client, 50)
    opened = world.open(partitions=2)
    for number in (0, 1):
        list(world.walk(opened, number))
    _raise_epoch(world)
    assert "entered dual_write" in world.close(opened)[0].reason
    assert world.migration.ladder.last(b"ai:migration:passes")["*"]["epoch"] == "2"
    assert world.migration.summary(opened).total.exists >= 50


def test_another_scope_under_the_same_progress_key_starts_over(world: World) -> None:
    """A run for B does not begin at A's cursor."""
    for workspace in ("acme", "beta"):
        fill(world.client, 50, workspace, workspace)
    world.backfill(workspaces=["acme"], max_keys=20, progress_key="k")
    opened = world.open("run-2", workspaces=["beta"], progress_key="k")
    assert "other workspaces" in opened.note
    list(world.walk(opened))
    assert len(copies(world.client, "beta")) == 50


def test_scopes_without_a_progress_key_keep_their_own_checkpoints(world: World) -> None:
    """The same set of workspaces is the same scope, in any order."""
    for workspace in ("acme", "beta", "gamma"):
        fill(world.client, 30, workspace, workspace)
    world.backfill("run-1", workspaces=["acme", "beta"], max_keys=10)
    world.backfill("run-2", workspaces=["gamma"], max_keys=10)
    assert world.open("run-3", workspaces=["beta", "acme", "beta"]).resumed


def test_an_emptied_database_starts_the_pass_over(world: World) -> None:
    """After FLUSHALL neither checkpoint nor cursor is left; what is loaded then is walked from the start."""
    fill(world.client, 100)

    def flush() -> None:
        world.client.flushall()
        set_stage(world.client, Stage.DUAL_WRITE)
        fill(world.client, 80, prefix="new")

    reports = acting(world.walk(world.open(batch=10)), lambda: None, lambda: None, flush)
    assert [r.phase for r in reports if r.reason] == [Phase.RESTARTED]
    assert len(copies(world.client)) == 80
    opened = world.open()
    world.close(opened)
    assert world.migration.summary(opened).complete


def test_a_checkpoint_of_another_database_is_void(world: World, real_server: Server) -> None:
    """SWAPDB carries it along with the data, and its cursor belongs to the other table."""
    fill(world.client, 50)
    world.backfill(max_keys=20)
    world.client.swapdb(0, 1)
    opened = World(real_server.client(db=1), Rests()).open("run-2")
    assert "another database" in opened.note


def test_databases_keep_apart(world: World, real_server: Server) -> None:
    """Lease, checkpoint and stage belong to a database."""
    fill(world.client, 20)
    elsewhere = real_server.client(db=1)
    set_stage(elsewhere, Stage.DUAL_WRITE)
    fill(elsewhere, 30)
    world.open(batch=5)
    assert World(elsewhere, Rests()).backfill("other").books == Books(scanned=30, migrated=30)
    assert copies(world.client) == set()


def test_a_lost_list_of_pending_keys_voids_the_checkpoint(world: World) -> None:
    """The cursor lies behind keys that were scanned and not examined: without their list they would be skipped."""
    fill(world.client, 100)
    world.backfill(max_keys=20, batch=50)
    assert world.client.delete("ai:migration:progress:all:pending:0") == 1
    opened = world.open("run-2", batch=5)
    assert "list of scanned keys is gone" in opened.note
    walk = world.walk(opened)
    next(walk)
    world.client.hincrby("ai:migration:progress:all", "pending:0", 1)
    assert [r.phase for r in walk if r.reason and not r.wait_seconds] == [Phase.RESTARTED]
    world.close(opened)
    assert len(copies(world.client)) == 100


def test_a_checkpoint_lives_thirty_days(world: World) -> None:
    """Every part of it: the pass, its pending keys, the run and its step."""
    fill(world.client, 100)
    world.backfill(max_keys=20, batch=50)
    for key in ("progress:all", "progress:all:pending:0", "run:run-1", "run:run-1:full"):
        assert 29 * 86_400 < world.client.ttl(f"ai:migration:{key}") <= 30 * 86_400


def test_a_pass_travels_between_processes_as_plain_values(world: World) -> None:
    """Airflow hands it to its mapped tasks."""
    opened = world.open(workspaces=["beta", "acme"], partitions=4, rps_per_slot=5)
    assert Pass.from_dict(opened.as_dict()) == opened


def test_a_walk_with_errors_that_comes_again_walks_its_partition_again(world: World, real_server: Server) -> None:
    """Its task was cleared after the cause was mended: the books of the partition begin anew."""
    fill(world.client, 40)
    opened = world.open()
    list(curtailed(world, real_server.client(username="denied", password="x"), "denied", "ai:jobs:*").walk(opened))
    assert world.migration.summary(opened).total == Books(scanned=40, errors=40)
    list(world.walk(opened))
    world.close(opened)
    assert world.migration.summary(opened).total == Books(scanned=40, migrated=40)


def test_a_walk_that_was_killed_after_its_end_keeps_its_books(world: World) -> None:
    """Its next try finds the partition walked: nothing is counted twice, and what was migrated stays migrated."""
    fill(world.client, 40)
    opened = world.open()
    list(world.walk(opened))
    assert [(r.phase, r.counts) for r in world.walk(opened)] == [(Phase.DONE, Books())]
    world.close(opened)
    summary = world.migration.summary(opened)
    assert summary.total == summary.books == Books(scanned=40, migrated=40)


def test_a_partition_that_another_owner_has_walked_is_not_walked_again(world: World) -> None:
    """The next run goes on with what is left."""
    fill(world.client, 40)
    opened = world.open(partitions=2)
    list(world.walk(opened, 0, "first"))
    reports = list(world.walk(opened, 0, "second"))
    assert [(r.phase, r.counts) for r in reports] == [(Phase.DONE, Books())]


def test_a_partition_is_walked_again_if_that_is_asked_for(world: World) -> None:
    """What is missing by then is copied; what was copied before stays in the books, and is met again as exists."""
    names = fill(world.client, 40)
    opened = world.open(partitions=2)
    for number in range(2):
        list(world.walk(opened, number))
    world.close(opened)
    world.client.delete(scoped(names[0]))
    for number in range(2):
        list(world.walk(opened, number, again=True))
    world.close(opened)
    assert copies(world.client) == {name.encode() for name in names}
    total = world.migration.summary(opened).total
    assert total.migrated == 41
    assert total.exists >= 39
    assert total.scanned == total.migrated + total.exists


def test_a_walk_again_goes_on_from_its_checkpoint_too(world: World) -> None:
    """It is cut off in the middle; its next try, that asks for it again, does not begin from the start."""
    fill(world.client, 40)
    opened = world.open(batch=5)
    list(world.walk(opened))
    first = list(world.walk(opened, again=True))
    cut = world.walk(opened, again=True)
    next(cut)
    cut.close()
    reports = list(world.walk(opened, again=True))
    assert reports[0].phase is Phase.RESUMED
    assert sum(report.counts.scanned for report in reports) < sum(report.counts.scanned for report in first)


def test_a_pass_completes_once(world: World, client: redis.Redis) -> None:
    """Closing it again changes nothing, also in the counters."""
    fill(client, 10)
    opened = world.open()
    list(world.walk(opened))
    world.close(opened)
    record = client.hget("ai:migration:passes", "*")
    assert world.close(opened) == []
    assert (client.hget("ai:migration:passes", "*"), world.counter("passes")) == (record, 1)


def test_a_scope_gets_its_own_record_for_each_workspace(staged: Callable[[Stage], World]) -> None:
    """A pass over chosen workspaces proves nothing about the others."""
    world = staged(Stage.NEW_FIRST)
    fill(world.client, 5)
    world.backfill(workspaces=["acme", "beta"])
    assert set(world.migration.ladder.last(b"ai:migration:passes")) == {"acme", "beta"}
    assert set(world.client.hkeys("ai:migration:indexed")) == {b"acme", b"beta"}


def test_a_restart_is_asked_for_once_by_a_step(world: World) -> None:
    """Its next try opens the pass with the same terms, and goes on."""
    fill(world.client, 40)
    world.open("before", batch=5)
    world.migration.release("before")
    cut = world.walk(world.open("after", restart=True, batch=5))
    next(cut)
    cut.close()
    assert world.open("after", restart=True, batch=5).resumed


def test_a_pass_is_as_old_as_its_last_walk(world: World, client: redis.Redis) -> None:
    """One that is closed days after it was walked proves nothing fresher."""
    fill(client, 10)
    opened = world.open()
    list(world.walk(opened))
    client.hset("ai:migration:progress:all", "walked_at", 1_000_000)
    world.close(opened)
    assert json.loads(client.hget("ai:migration:passes", "*") or b"")["finished_at"] == 1000


def test_a_complete_pass_that_is_walked_again_stays_complete(world: World) -> None:
    """The next run begins a pass of its own, instead of going on with one that has nothing left."""
    fill(world.client, 40)
    opened = world.open()
    list(world.walk(opened))
    world.close(opened)
    list(world.walk(opened, again=True))
    world.migration.release("run-1")
    fill(world.client, 5, prefix="later")
    summary = world.backfill("run-2")
    assert summary.books.migrated == 5


def test_a_walk_on_a_store_without_a_stage_writes_nothing(world: World) -> None:
    """It was opened on one that had a stage: the store was emptied meanwhile, or is another one."""
    opened = world.open()
    world.client.flushall()
    fill(world.client, 10)
    with pytest.raises(NothingRecorded, match="no stage is recorded"):
        list(world.walk(opened))
    assert copies(world.client) == set()


def test_partitions_with_errors_are_known(world: World, client: redis.Redis) -> None:
    """By their numbers."""
    opened = world.open(partitions=4)
    client.hset("ai:migration:progress:all", mapping={"errors:2": 3, "errors:1": 0})
    assert world.migration.failed_partitions(opened) == [2]


def test_a_restart_under_a_survey_makes_it_again(own: World, server: Restartable) -> None:
    """A cursor of the former process would leave out a quarter of the jobs, and the prediction with them."""
    fill(own.client, 2000)
    restarts = [server.restart]

    def restart_once(_: float) -> None:
        if restarts:
            restarts.pop()()

    found = survey(own.client, Pace(0.001, batch=20, share=0.1), sleep=restart_once)
    assert (restarts, found.legacy_keys) == ([], 2000)
