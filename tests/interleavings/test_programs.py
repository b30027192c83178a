"""Three or four actors, three jobs, two workspaces, at random; and every printed run can be repeated.

A long run by command: ``INTERLEAVINGS=5000 INTERLEAVINGS_SEED=night pytest tests/interleavings/test_programs.py``.
A printed run again: ``INTERLEAVING='…' pytest tests/interleavings/test_programs.py -k printed``.
"""

import os

import pytest

from relay_jobs import Stage
from tests.interleavings.cases import OPERATIONS, Case
from tests.interleavings.programs import Program
from tests.interleavings.schedules import first_ready
from tests.interleavings.states import BY_NAME
from tests.interleavings.world import World

pytestmark = pytest.mark.redis

# Of the long run; in the gate, so many programs for each of a few seeds.
MANY = int(os.environ.get("INTERLEAVINGS", "0"))
SEEDS = [os.environ["INTERLEAVINGS_SEED"]] if "INTERLEAVINGS_SEED" in os.environ else ["one", "two", "three"]
PRINTED = os.environ.get("INTERLEAVING", "dual_write both complete+delete 0,1,0")


@pytest.mark.timeout(0 if MANY else 300)
@pytest.mark.parametrize("seed", SEEDS)
def test_programs_at_random(seed: str, crowd: World, tally) -> None:
    """Everyone is told what the ledger says, readers see it, and the endings hold."""
    programs = (Program.draw(f"{seed}-{number}", crowd.job_ids) for number in range(MANY or 100))
    tally(program.run(crowd) for program in programs)


def test_a_printed_run_is_repeated(valkey_world: World, valkey_with_bystander: World, crowd: World) -> None:
    """By the words of a failure; the same words come out."""
    *words, schedule = PRINTED.split()
    if len(words) == 1:
        trace = Program.draw(words[0], crowd.job_ids).replay(crowd, schedule)
    else:
        case = Case.parse(" ".join(words))
        engine = {operation.kind for operation in case.operations} - {"library", "old", "clock"}
        trace = case.replay(valkey_with_bystander if engine else valkey_world, schedule)
    assert trace.schedule == schedule


def test_a_failure_says_how_to_repeat_it(valkey_world: World) -> None:
    """A reader that is told something else fails the run, and its schedule alone brings the failure back."""
    case = Case(Stage.DUAL_WRITE, BY_NAME["both"], (OPERATIONS["complete"], OPERATIONS["old_lies"]))
    with pytest.raises(AssertionError) as first:
        for _ in case.explore(valkey_world):
            pass
    said = next(note for note in first.value.__notes__ if note.startswith("to repeat it"))
    *words, schedule = said.split("'")[1].split()
    with pytest.raises(AssertionError, match=r"reads .* was told"):
        Case.parse(" ".join(words)).replay(valkey_world, schedule)


def test_a_random_program_is_the_same_again(crowd: World) -> None:
    """Seed and schedule determine a run."""
    program = Program.draw("again", crowd.job_ids)
    first = program.run(crowd)
    again = program.run(crowd, first_ready(first.choices))
    assert (again.schedule, again.commands) == (first.schedule, first.commands)
