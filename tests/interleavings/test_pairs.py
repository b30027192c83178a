"""Every merge of two actors' commands on one job, in every stage, from every state."""

import pytest

from relay_jobs import Stage
from tests.interleavings.cases import OPERATIONS, Case, pairs
from tests.interleavings.copies import READS_LEGACY_FIRST
from tests.interleavings.old_process import OLD, TIME
from tests.interleavings.operations import STORE
from tests.interleavings.states import STATES, State
from tests.interleavings.world import World

pytestmark = pytest.mark.redis

# Left to the random programs: each is half of another one.
HALVES = {"run", "old_enqueue_multi", "old_persist", "old_work_both"}
# What is more than one command: between two of them anything can happen.
LONG = tuple(OPERATIONS[name] for name in ("complete", "recreate", "work", "list"))
PLACES = [
    pytest.param(stage, state, id=f"{stage}-{state.name}")
    for stage in Stage
    for state in STATES
    if stage in state.stages
]


@pytest.mark.parametrize(("stage", "state"), PLACES)
def test_two_processes_on_one_job(stage: Stage, state: State, valkey_world: World, tally) -> None:
    """Each is told what the ledger says at every merge of their commands, and readers see it after each."""
    others = (*STORE, *TIME, *(OLD if stage in READS_LEGACY_FIRST else ()))
    for pair in pairs(LONG, [other for other in others if other.name not in HALVES]):
        tally(Case(stage, state, pair).explore(valkey_world))
