"""A verification finds what is there and invents nothing, also while the jobs move."""

import time
from collections.abc import Callable

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import Refused
from relay_jobs.progress import Verdict
from tests.engines.traffic import Traffic
from tests.engines.world import Rests, World, fill
from tests.servers import Server
from tests.store.records import copy_at, dump, enqueue, legacy, new_store, put_both, put_legacy, put_scoped, scoped

Fault = Callable[[redis.Redis], object]
SOON = int(time.time() * 1000) + 86_400_000

# What is done to job-00003 of twenty equal ones, and what has to be found of it: finding, reason.
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "copy gone": (lambda c: c.delete(scoped("job-00003")), "missing", "absent"),
    "one byte at equal length": (lambda c: c.hset(scoped("job-00003"), "status", "pendinG"), "different", "content"),
    "one byte in legacy": (lambda c: c.hset(legacy("job-00003"), "status", "pendinG"), "different", "content"),
    "a field more": (lambda c: c.hset(scoped("job-00003"), "more", ""), "different", "content"),
    "a field less": (lambda c: c.hdel(scoped("job-00003"), "actor_id"), "different", "content"),
    "a field renamed": (
        lambda c: (c.hdel(scoped("job-00003"), "actor_id"), c.hset(scoped("job-00003"), "actor_iD", "u1")),
        "different",
        "content",
    ),
    "two values swapped": (
        lambda c: c.hset(scoped("job-00003"), mapping={"action_provider": "send", "action_name": "mail"}),
        "different",
        "content",
    ),
    "expiry only on one": (lambda c: c.pexpireat(scoped("job-00003"), SOON), "different", "expiry"),
    "no expiry on the copy": (lambda c: c.pexpireat(legacy("job-00003"), SOON), "different", "expiry"),
    "expiry off by a millisecond": (
        lambda c: (c.pexpireat(legacy("job-00003"), SOON), c.pexpireat(scoped("job-00003"), SOON + 1)),
        "different",
        "expiry",
    ),
    "legacy gone": (lambda c: c.delete(legacy("job-00003")), "extra", "absent"),
    "legacy of another workspace": (
        lambda c: (
            c.hset(legacy("job-00003"), "workspace_id", "beta"),
            put_scoped(c, "job-00003", "beta"),
            c.zadd("ai:index:beta", {"job-00003": 1767323045000006}),
        ),
        "extra",
        "valid",
    ),
    "copy says another workspace": (
        lambda c: c.hset(scoped("job-00003"), "workspace_id", "beta"),
        "missing",
        "partial",
    ),
    "copy says another id": (lambda c: c.hset(scoped("job-00003"), "job_id", "x"), "missing", "partial"),
    "copy is a string": (
        lambda c: (c.delete(scoped("job-00003")), c.set(scoped("job-00003"), "x")),
        "missing",
        "other",
    ),
}


@pytest.fixture
def twenty(world: World) -> World:
    """Twenty equal jobs, three of them with an expiry."""
    names = fill(world.client, 20)
    for name in names[:3]:
        world.client.pexpireat(legacy(name), SOON)
    world.backfill()
    return world


def test_equal_jobs_are_equal(twenty: World) -> None:
    """In both directions."""
    verdict = twenty.verify()
    assert (verdict.equal, verdict.verified, verdict.unindexed, verdict.samples) == (20, True, 0, ())


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_none_is_invented(twenty: World, name: str) -> None:
    """Exactly that job, by its id, with why."""
    fault, finding, reason = FAULTS[name]
    fault(twenty.client)
    verdict = twenty.verify()
    found = {f: getattr(verdict, f) for f in ("missing", "different", "extra", "quarantined", "errors", "malformed")}
    assert found == {**dict.fromkeys(found, 0), finding: 1}
    assert not verdict.verified
    assert [(s.job_id, s.workspace_id, s.finding, s.reason) for s in verdict.samples] == [
        ("job-00003", "acme", finding, reason)
    ]
    assert verdict.equal in {19, 20}


def test_a_verification_writes_nothing_but_its_record(twenty: World) -> None:
    """And needs no right to write jobs."""
    twenty.client.delete(scoped("job-00003"))
    before = dump(twenty.client)
    twenty.verify()
    changed = {key for key, value in dump(twenty.client).items() if before.get(key) != value}
    assert changed == {b"ai:migration:verifications"}


def test_the_order_of_fields_is_no_difference(world: World) -> None:
    """A hash has none."""
    put_legacy(world.client, "j")
    for field, value in reversed(copy_at(world.client, legacy("j")).items()):
        world.client.hset(scoped("j"), field, value)
    assert world.verify().equal == 1


