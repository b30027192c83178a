"""The ladder as tables: what a stage writes and reads, its moves, and what flags mean."""

from itertools import pairwise, product

import pytest

from relay_jobs.stages import (
    ROLLBACK_TARGET,
    RULES,
    Flags,
    Side,
    Stage,
    flag_conflicts,
    rungs_between,
    stage_from_flags,
)

LADDER = [Stage.LEGACY, Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY, Stage.SEALED]
ALL_FLAGS = [Flags(*values) for values in product((True, False), repeat=4)]


def test_the_ladder() -> None:
    """Five rungs in the contract's order."""
    assert list(Stage) == LADDER
    assert [stage.rung for stage in Stage] == [0, 1, 2, 3, 4]
    assert set(RULES) == set(Stage)


def test_what_each_stage_writes_and_reads() -> None:
    """The contract's table."""
    old, new = Side.LEGACY, Side.WORKSPACE
    assert [(set(RULES[stage].writes), RULES[stage].reads) for stage in Stage] == [
        ({old}, (old,)),
        ({old, new}, (old,)),
        ({old, new}, (new, old)),
        ({old, new}, (new,)),
        ({new}, (new,)),
    ]


def test_neighbours_read_what_the_other_writes() -> None:
    """Two adjacent stages may run together: what either reads first, both write."""
    for low, high in pairwise(LADDER):
        assert RULES[high].reads[0] in RULES[low].writes or low is Stage.LEGACY
        assert RULES[low].reads[0] in RULES[high].writes


@pytest.mark.parametrize("start", Stage)
@pytest.mark.parametrize("end", Stage)
def test_moves_pass_every_rung(start: Stage, end: Stage) -> None:
    """No rung is left out, up or down; to stay is no move."""
    way = [start, *rungs_between(start, end)]
    assert way[-1] is end
    assert all(abs(one.rung - next_one.rung) == 1 for one, next_one in pairwise(way))
    assert len(way) == abs(start.rung - end.rung) + 1


def test_a_rollback_ends_where_both_are_written() -> None:
    """Below it the new schema would fall behind, above it the old one is not read."""
    assert ROLLBACK_TARGET is Stage.DUAL_WRITE


def test_flags_of_the_table() -> None:
    """Each line of the contract's table means its stage."""
    assert stage_from_flags(Flags(new_schema=False)) is Stage.LEGACY
    assert stage_from_flags(Flags(read_prefers_new=False)) is Stage.DUAL_WRITE
    assert stage_from_flags(Flags()) is Stage.NEW_FIRST
    assert stage_from_flags(Flags(read_fallback_old=False)) is Stage.NEW_ONLY
    assert stage_from_flags(Flags(read_fallback_old=False, legacy_writes=False)) is Stage.SEALED


@pytest.mark.parametrize("flags", ALL_FLAGS, ids=str)
def test_no_set_of_flags_quietly_loses_data(flags: Flags) -> None:
    """What flags mean never writes less than they ask for, and contradictions mean nothing."""
    stage = stage_from_flags(flags)
    if stage is None:
        assert not flags.legacy_writes
        return
    assert (Side.LEGACY in RULES[stage].writes) is flags.legacy_writes
    assert flags.new_schema or stage is Stage.LEGACY
    assert flags.read_prefers_new or RULES[stage].reads == (Side.LEGACY,)


@pytest.mark.parametrize("stage", Stage)
def test_flags_that_are_on_never_conflict(stage: Stage) -> None:
    """The defaults go with every recorded stage."""
    assert flag_conflicts(Flags(), stage) == ()


@pytest.mark.parametrize(("flags", "stage"), list(product(ALL_FLAGS, Stage)), ids=str)
def test_each_conflict_is_a_flag_that_is_off(flags: Flags, stage: Stage) -> None:
    """Conflicts are the union of what each flag by itself contradicts, named by its variable."""
    names = {
        "AI_JOBS_NEW_SCHEMA": (flags.new_schema, {Stage.LEGACY}),
        "READ_PREFERS_NEW": (flags.read_prefers_new, set(LADDER[:4])),
        "READ_FALLBACK_OLD": (flags.read_fallback_old, set(LADDER[3:])),
        "AI_JOBS_LEGACY_WRITES": (flags.legacy_writes, {Stage.SEALED}),
    }
    assert set(flag_conflicts(flags, stage)) == {name for name, (on, ok) in names.items() if not on and stage not in ok}
