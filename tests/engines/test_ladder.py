"""Moves: one rung up through its gate, down at once, two movers at a time, and the rollback of everything."""

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
import redis

from relay_jobs import JobStore, Stage
from relay_jobs.errors import GateRefused, InvalidWorkspace, NothingRecorded, Refused, UsageError
from relay_jobs.ladder import Ladder, Recorded
from tests.engines.world import Rests, World
from tests.servers import Server
from tests.store.records import dump, enqueue, new_store, put_both, put_legacy, set_stage

LADDER = tuple(Stage)
STAGES = "ai:migration:stages"


@pytest.fixture
def bare(client: redis.Redis, rests: Rests) -> World:
    """A server with one job, where nothing is recorded."""
    put_legacy(client, "j")
    return World(client, rests)


@pytest.fixture
def empty(client: redis.Redis, rests: Rests) -> World:
    """A server without any job."""
    return World(client, rests)


def stages(world: World) -> dict[str, str]:
    """What is recorded."""
    return {scope: str(stage) for scope, stage in world.migration.ladder.recorded().stages.items()}


@pytest.mark.parametrize(("low", "high"), [(a, b) for a in LADDER for b in LADDER if b.rung > a.rung + 1])
def test_no_rung_is_left_out_on_the_way_up(staged: Callable[[Stage], World], low: Stage, high: Stage) -> None:
    """Not even with an override; the refusal names the next one."""
    world = staged(low)
    put_both(world.client, "j")
    with pytest.raises(GateRefused, match=f"stage set {LADDER[low.rung + 1]}"):
        world.migration.set_stage(high, override="hurry")
    assert stages(world) == {"*": low}


@pytest.mark.parametrize(
    ("high", "low"), [(a, b) for a in LADDER[:4] for b in LADDER[:4] if b.rung < a.rung], ids=lambda stage: str(stage)
)
def test_down_goes_at_once_over_every_rung(staged: Callable[[Stage], World], high: Stage, low: Stage) -> None:
    """Without a gate, and the rungs that were passed are told."""
    world = staged(high)
    put_both(world.client, "j")
    move = world.migration.set_stage(low)
    assert move.rungs == tuple(reversed(LADDER[low.rung : high.rung]))
    assert stages(world) == {"*": low}


def test_where_nothing_is_recorded_a_move_starts_from_legacy(bare: World) -> None:
    """dual_write is the next rung, new_first is not."""
    with pytest.raises(GateRefused, match="one rung at a time"):
        bare.migration.set_stage(Stage.NEW_FIRST)
    move = bare.migration.set_stage(Stage.DUAL_WRITE)
    assert (move.before, move.after, stages(bare)) == (None, Stage.DUAL_WRITE, {"*": "dual_write"})


def test_where_one_is_can_be_recorded(bare: World) -> None:
    """The first step of a migration."""
    assert bare.migration.set_stage(Stage.LEGACY).rungs == (Stage.LEGACY,)
    assert stages(bare) == {"*": "legacy"}
    assert bare.migration.set_stage(Stage.LEGACY).rungs == ()


@pytest.mark.parametrize("stage", LADDER, ids=str)
def test_on_an_empty_server_any_stage_may_be_recorded(empty: World, stage: Stage) -> None:
    """There is nothing to prove, and it is said."""
    move = empty.migration.set_stage(stage)
    assert stages(empty) == {"*": stage}
    if stage is not Stage.LEGACY:
        assert "no job" in move.note


@pytest.mark.parametrize("key", ["ai:jobs:x", "ai:job:acme:x", "ai:job:third"])
def test_a_record_of_any_generation_makes_a_server_not_empty(empty: World, key: str) -> None:
    """Broken ones too."""
    empty.client.set(key, "x")
    with pytest.raises(GateRefused):
        empty.migration.set_stage(Stage.NEW_ONLY)


def test_an_override_passes_one_gate_and_is_kept(world: World) -> None:
    """What was against it, who did it and why."""
    put_both(world.client, "j")
    for nothing in ("", "  "):
        with pytest.raises(UsageError):
            world.migration.set_stage(Stage.NEW_FIRST, override=nothing)
    move = world.migration.set_stage(Stage.NEW_FIRST, override="incident 7")
    assert len(move.overridden) >= 2
    event = world.migration.ladder.history()[0]
    assert (event["event"], event["who"], event["override"]) == ("stage", "ada", "incident 7")
    assert event["overridden"] == list(move.overridden)
    assert (event["from"], event["to"]) == ("dual_write", "new_first")