def test_a_hash_under_a_workspaces_name_without_a_job_is_malformed_and_no_extra(world: World) -> None:
    """It was never a copy; it is reported."""
    world.client.hset(scoped("ghost"), mapping={"status": "completed", "result": "{}"})
    world.client.rpush(scoped("list"), "x")
    verdict = world.verify()
    assert (verdict.malformed, verdict.extra, verdict.verified) == (2, 0, True)


def test_an_index_of_another_type_does_not_stop_a_verification(twenty: World) -> None:
    """Its jobs are counted as unindexed, and repair mends the copies all the same."""
    twenty.client.set("ai:index:acme", "x")
    twenty.client.delete(scoped("job-00003"), legacy("job-00004"))
    verdict = twenty.verify()
    assert (verdict.equal, verdict.missing, verdict.extra, verdict.unindexed) == (18, 1, 1, 18)
    assert twenty.verify(repair=True).repaired == 2


def test_a_copy_without_its_index_entry_is_told(twenty: World) -> None:
    """It would be missing from listings."""
    twenty.client.zrem("ai:index:acme", "job-00003")
    verdict = twenty.verify()
    assert (verdict.equal, verdict.unindexed) == (20, 1)


def test_a_verification_of_chosen_workspaces_sees_no_others(twenty: World) -> None:
    """Neither their faults nor their records."""
    put_legacy(twenty.client, "x", "beta")
    put_scoped(twenty.client, "y", "beta")
    twenty.client.set(legacy("nobody"), "x")
    verdict = twenty.verify("acme")
    assert (verdict.equal, verdict.verified, verdict.quarantined) == (20, True, 0)
    verdict = twenty.verify("beta", "gamma")
    assert (verdict.equal, verdict.missing, verdict.extra, verdict.quarantined) == (0, 1, 1, 0)


def test_a_verification_reports_how_far_it_is(twenty: World) -> None:
    """Legacy first, then the workspace copies; the fraction only grows."""
    steps = list(twenty.migration.verify())
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [step.direction for step in (steps[0], steps[-1])] == ["legacy", "workspace"]


def test_there_is_nothing_to_compare_where_all_is_legacy(staged: Callable[[Stage], World]) -> None:
    """It is refused with the next command."""
    with pytest.raises(Refused, match="dual_write"):
        staged(Stage.LEGACY).migration.verify()


def test_a_workspace_in_stage_legacy_is_left_out(twenty: World) -> None:
    """Its jobs have no copies yet; named, it is compared."""
    fill(twenty.client, 4, "beta", "b")
    twenty.client.hset("ai:migration:stages", "beta", "legacy")
    verdict = twenty.verify()
    assert (verdict.equal, verdict.missing, verdict.filtered) == (20, 0, 4)
    assert twenty.verify("beta").missing == 4


def test_in_sealed_a_copy_alone_is_normal(staged: Callable[[Stage], World]) -> None:
    """Legacy is no longer written there."""
    world = staged(Stage.SEALED)
    enqueue(new_store(world.client))
    assert world.verify().verified


# Jobs that move.


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_under_live_traffic_nothing_is_found_different(staged: Callable[[Stage], World], stage: Stage) -> None:
    """Whatever the writers do between two readings, every verification ends with zero."""
    world = staged(stage)
    traffic = Traffic(world.client, fill(world.client, 80))
    world.backfill()
    verdicts: list[Verdict] = []
    traffic.during(lambda _: verdicts.append(world.verify()))
    assert [v for v in verdicts if not v.verified] == []
    assert traffic.nothing_lost()


def test_an_old_process_that_writes_one_schema_after_the_other_is_given_time(twenty: World, rests: Rests) -> None:
    """A job that is equal at the second reading was never different."""
    twenty.client.hset(legacy("job-00003"), "status", "running")
    checking = twenty.migration.verify()

    def catch_up(seconds: float) -> None:
        rests(seconds)
        twenty.client.hset(scoped("job-00003"), "status", "running")

    checking._engine._sleep = catch_up
    for _ in checking:
        pass
    assert checking.verdict.verified
    assert checking.verdict.equal == 20
    assert 0.02 in rests


def test_a_job_that_still_moves_at_the_second_reading_is_read_again(twenty: World) -> None:
    """Two readings have to agree before they are called a finding."""
    twenty.client.hset(legacy("job-00003"), "status", "running")
    checking = twenty.migration.verify()
    writes = iter([(legacy("job-00003"), "completed"), (scoped("job-00003"), "completed")])

    def go_on(_: float) -> None:
        for key, status in [next(writes, (legacy("job-00003"), "completed"))]:
            twenty.client.hset(key, "status", status)

    checking._engine._sleep = go_on
    for _ in checking:
        pass
    assert (checking.verdict.equal, checking.verdict.verified) == (20, True)


