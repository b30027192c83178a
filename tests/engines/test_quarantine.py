"""Records that cannot be moved: acknowledged ones, new ones, mended ones."""

import pytest

from relay_jobs import Stage
from relay_jobs.errors import UsageError
from tests.engines.test_copies import put_invalid
from tests.engines.world import World
from tests.store.records import fields, legacy, put_legacy


@pytest.fixture
def found(world: World) -> World:
    """A pass has found one of each."""
    put_invalid(world.client)
    world.backfill()
    return world


def test_records_name_id_workspace_and_reason(found: World) -> None:
    """The workspace only where it can be told."""
    records = {record.job_id: (record.workspace_id, record.reason) for record in found.migration.quarantine.records()}
    assert len(records) == 15
    assert records["mismatch"] == ("acme", "id_mismatch")
    assert records["text"] == (None, "wrong_type")
    assert records["colon"] == (None, "bad_workspace")


def test_an_acknowledgement_covers_what_is_there_now(found: World) -> None:
    """It needs a reason, is kept in the history, and says what it covered."""
    with pytest.raises(UsageError):
        found.migration.acknowledge("  ")
    assert found.migration.quarantine.unacknowledged() == 15
    assert len(found.migration.acknowledge("known leftovers")) == 15
    assert found.migration.quarantine.unacknowledged() == 0
    assert found.migration.acknowledge("again") == []
    event = found.migration.ladder.history()[1]
    assert (event["event"], event["reason"], event["records"]) == ("quarantine_acknowledged", "known leftovers", 15)


def test_a_new_record_blocks_again(found: World) -> None:
    """An acknowledgement is not for the future."""
    found.migration.acknowledge("known")
    found.client.set(legacy("new"), "x")
    found.backfill("run-2")
    assert found.migration.quarantine.unacknowledged() == 1
    assert found.verify().unacknowledged == 1


def test_a_record_with_another_reason_blocks_again(found: World) -> None:
    """What was looked at is no longer what is there."""
    found.migration.acknowledge("known")
    found.client.delete(legacy("text"))
    found.client.hset(legacy("text"), "status", "pending")
    assert [(r.job_id, r.reason) for r in found.migration.quarantine.records() if not r.acknowledged] == [
        ("text", "no_workspace")
    ]


def test_a_mended_or_deleted_record_is_forgotten(found: World) -> None:
    """With its acknowledgement: if it breaks again, it blocks again."""
    found.migration.acknowledge("known")
    found.client.delete(legacy("text"), legacy("list"))
    found.client.hset(legacy("mismatch"), "job_id", "mismatch")
    assert found.migration.quarantine.unacknowledged() == 0
    assert found.client.hlen("ai:migration:quarantine") == 12
    found.client.hset(legacy("mismatch"), "job_id", "another")
    found.backfill("run-2")
    assert found.migration.quarantine.unacknowledged() == 1


def test_a_verification_finds_them_too(world: World) -> None:
    """Also where no pass has been."""
    put_invalid(world.client)
    verdict = world.verify()
    assert (verdict.quarantined, verdict.unacknowledged, verdict.verified) == (15, 15, True)
    assert world.client.hlen("ai:migration:quarantine") == 15
    assert {sample.finding for sample in verdict.samples} == set()


def test_a_record_that_breaks_between_two_readings_is_quarantined(world: World) -> None:
    """A doubtful job that is no valid job any more at the second reading is remembered like any other."""
    put_legacy(world.client, "j")
    world.client.hset("ai:job:acme:j", mapping={"workspace_id": "acme", "x": "1"})
    checking = world.migration.verify()
    checking._engine._sleep = lambda _: world.client.hdel(legacy("j"), "workspace_id")
    for _ in checking:
        pass
    assert checking.verdict.quarantined == 1
    assert checking.verdict.extra == 1
    assert checking.verdict.unacknowledged == 1
    assert world.client.hlen("ai:migration:quarantine") == 1


def test_a_dry_run_quarantines_nothing(world: World) -> None:
    """It writes nothing."""
    put_invalid(world.client)
    world.dry_run()
    assert world.client.exists("ai:migration:quarantine") == 0


def test_a_workspace_answers_for_its_own_records_only(world: World) -> None:
    """Its gate is not held up by a neighbour's records, nor by those that are nobody's."""
    world.client.hset(legacy("a"), mapping=fields("other", "acme"))  # type: ignore[arg-type]
    world.client.set(legacy("nobody"), "x")
    world.verify()
    assert world.migration.quarantine.unacknowledged(["acme"]) == 1
    assert world.migration.quarantine.unacknowledged(["beta"]) == 0
    assert world.migration.quarantine.unacknowledged() == 2


def test_an_id_that_is_not_utf8_can_be_acknowledged(world: World) -> None:
    """Ids travel as bytes."""
    world.client.set(legacy(b"\xff\xfe"), "x")
    world.backfill()
    assert [record.job_id.encode("utf-8", "surrogateescape") for record in world.migration.acknowledge("odd")] == [
        b"\xff\xfe"
    ]
    assert world.migration.quarantine.unacknowledged() == 0


def test_more_records_than_one_step_takes_are_all_seen(world: World) -> None:
    """A long quarantine is read in parts, each record once."""
    pipe = world.client.pipeline(transaction=False)
    for number in range(1300):
        pipe.set(legacy(f"bad-{number}"), "x")
    pipe.execute()
    world.backfill()
    names = [record.job_id for record in world.migration.quarantine.records()]
    assert len(names) == len(set(names)) == 1300
    assert len(world.migration.acknowledge("all")) == 1300
    assert world.migration.ladder.recorded().of("acme") is Stage.DUAL_WRITE