def test_an_override_that_was_not_needed_is_none(staged: Callable[[Stage], World]) -> None:
    """A gate that holds is no gate that was passed by."""
    move = staged(Stage.LEGACY).migration.set_stage(Stage.DUAL_WRITE, override="hurry")
    assert (move.overridden, move.override) == ((), "")


def test_the_history_tells_every_move(bare: World) -> None:
    """Newest first, with its time by the server's clock."""
    for stage in (Stage.LEGACY, Stage.DUAL_WRITE, Stage.LEGACY):
        bare.migration.set_stage(stage)
    history = bare.migration.ladder.history()
    assert [(event["from"], event["to"]) for event in history] == [
        ("dual_write", "legacy"),
        ("legacy", "dual_write"),
        (None, "legacy"),
    ]
    assert [event["at"] for event in history] == sorted((event["at"] for event in history), reverse=True)


def test_the_epoch_rises_whenever_dual_write_is_entered_from_legacy(bare: World) -> None:
    """By the default or by one workspace; coming down to it is no entry."""
    epochs = []
    for scope, stage in [
        (None, Stage.LEGACY),
        (None, Stage.DUAL_WRITE),
        ("acme", Stage.DUAL_WRITE),
        ("acme", Stage.LEGACY),
        ("acme", Stage.DUAL_WRITE),
        ("beta", Stage.LEGACY),
    ]:
        bare.migration.set_stage(stage, scope)
        epochs.append(bare.migration.ladder.recorded().epoch)
    assert epochs == ["0", "1", "1", "1", "2", "2"]
    set_stage(bare.client, Stage.NEW_ONLY)
    bare.migration.set_stage(Stage.DUAL_WRITE)
    assert bare.migration.ladder.recorded().epoch == "2"


def test_a_workspace_moves_alone(world: World, store: JobStore) -> None:
    """The others stay where the default is, and processes act on it at once."""
    put_both(world.client, "a")
    job = enqueue(store, "beta")
    world.migration.set_stage(Stage.LEGACY, "acme")
    assert stages(world) == {"*": "dual_write", "acme": "legacy"}
    fresh = enqueue(store, "acme")
    assert world.client.exists(f"ai:jobs:{fresh}", f"ai:job:acme:{fresh}") == 1
    assert world.client.exists(f"ai:jobs:{job}", f"ai:job:beta:{job}") == 2


def test_a_workspace_can_be_given_the_stage_of_the_default(world: World) -> None:
    """From then on it has its own, and the default leaves it behind."""
    put_both(world.client, "a")
    world.migration.set_stage(Stage.DUAL_WRITE, "acme")
    world.migration.set_stage(Stage.LEGACY)
    assert stages(world) == {"*": "legacy", "acme": "dual_write"}


@pytest.mark.parametrize("name", ["", "*", "*epoch", "a:b", "a" * 65])
def test_what_is_no_workspace_has_no_stage(world: World, name: str) -> None:
    """Least of all the names that stand beside the workspaces."""
    with pytest.raises(InvalidWorkspace):
        world.migration.set_stage(Stage.LEGACY, name)
    assert stages(world) == {"*": "dual_write"}


# Two movers: what the first has seen is changed by the second before it acts.


class Overtaken(Ladder):
    """A ladder on which another mover acts right after this one has looked."""

    def __init__(self, world: World, act: Callable[[], object]) -> None:
        super().__init__(world.client)
        self._acts = [act]

    def recorded(self) -> Recorded:
        """Look, and be overtaken once."""
        seen = super().recorded()
        if self._acts:
            self._acts.pop()()
        return seen


def overtaken(world: World, act: Callable[[], object]) -> World:
    """Another operator, who is overtaken by ``act``."""
    other = World(world.client, Rests())
    other.migration.moves._ladder = Overtaken(world, act)
    return other