def test_a_job_that_never_rests_is_called_what_the_last_reading_found(twenty: World) -> None:
    """A bounded number of readings, each after a longer rest."""
    rests: list[float] = []
    pauses = {0.02 * 2**reading for reading in range(20)}
    twenty.client.hset(legacy("job-00003"), "status", "running")
    checking = twenty.migration.verify()

    def move(seconds: float) -> None:
        rests.append(seconds)
        twenty.client.hincrby(legacy("job-00003"), "attempt", 1)

    checking._engine._sleep = move
    for _ in checking:
        pass
    assert (checking.verdict.different, checking.verdict.equal) == (1, 19)
    assert len([seconds for seconds in rests if seconds in pauses]) == 8


def test_a_copy_whose_job_appears_between_two_readings_is_not_extra(twenty: World) -> None:
    """A walk meets the copy of a job that is being created; the second reading finds both."""
    put_scoped(twenty.client, "late")
    checking, read = twenty.migration.verify(), []

    def created(seconds: float) -> None:
        # The pause before a second reading, not the rest after a step.
        if seconds == 0.02:
            read.append(twenty.client.exists(legacy("late")))
            put_legacy(twenty.client, "late")

    checking._engine._sleep = created
    for _ in checking:
        pass
    assert read == [0]
    assert checking.verdict.extra == 0
    assert twenty.client.exists(legacy("late"), scoped("late")) == 2


def test_a_job_that_is_deleted_between_two_readings_is_counted_nowhere(twenty: World, store: JobStore) -> None:
    """It is in the books of neither side."""
    twenty.client.hset(legacy("job-00003"), "status", "running")
    checking = twenty.migration.verify()
    checking._engine._sleep = lambda _: store.delete_job("job-00003", "acme")
    for _ in checking:
        pass
    assert (checking.verdict.equal, checking.verdict.verified) == (19, True)


# Repair: the copy that the stage reads is right.

RIGHT_IS_LEGACY = {Stage.DUAL_WRITE: True, Stage.NEW_FIRST: False, Stage.NEW_ONLY: False}


@pytest.mark.parametrize("stage", RIGHT_IS_LEGACY, ids=str)
@pytest.mark.parametrize("name", [name for name in FAULTS if name != "copy is a string"])
def test_a_repair_makes_the_copies_equal(twenty: World, name: str, stage: Stage) -> None:
    """Whatever was planted, the verification after it is clean, or the repair says why it cannot be."""
    twenty.client.hset("ai:migration:stages", "*", stage)
    FAULTS[name][0](twenty.client)
    verdict = twenty.verify(repair=True)
    if name == "legacy of another workspace" and not RIGHT_IS_LEGACY[stage]:
        assert (verdict.repaired, verdict.extra) == (0, 1)
        assert [sample.reason for sample in verdict.samples] == ["id_of_another_workspace"]
        return
    assert (verdict.repaired, verdict.verified) == (1, True)
    after = twenty.verify()
    assert after.verified
    assert after.equal == verdict.equal


@pytest.mark.parametrize("stage", RIGHT_IS_LEGACY, ids=str)
def test_of_two_different_copies_the_one_that_is_read_wins(twenty: World, stage: Stage) -> None:
    """Value and expiry."""
    twenty.client.hset("ai:migration:stages", "*", stage)
    twenty.client.hset(legacy("job-00003"), "result", "old")
    twenty.client.pexpireat(legacy("job-00003"), SOON)
    twenty.client.hset(scoped("job-00003"), "result", "new")
    assert twenty.verify(repair=True).repaired == 1
    left = copy_at(twenty.client, legacy("job-00003"))
    assert left == copy_at(twenty.client, scoped("job-00003"))
    assert left[b"result"] == (b"old" if RIGHT_IS_LEGACY[stage] else b"new")
    expiry = twenty.client.pexpiretime(legacy("job-00003"))
    assert expiry == twenty.client.pexpiretime(scoped("job-00003")) == (SOON if RIGHT_IS_LEGACY[stage] else -1)


