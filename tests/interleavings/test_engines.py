"""Engines under traffic: at every command of a backfill, a verification, a repair or a climb, another does its work."""

import pytest

from relay_jobs import Stage
from tests.interleavings.cases import OPERATIONS, Case
from tests.interleavings.copies import READS_LEGACY_FIRST
from tests.interleavings.states import BY_NAME

pytestmark = pytest.mark.redis

ENGINES = ("backfill", "repair", "verify", "dry_run")
CALLERS = ("enqueue", "complete", "delete", "recreate", "list", "expire")
OLD = ("old_complete_both", "old_hdel", "old_delete", "old_renew", "old_recreate")
MOVES = ("up", "down", "rollback")
WRITERS = ("absent", "legacy_ttl", "both_ttl", "partial", "different")
LOOKERS = ("legacy_ttl", "both_ttl", "different")
STATES = {"backfill": WRITERS, "repair": WRITERS, "verify": LOOKERS, "dry_run": LOOKERS[:1]}
PLACES = [(Stage.DUAL_WRITE, engine) for engine in ENGINES]
PLACES += [(Stage.NEW_FIRST, engine) for engine in ENGINES[:3]] + [(Stage.NEW_ONLY, "repair")]


def cases(stage: Stage, engine: str, states: tuple[str, ...]) -> list[Case]:
    """An engine beside everything else, from each state that the stage allows."""
    others = (*CALLERS, *MOVES, *(OLD if stage in READS_LEGACY_FIRST else ()))
    pairs = [(OPERATIONS[engine], OPERATIONS[other]) for other in others]
    return [Case(stage, BY_NAME[state], pair) for state in states if stage in BY_NAME[state].stages for pair in pairs]


@pytest.mark.parametrize(("stage", "engine"), PLACES)
def test_whatever_happens_between_two_commands_of_an_engine(stage, engine, valkey_with_bystander, tally) -> None:
    """It copies, counts and repairs as if it had happened before or after; nobody's work is undone."""
    for case in cases(stage, engine, STATES[engine]):
        tally(case.explore(valkey_with_bystander, preemptions=1))


def test_a_writer_of_both_copies_is_never_taken_for_a_difference(valkey_with_bystander, tally) -> None:
    """Each of its updates has an instant between its two writes; only what two readings agree on is counted."""
    case = Case(Stage.DUAL_WRITE, BY_NAME["both_ttl"], (OPERATIONS["verify"], OPERATIONS["old_work_both"]))
    tally(case.explore(valkey_with_bystander))


@pytest.mark.parametrize("engine", ["backfill", "repair"])
def test_whatever_happens_on_another_server(engine, redis7_with_bystander, tally) -> None:
    """Redis 7.0 runs a slice of it."""
    for case in cases(Stage.DUAL_WRITE, engine, ("legacy_ttl", "different")):
        tally(case.explore(redis7_with_bystander, preemptions=1))


@pytest.mark.parametrize("other", ["complete", "delete", "recreate", "expire", "old_enqueue", "old_delete", "rollback"])
def test_whatever_happens_while_an_operator_goes_up_the_ladder(other, valkey_with_bystander, tally) -> None:
    """From a pass in dual_write through both gates: what readers see never changes by it."""
    state = BY_NAME["absent" if other == "old_enqueue" else "legacy_ttl"]
    case = Case(Stage.DUAL_WRITE, state, (OPERATIONS["climb"], OPERATIONS[other]))
    tally(case.explore(valkey_with_bystander, preemptions=1))


@pytest.mark.parametrize("other", ENGINES)
def test_two_engines_at_once(other, valkey_with_bystander, tally) -> None:
    """A lease keeps those apart that write; those that only look may run beside them."""
    for state in ("legacy_ttl", "different"):
        case = Case(Stage.DUAL_WRITE, BY_NAME[state], (OPERATIONS["backfill"], OPERATIONS[other]))
        tally(case.explore(valkey_with_bystander, preemptions=1))