def test_a_mover_who_was_overtaken_looks_again(world: World) -> None:
    """Two who want the same get it once."""
    put_both(world.client, "j")
    late = overtaken(world, lambda: world.migration.set_stage(Stage.LEGACY))
    assert late.migration.set_stage(Stage.LEGACY).rungs == ()
    assert len(world.migration.ladder.history()) == 1


def test_nobody_climbs_two_rungs_because_the_default_went_down_meanwhile(world: World) -> None:
    """A workspace without a stage of its own stands where the default stands at the moment of the move."""
    put_both(world.client, "j")
    late = overtaken(world, lambda: world.migration.set_stage(Stage.LEGACY))
    with pytest.raises(GateRefused, match="one rung at a time"):
        late.migration.set_stage(Stage.NEW_FIRST, "acme", override="hurry")
    assert stages(world) == {"*": "legacy"}


def test_a_gate_is_not_passed_on_proofs_that_an_entry_into_dual_write_has_outdated(world: World) -> None:
    """The epoch is compared in the step that moves."""
    put_both(world.client, "j")
    world.client.hset(STAGES, "late", "legacy")
    with pytest.raises(GateRefused):
        world.migration.set_stage(Stage.NEW_FIRST, legacy_writers_gone=True)
    world.verify()
    late = overtaken(world, lambda: world.migration.set_stage(Stage.DUAL_WRITE, "late"))
    with pytest.raises(GateRefused):
        late.migration.set_stage(Stage.NEW_FIRST)
    assert stages(world)["*"] == "dual_write"