@pytest.mark.parametrize("stage", RIGHT_IS_LEGACY, ids=str)
def test_a_copy_without_a_legacy_job_goes_or_is_copied_back(twenty: World, stage: Stage) -> None:
    """In dual_write with its index entry; later it is the job, and legacy gets it again."""
    twenty.client.hset("ai:migration:stages", "*", stage)
    twenty.client.delete(legacy("job-00003"))
    twenty.client.pexpireat(scoped("job-00003"), SOON)
    assert twenty.verify(repair=True).repaired == 1
    there = not RIGHT_IS_LEGACY[stage]
    assert bool(twenty.client.exists(scoped("job-00003"))) == there
    assert (twenty.client.zscore("ai:index:acme", "job-00003") is not None) == there
    assert twenty.client.pexpiretime(legacy("job-00003")) == (SOON if there else -2)


def test_a_key_of_another_type_cannot_be_repaired(twenty: World) -> None:
    """It stays, and is reported as what it is."""
    FAULTS["copy is a string"][0](twenty.client)
    verdict = twenty.verify(repair=True)
    assert (verdict.repaired, verdict.missing) == (0, 1)
    assert [sample.reason for sample in verdict.samples] == ["other_type"]
    assert twenty.client.get(scoped("job-00003")) == b"x"


@pytest.mark.parametrize("stage", RIGHT_IS_LEGACY, ids=str)
def test_a_copy_of_a_quarantined_job_is_left_to_a_person(twenty: World, stage: Stage) -> None:
    """Nobody can say which is right: neither is touched."""
    twenty.client.hset("ai:migration:stages", "*", stage)
    twenty.client.hdel(legacy("job-00003"), "workspace_id")
    before = {key: value for key, value in dump(twenty.client).items() if key.startswith((b"ai:jobs:", b"ai:job:"))}
    verdict = twenty.verify(repair=True)
    assert (verdict.repaired, verdict.extra, verdict.quarantined) == (0, 1, 1)
    assert [sample.reason for sample in verdict.samples] == ["quarantined_no_workspace"]
    assert before == {
        key: value for key, value in dump(twenty.client).items() if key.startswith((b"ai:jobs:", b"ai:job:"))
    }


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.SEALED], ids=str)
def test_where_only_one_schema_is_written_nothing_is_repaired(twenty: World, stage: Stage) -> None:
    """A copy made there would go stale."""
    twenty.client.hset("ai:migration:stages", "acme", stage)
    twenty.client.hset(legacy("job-00003"), "status", "running")
    before = dump(twenty.client)
    if stage is Stage.LEGACY:
        with pytest.raises(Refused):
            twenty.verify("acme", repair=True)
        assert dump(twenty.client) == before
        return
    verdict = twenty.verify("acme", repair=True)
    assert (verdict.repaired, verdict.different) == (0, 1)
    assert [sample.reason for sample in verdict.samples] == ["stage_sealed"]


def test_a_repair_of_chosen_workspaces_touches_no_others(twenty: World) -> None:
    """Their faults are theirs."""
    put_legacy(twenty.client, "x", "beta")
    twenty.client.delete(scoped("job-00003"))
    assert twenty.verify("acme", repair=True).repaired == 1
    assert twenty.client.exists(scoped("x", "beta")) == 0


def test_a_repair_under_live_traffic_undoes_no_update(twenty: World) -> None:
    """Every repair is one atomic step: what a writer was told stays."""
    traffic = Traffic(twenty.client, fill(twenty.client, 60, prefix="live"))
    traffic.during(lambda turn: twenty.verify(repair=True, run=f"mender-{turn}"))
    twenty.verify(repair=True)
    assert traffic.nothing_lost()
    assert twenty.verify().verified


def test_a_job_that_is_equal_again_before_its_repair_was_not_repaired(twenty: World) -> None:
    """It is counted as equal."""
    twenty.client.hset(legacy("job-00003"), "status", "running")
    mending = twenty.migration.verify(repair=True, run="mender")
    engine = mending._engine
    repair = engine._repair

    def late(*given: object) -> tuple[bool, str]:
        twenty.client.hset(scoped("job-00003"), "status", "running")
        return repair(*given)  # type: ignore[arg-type]

    engine._repair = late  # type: ignore[method-assign]
    for _ in mending:
        pass
    assert (mending.verdict.repaired, mending.verdict.equal) == (0, 20)


def test_a_user_who_may_not_write_can_verify_chosen_jobs_up_to_its_record(world: World, real_server: Server) -> None:
    """Comparing runs read-only: only the record at the end needs to be written."""
    put_both(world.client, "a")
    world.client.acl_setuser(
        "reader", reset=True, enabled=True, nopass=True, commands=["+@all"], keys=["%R~*", "ai:migration:verifications"]
    )
    assert World(real_server.client(username="reader", password="x"), Rests()).verify().equal == 1
