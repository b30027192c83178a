"""Every row of every gate: each reason appears, and what it names as the remedy ends it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from relay_jobs import Stage
from relay_jobs.errors import GateRefused, UsageError
from relay_jobs.keys import INDEXED, PASSES, STATEMENTS, VERIFICATIONS, progress
from tests.engines.restarts import Restartable
from tests.engines.world import Rests, World, fill
from tests.store.records import legacy, new_store, put_both, put_legacy, put_scoped, set_stage

GONE = "nobody has stated"
AFTER = "begun before the statement"


def refusal(world: World, stage: Stage, workspace: str | None = None, **options: Any) -> str:
    """Every reason against a move, as one text."""
    with pytest.raises(GateRefused) as refused:
        world.migration.set_stage(stage, workspace, **options)
    return " | ".join(refused.value.reasons)


def reached(world: World, stage: Stage, workspace: str | None = None, **options: Any) -> bool:
    """Whether the move is made, and recorded."""
    world.migration.set_stage(stage, workspace, **options)
    return world.migration.ladder.recorded().of(workspace or "*") is stage


def amend(world: World, key: bytes, scope: str = "*", **changes: object) -> None:
    """Change a recorded proof, as if it had been made otherwise."""
    record = json.loads(world.client.hget(key, scope) or b"{}")
    world.client.hset(key, scope, json.dumps({**record, **changes}))


@pytest.fixture
def stated(world: World) -> World:
    """In dual_write, two equal jobs, the statement made; nothing verified."""
    put_both(world.client, "a")
    put_both(world.client, "b", "beta")
    refusal(world, Stage.NEW_FIRST, legacy_writers_gone=True)
    return world


@pytest.fixture
def passed(staged: Callable[[Stage], World]) -> World:
    """In new_first, one job, a complete pass; nothing verified."""
    world = staged(Stage.NEW_FIRST)
    put_legacy(world.client, "a")
    put_legacy(world.client, "b", "beta")
    world.backfill()
    return world


def test_dual_write_has_no_gate(staged: Callable[[Stage], World]) -> None:
    """Writing both schemas needs no proof."""
    world = staged(Stage.LEGACY)
    put_legacy(world.client, "a")
    assert reached(world, Stage.DUAL_WRITE)


def test_new_first_needs_a_statement_and_a_verification(world: World) -> None:
    """Both reasons are listed, each with its command."""
    put_both(world.client, "a")
    reasons = refusal(world, Stage.NEW_FIRST)
    assert GONE in reasons
    assert "stage set new_first --legacy-writers-gone" in reasons
    assert "relay-jobs verify" in reasons


def test_a_statement_is_kept_even_if_its_call_is_refused(stated: World) -> None:
    """So that the verification can be begun after it."""
    reasons = refusal(stated, Stage.NEW_FIRST)
    assert GONE not in reasons
    assert "no verification is recorded" in reasons
    events = [event["event"] for event in stated.migration.ladder.history()]
    assert events == ["legacy_writers_gone"]


def test_statement_and_then_verification_open_new_first(stated: World) -> None:
    """The remedies in the order in which they are named."""
    stated.verify()
    assert reached(stated, Stage.NEW_FIRST)


def test_the_same_command_again_after_the_verification_is_accepted(stated: World) -> None:
    """A statement that is typed once more does not outdate the verification that was begun after the first."""
    stated.verify()
    assert reached(stated, Stage.NEW_FIRST, legacy_writers_gone=True)


def test_a_statement_and_its_move_may_be_overridden_in_one_call(world: World) -> None:
    """What was overridden does not include what was just stated."""
    put_both(world.client, "a")
    move = world.migration.set_stage(Stage.NEW_FIRST, legacy_writers_gone=True, override="drill")
    assert not any(GONE in reason for reason in move.overridden)
    assert world.client.hexists(STATEMENTS, "*")


def test_a_verification_that_was_begun_before_the_statement_does_not_count(world: World) -> None:
    """An old process could have written behind it."""
    put_both(world.client, "a")
    world.verify()
    assert AFTER in refusal(world, Stage.NEW_FIRST, legacy_writers_gone=True)
    world.verify()
    assert reached(world, Stage.NEW_FIRST)


def test_a_verification_that_the_statement_overtook_does_not_count(world: World) -> None:
    """Begun is what counts, not finished."""
    put_both(world.client, "a")
    for step in world.migration.verify():
        if step.direction == "legacy":
            refusal(world, Stage.NEW_FIRST, legacy_writers_gone=True)
    assert AFTER in refusal(world, Stage.NEW_FIRST)


@pytest.mark.parametrize("stage", [Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_a_verification_in_another_stage_does_not_count_for_new_first(stated: World, stage: Stage) -> None:
    """Before reads prefer the copies, they have to be equal where legacy is what is read."""
    set_stage(stated.client, stage)
    stated.verify()
    set_stage(stated.client, Stage.DUAL_WRITE)
    assert f"made in stage {stage}" in refusal(stated, Stage.NEW_FIRST)


def test_a_verification_during_which_the_stage_changed_does_not_count(stated: World) -> None:
    """It is proven in neither."""
    for step in stated.migration.verify():
        set_stage(stated.client, Stage.NEW_FIRST if step.direction == "legacy" else Stage.NEW_ONLY)
    set_stage(stated.client, Stage.DUAL_WRITE)
    assert "changed meanwhile" in refusal(stated, Stage.NEW_FIRST)


@pytest.mark.parametrize("target", [Stage.NEW_FIRST, Stage.NEW_ONLY], ids=str)
def test_proofs_of_an_earlier_epoch_do_not_count(stated: World, target: Stage) -> None:
    """A workspace that enters dual_write from legacy may have missed updates."""
    if target is Stage.NEW_ONLY:
        set_stage(stated.client, Stage.NEW_FIRST)
        stated.backfill()
    stated.verify()
    stated.client.hset("ai:migration:stages", "late", "legacy")
    stated.migration.set_stage(Stage.DUAL_WRITE, "late")
    reasons = refusal(stated, target)
    if target is Stage.NEW_ONLY:
        assert "the pass is of an earlier dual-write epoch" in reasons
        assert "the verification is of an earlier dual-write epoch" in reasons
        stated.backfill("again")
    else:
        # A statement is of its epoch too.
        assert GONE in reasons
        refusal(stated, target, legacy_writers_gone=True)
    stated.verify()
    assert reached(stated, target)


def test_a_verification_of_another_epoch_does_not_open_new_first(stated: World) -> None:
    """Even if a statement of this epoch is older than it."""
    stated.verify()
    amend(stated, VERIFICATIONS, epoch="0")
    assert "of an earlier dual-write epoch" in refusal(stated, Stage.NEW_FIRST)


def test_a_verification_during_which_the_epoch_was_raised_does_not_count(passed: World) -> None:
    """It has compared some jobs in the one and some in the other."""
    passed.client.hset("ai:migration:stages", "late", "legacy")
    for number, _ in enumerate(passed.migration.verify()):
        if number == 0:
            passed.migration.set_stage(Stage.DUAL_WRITE, "late")
    passed.backfill("again")
    assert "the verification is of an earlier dual-write epoch" in refusal(passed, Stage.NEW_ONLY)


@pytest.mark.parametrize("finding", ["different", "extra"])
def test_what_a_verification_found_stands_against_new_first(stated: World, finding: str) -> None:
    """With its count; repair ends it."""
    if finding == "different":
        stated.client.hset(legacy("a"), "status", "completed")
    else:
        stated.client.delete(legacy("a"))
    stated.verify()
    assert f"found {finding} = 1" in refusal(stated, Stage.NEW_FIRST)
    stated.verify(repair=True)
    assert reached(stated, Stage.NEW_FIRST)


def test_missing_copies_do_not_stand_against_new_first(stated: World) -> None:
    """Reads fall back there, and the backfill comes after it."""
    put_legacy(stated.client, "c")
    assert stated.verify().missing == 1
    assert reached(stated, Stage.NEW_FIRST)


def test_new_only_needs_a_pass_and_a_verification(staged: Callable[[Stage], World]) -> None:
    """Both are named."""
    world = staged(Stage.NEW_FIRST)
    put_both(world.client, "a")
    reasons = refusal(world, Stage.NEW_ONLY)
    assert "no complete pass is recorded" in reasons
    assert "relay-jobs backfill --execute" in reasons
    assert "no verification is recorded" in reasons
    world.backfill()
    assert "no complete pass" not in refusal(world, Stage.NEW_ONLY)
    world.verify()
    assert reached(world, Stage.NEW_ONLY)


def test_an_unfinished_pass_is_none(staged: Callable[[Stage], World]) -> None:
    """Nor is one that is walked and not closed."""
    world = staged(Stage.NEW_FIRST)
    fill(world.client, 20)
    world.backfill(max_keys=5)
    assert "no complete pass" in refusal(world, Stage.NEW_ONLY)
    list(world.walk(world.open("run-2")))
    assert "no complete pass" in refusal(world, Stage.NEW_ONLY)


@pytest.mark.parametrize("finding", ["missing", "different", "extra"])
def test_what_a_verification_found_stands_against_new_only(passed: World, finding: str) -> None:
    """Missing too: nothing falls back there."""
    if finding == "missing":
        put_legacy(passed.client, "c")
    elif finding == "different":
        passed.client.hset(legacy("a"), "status", "completed")
    else:
        put_scoped(passed.client, "x")
    passed.verify()
    assert f"found {finding} = 1" in refusal(passed, Stage.NEW_ONLY)
    passed.verify(repair=True)
    assert reached(passed, Stage.NEW_ONLY)


def test_proofs_grow_old(passed: World) -> None:
    """Older than the setting they are stale, each by itself."""
    passed.verify()
    old = passed.migration.ladder.now() - 24.5 * 3600
    for key, what in ((PASSES, "pass"), (VERIFICATIONS, "verification")):
        kept = passed.client.hget(key, "*")
        amend(passed, key, finished_at=old)
        assert f"the {what} is 24.5 h old, older than 24 h" in refusal(passed, Stage.NEW_ONLY)
        patient = World(passed.client, Rests(), proof_max_age_hours=25)
        assert patient.migration.moves._blockers("*", patient.migration.ladder.recorded(), Stage.NEW_ONLY) == ()
        passed.client.hset(key, "*", kept or b"")
    assert reached(passed, Stage.NEW_ONLY)


@pytest.fixture(params=["valkey", "redis7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Restartable]:
    """A server of the test's own."""
    server = Restartable(request.param, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def own(server: Restartable) -> Iterator[World]:
    """One job on it."""
    with server.client() as client:
        put_legacy(client, "a")
        yield World(client, Rests())


@pytest.fixture
def restarted(own: World, server: Restartable) -> World:
    """All proofs, and then a restart of the server."""
    set_stage(own.client, Stage.NEW_FIRST)
    own.backfill()
    own.verify()
    server.restart()
    return own


def test_a_verification_that_started_over_counts_from_there(own: World, server: Restartable) -> None:
    """What was compared before the restart is forgotten, and with it when that was begun."""
    own.migration.set_stage(Stage.DUAL_WRITE)
    checking = iter(own.migration.verify())
    next(checking)
    refusal(own, Stage.NEW_FIRST, legacy_writers_gone=True)
    server.restart()
    assert [step for step in checking if step.notice]
    assert reached(own, Stage.NEW_FIRST)


def test_proofs_of_another_server_process_do_not_count(restarted: World) -> None:
    """It may have come back with older data; a new pass and verification end it."""
    reasons = refusal(restarted, Stage.NEW_ONLY)
    assert "the pass was made on another server process" in reasons
    assert "the verification was made on another server process" in reasons
    restarted.backfill("again")
    restarted.verify()
    assert reached(restarted, Stage.NEW_ONLY)


def test_quarantined_records_have_to_be_acknowledged(passed: World) -> None:
    """A count and the commands; a new record blocks again."""
    passed.client.set(legacy("bad"), "x")
    passed.verify()
    assert "1 quarantined records are not acknowledged" in refusal(passed, Stage.NEW_ONLY)
    passed.migration.acknowledge("known")
    passed.client.set(legacy("worse"), "x")
    passed.verify()
    assert "1 quarantined records" in refusal(passed, Stage.NEW_ONLY)
    passed.client.delete(legacy("worse"))
    assert reached(passed, Stage.NEW_ONLY)


def test_sealed_cannot_be_reached_yet(staged: Callable[[Stage], World]) -> None:
    """Its reasons are those of new_only, and that live processes are not known."""
    world = staged(Stage.NEW_ONLY)
    put_both(world.client, "a")
    assert "no complete pass" in refusal(world, Stage.SEALED)
    world.backfill()
    world.verify()
    assert "every live process to be known" in refusal(world, Stage.SEALED)
    # No reason is good enough: there is no way back without a reverse pass.
    assert "every live process to be known" in refusal(world, Stage.SEALED, override="drill")
    assert world.migration.ladder.recorded().of("*") is Stage.NEW_ONLY


@pytest.mark.parametrize("stage", [s for s in Stage if s is not Stage.NEW_FIRST], ids=str)
def test_the_statement_belongs_to_one_move(world: World, stage: Stage) -> None:
    """Elsewhere it is a mistake."""
    with pytest.raises(UsageError, match="legacy-writers-gone"):
        world.migration.set_stage(stage, legacy_writers_gone=True)


def test_connections_without_the_librarys_name_are_evidence(stated: World, client: redis.Redis) -> None:
    """They are shown for the operator's judgement beside the reasons, and stand in nobody's way."""
    with redis.Redis(port=client.connection_pool.connection_kwargs["port"], client_name="old-worker") as old:
        old.ping()
        assert "old-worker from 127.0.0.1" in refusal(stated, Stage.NEW_FIRST)
        stated.verify()
        assert reached(stated, Stage.NEW_FIRST)


# A gate covers the workspaces that the move covers.


def test_a_workspace_is_proven_by_its_own_records(passed: World) -> None:
    """A pass and a verification of the workspace alone open its gate, and no other's."""
    passed.client.delete(PASSES, VERIFICATIONS)
    passed.backfill("own", workspaces=["acme"])
    passed.verify("acme")
    assert "no complete pass" in refusal(passed, Stage.NEW_ONLY)
    assert "--workspace beta" in refusal(passed, Stage.NEW_ONLY, "beta")
    assert reached(passed, Stage.NEW_ONLY, "acme")


def test_records_of_everything_prove_each_workspace(passed: World) -> None:
    """A workspace needs none of its own."""
    passed.verify()
    assert reached(passed, Stage.NEW_ONLY, "acme")


def test_a_neighbours_findings_do_not_stand_in_a_workspaces_way(passed: World) -> None:
    """A verification of everything says of each workspace what it found there."""
    passed.client.hset(legacy("b"), "status", "completed")
    passed.verify()
    assert "different = 1" in refusal(passed, Stage.NEW_ONLY, "beta")
    assert "different = 1" in refusal(passed, Stage.NEW_ONLY)
    assert reached(passed, Stage.NEW_ONLY, "acme")


def test_a_workspace_with_a_stage_of_its_own_does_not_stand_in_the_defaults_way(passed: World) -> None:
    """The default covers those that have none."""
    passed.migration.set_stage(Stage.DUAL_WRITE, "beta")
    passed.client.hset(legacy("b"), "status", "completed")
    passed.client.hset(legacy("bad"), mapping={"workspace_id": "beta", "job_id": "other"})
    passed.verify()
    assert reached(passed, Stage.NEW_ONLY)


def test_copies_in_a_workspace_in_stage_legacy_do_not_stand_in_the_defaults_way(passed: World) -> None:
    """What dual-write left behind there can be neither compared nor repaired."""
    passed.migration.set_stage(Stage.LEGACY, "beta")
    passed.client.delete(legacy("b"))
    verdict = passed.verify()
    assert (verdict.extra, verdict.verified) == (0, True)
    assert reached(passed, Stage.NEW_ONLY)
    assert passed.verify("beta").extra == 1


def test_a_later_finding_outweighs_an_earlier_clean_verification(passed: World) -> None:
    """Of the workspace alone or of everything: what was found last in this scope has to be ended."""
    passed.verify("acme")
    passed.client.hset(legacy("a"), "status", "completed")
    passed.verify()
    assert "different = 1" in refusal(passed, Stage.NEW_ONLY, "acme")
    passed.verify("acme", repair=True)
    assert reached(passed, Stage.NEW_ONLY, "acme")


def test_a_statement_of_a_workspace_is_not_the_defaults(world: World) -> None:
    """The other way round it is: whoever speaks for all speaks for each."""
    put_both(world.client, "a")
    refusal(world, Stage.NEW_FIRST, "acme", legacy_writers_gone=True)
    world.verify()
    assert GONE in refusal(world, Stage.NEW_FIRST)
    refusal(world, Stage.NEW_FIRST, legacy_writers_gone=True)
    world.verify()
    assert reached(world, Stage.NEW_FIRST, "beta")


def test_a_workspaces_stage_is_its_own_in_a_verification_of_everything(stated: World) -> None:
    """While the default was in dual_write, this workspace was not."""
    stated.client.hset("ai:migration:stages", "beta", "new_first")
    stated.verify()
    stated.migration.set_stage(Stage.DUAL_WRITE, "beta")
    refusal(stated, Stage.NEW_FIRST, "beta", legacy_writers_gone=True)
    assert "made in stage new_first" in refusal(stated, Stage.NEW_FIRST, "beta")
    assert reached(stated, Stage.NEW_FIRST)


def test_a_rollback_withdraws_the_statement(stated: World) -> None:
    """Old processes are supported in dual_write, so they may be back: it is stated and verified anew."""
    stated.verify()
    assert reached(stated, Stage.NEW_FIRST)
    stated.migration.rollback()
    assert "nobody has stated since the rollback" in refusal(stated, Stage.NEW_FIRST)
    assert "nobody has stated since the rollback" in refusal(stated, Stage.NEW_FIRST, "acme")
    assert AFTER in refusal(stated, Stage.NEW_FIRST, legacy_writers_gone=True)
    stated.verify()
    assert reached(stated, Stage.NEW_FIRST)


def test_a_workspaces_rollback_withdraws_its_own_statement(stated: World) -> None:
    """The statement was the default's, which is still good for all others."""
    stated.verify()
    assert reached(stated, Stage.NEW_FIRST, "beta")
    stated.migration.rollback("beta")
    assert "nobody has stated since the rollback" in refusal(stated, Stage.NEW_FIRST, "beta")
    assert reached(stated, Stage.NEW_FIRST)


def test_a_verification_from_before_a_rollback_does_not_open_new_only(passed: World) -> None:
    """What an old process made in between has no copy, and after an override nothing else would tell."""
    passed.verify()
    passed.migration.rollback()
    put_legacy(passed.client, "made-in-between")
    passed.migration.set_stage(Stage.NEW_FIRST, override="drill")
    assert "might still write" in refusal(passed, Stage.NEW_ONLY)
    passed.verify(repair=True)
    passed.verify()
    assert reached(passed, Stage.NEW_ONLY)


def listed(world: World, workspace: str = "acme") -> set[str]:
    """Ids of a whole listing."""
    store, ids, cursor = new_store(world.client), set[str](), None
    while True:
        page = store.list_jobs(workspace, cursor=cursor)
        ids |= {job.job_id for job in page.items}
        if page.next_cursor is None:
            return ids
        cursor = page.next_cursor


def indexes(world: World) -> set[str]:
    """Scopes whose listings may go by the index alone."""
    recorded = {scope.decode(): what for scope, what in world.client.hgetall(INDEXED).items()}
    return {scope for scope, what in recorded.items() if scope != "*withdrawn" and what != b"withdrawn"}


def up_again(world: World) -> None:
    """From dual_write, where an old process was, as the runbook says it."""
    refusal(world, Stage.NEW_FIRST, legacy_writers_gone=True)
    world.verify()
    assert reached(world, Stage.NEW_FIRST)


@pytest.mark.parametrize("workspace", [None, "acme"])
def test_what_an_old_process_made_after_a_rollback_is_listed(passed: World, workspace: str | None) -> None:
    """The index was complete before; what is made without it is found in the keyspace, until the next pass."""
    assert indexes(passed) == {"*"}
    passed.migration.rollback(workspace)
    put_legacy(passed.client, "made-in-between")
    if workspace is None:
        up_again(passed)
    else:
        refusal(passed, Stage.NEW_FIRST, workspace, legacy_writers_gone=True)
        passed.verify()
        assert reached(passed, Stage.NEW_FIRST, workspace)
    assert listed(passed) == {"a", "made-in-between"}
    passed.migration.resume()
    passed.backfill("later")
    assert indexes(passed) == {"*"}
    assert passed.client.hget(INDEXED, "acme") is None
    assert listed(passed) == {"a", "made-in-between"}


def test_a_workspaces_rollback_leaves_the_index_of_others(passed: World) -> None:
    """Of those a listing still goes by the index alone."""
    passed.migration.rollback("acme")
    assert indexes(passed) == {"*"}
    put_legacy(passed.client, "unseen", "beta")
    assert listed(passed, "beta") == {"b"}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_pass_that_a_rollback_has_met_has_not_indexed_everything(passed: World, restarted: bool) -> None:
    """It was begun without old processes, and they may have come back behind it; also if it had to start over."""
    opened = passed.open("second")
    passed.migration.rollback()
    passed.migration.resume()
    if restarted:
        passed.client.hset(progress(opened.name), "server", "another")
    list(passed.walk(opened))
    put_legacy(passed.client, "made-in-between")
    passed.close(opened)
    assert indexes(passed) == set()
    up_again(passed)
    assert listed(passed) == {"a", "made-in-between"}


@pytest.mark.parametrize("workspace", [None, "acme"])
def test_there_is_a_way_back_on_a_full_server(passed: World, workspace: str | None) -> None:
    """When the second copies have filled it, a rollback is what is needed; it frees nothing and needs a few bytes."""
    passed.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            passed.client.set("any", "x")
        passed.migration.rollback(workspace)
        control = passed.migration.status()["control"]
        passed.migration.set_stage(Stage.LEGACY, workspace)
    finally:
        passed.client.config_set("maxmemory", 0)
    assert (control["paused"], control["why"]) == (True, "rollback")
    assert passed.migration.ladder.recorded().of(workspace or "*") is Stage.LEGACY


def test_a_workspaces_gate_counts_its_own_quarantine(passed: World) -> None:
    """A neighbour's records, and those that are nobody's, are the default's to acknowledge."""
    passed.client.hset(legacy("bad"), mapping={"workspace_id": "beta", "job_id": "other"})
    passed.client.set(legacy("nobody"), "x")
    passed.verify()
    assert "2 quarantined" in refusal(passed, Stage.NEW_ONLY)
    assert "1 quarantined" in refusal(passed, Stage.NEW_ONLY, "beta")
    assert reached(passed, Stage.NEW_ONLY, "acme")