def test_movers_at_once_leave_a_history_without_a_gap(world: World, real_server: Server) -> None:
    """Every move starts where the one before it ended, and the epoch counts the entries into dual_write."""
    put_both(world.client, "j")

    def move(seed: int) -> None:
        mover = World(real_server.client(), Rests())
        for turn in range(20):
            mover.migration.set_stage(Stage.LEGACY if (turn + seed) % 2 else Stage.DUAL_WRITE)

    movers = [threading.Thread(target=move, args=(seed,)) for seed in (0, 1)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    told = [(event["from"], event["to"]) for event in reversed(world.migration.ladder.history(100))]
    assert told[0][0] == "dual_write"
    assert all(before[1] == after[0] for before, after in pairwise(told))
    assert int(world.migration.ladder.recorded().epoch) == 1 + told.count(("legacy", "dual_write"))


def test_a_rollback_that_is_overtaken_still_ends_in_dual_write(staged: Callable[[Stage], World]) -> None:
    """Whoever moves up beside it does not win."""
    world = staged(Stage.NEW_FIRST)
    put_both(world.client, "j")
    up = lambda: world.migration.set_stage(Stage.NEW_ONLY, override="drill")  # noqa: E731
    late = overtaken(world, up)
    late.migration.rollback()
    assert stages(world) == {"*": "dual_write"}


# The way back.


def test_a_rollback_takes_everything_above_dual_write_down_and_pauses(staged: Callable[[Stage], World]) -> None:
    """Workspaces at or below it stay; what changed is returned; running work rests."""
    world = staged(Stage.NEW_FIRST)
    put_both(world.client, "j")
    for workspace, stage in [("a", "legacy"), ("b", "dual_write"), ("c", "new_first"), ("d", "new_only")]:
        world.client.hset(STAGES, workspace, stage)
    moves = world.migration.rollback()
    assert {(move.scope, str(move.before), str(move.after)) for move in moves} == {
        ("*", "new_first", "dual_write"),
        ("c", "new_first", "dual_write"),
        ("d", "new_only", "dual_write"),
    }
    assert stages(world) == {"*": "dual_write", "a": "legacy", "b": "dual_write", "c": "dual_write", "d": "dual_write"}
    assert world.migration.status()["control"]["paused"]
    assert world.migration.rollback() == []


def test_a_rollback_where_nothing_is_recorded_records_dual_write(bare: World) -> None:
    """Processes that went by their flags may read what is not everywhere written."""
    moves = bare.migration.rollback()
    assert [(move.scope, move.before, move.after) for move in moves] == [("*", None, Stage.DUAL_WRITE)]
    assert stages(bare) == {"*": "dual_write"}


def test_a_rollback_of_a_mix_of_recorded_and_unrecorded_covers_both(bare: World) -> None:
    """Named workspaces and all others."""
    bare.client.hset(STAGES, "acme", "new_only")
    bare.migration.rollback()
    assert stages(bare) == {"*": "dual_write", "acme": "dual_write"}


def test_one_workspace_can_be_rolled_back_alone(staged: Callable[[Stage], World]) -> None:
    """It gets a stage of its own."""
    world = staged(Stage.NEW_FIRST)
    put_both(world.client, "j")
    world.migration.rollback("acme")
    assert stages(world) == {"*": "new_first", "acme": "dual_write"}


def test_after_a_rollback_nothing_is_lost(staged: Callable[[Stage], World]) -> None:
    """Legacy was written all the while, so it is complete at once."""
    world = staged(Stage.NEW_ONLY)
    store = new_store(world.client)
    job = enqueue(store)
    store.update_status(job, "running", "acme")
    world.migration.rollback()
    read = store.get_job(job, "acme")
    assert read is not None
    assert read.status == "running"


# Sealed.


@pytest.fixture
def sealed(empty: World) -> World:
    """Sealed while it was empty; then a job."""
    empty.migration.set_stage(Stage.SEALED)
    enqueue(new_store(empty.client))
    return empty


def test_from_sealed_down_to_new_only_and_no_further(sealed: World) -> None:
    """Legacy copies were not written there: without a reverse pass they would be read stale."""
    for target in LADDER[:3]:
        with pytest.raises(Refused, match="reverse pass"):
            sealed.migration.set_stage(target)
    sealed.migration.set_stage(Stage.NEW_ONLY)
    for target in LADDER[:3]:
        with pytest.raises(Refused, match="reverse pass"):
            sealed.migration.set_stage(target)
    assert stages(sealed) == {"*": "new_only"}


def test_a_rollback_takes_sealed_to_new_only(sealed: World) -> None:
    """And says why no further."""
    (move,) = sealed.migration.rollback()
    assert (move.after, "reverse pass" in move.note) == (Stage.NEW_ONLY, True)
    assert sealed.migration.rollback() == []


@pytest.mark.parametrize("first", [None, Stage.NEW_ONLY])
def test_a_workspace_does_not_slip_out_of_sealed_by_a_stage_of_its_own(sealed: World, first: Stage | None) -> None:
    """What the default was, the workspace was."""
    if first:
        sealed.migration.set_stage(first)
    with pytest.raises(Refused, match="reverse pass"):
        sealed.migration.set_stage(Stage.DUAL_WRITE, "acme")
    sealed.migration.set_stage(Stage.NEW_ONLY, "acme")
    with pytest.raises(Refused, match="reverse pass"):
        sealed.migration.set_stage(Stage.DUAL_WRITE, "acme")
    sealed.migration.rollback("acme")
    assert stages(sealed)["acme"] == "new_only"


def test_an_empty_server_leaves_sealed_as_it_came(empty: World) -> None:
    """Nothing was missed there, and nothing of it is remembered."""
    empty.migration.set_stage(Stage.SEALED)
    empty.migration.set_stage(Stage.LEGACY)
    put_legacy(empty.client, "j")
    empty.migration.set_stage(Stage.DUAL_WRITE)
    set_stage(empty.client, Stage.NEW_ONLY)
    empty.migration.set_stage(Stage.DUAL_WRITE)
    assert stages(empty) == {"*": "dual_write"}


def test_every_move_ends_with_the_next_command(bare: World) -> None:
    """For each stage there is one."""
    move = bare.migration.set_stage(Stage.LEGACY)
    assert "stage set dual_write" in move.next_command


def test_nothing_is_written_while_no_stage_is_recorded(bare: World) -> None:
    """Processes go by their own flags then, so neither a backfill nor a repair knows who keeps a copy."""
    before = dump(bare.client)
    with pytest.raises(NothingRecorded, match="nothing may be written by a backfill"):
        bare.open()
    with pytest.raises(NothingRecorded, match="nothing may be written by a repair"):
        bare.verify(repair=True)
    assert dump(bare.client) == before
    bare.migration.set_stage(Stage.DUAL_WRITE, "acme")
    with pytest.raises(NothingRecorded):
        bare.open(workspaces=["beta"])
    assert bare.backfill(workspaces=["acme"]).books.migrated == 1
