"""The scheduler itself: it finds every merge, keeps to its bound, and leaves out only what is the same run."""

from functools import partial
from math import comb

import pytest

from tests.interleavings.schedules import Actor, Choose, Trace, explore, run


def executed(lengths: tuple[int, ...], seen: list[tuple[str, ...]], local: str, choose: Choose, _known: int) -> Trace:
    """Actors that only say their steps, ``<actor><step>``."""
    said: list[str] = []

    def body(number: int) -> None:
        for step in range(lengths[number]):
            actors[number].ask(f"{number}{step}")
            said.append(f"{number}{step}")

    actors = [Actor(partial(body, number)) for number in range(len(lengths))]
    trace = Trace()
    run(actors, choose, lambda *_: None, trace, lambda command: bool(local) and command.endswith(local))
    assert trace.commands == said
    seen.append(tuple(said))
    return trace


def merges(lengths: tuple[int, ...], preemptions: int | None = None, local: str = "") -> list[tuple[str, ...]]:
    """All schedules of such actors."""
    seen: list[tuple[str, ...]] = []
    for _ in explore(partial(executed, lengths, seen, local), preemptions):
        pass
    return seen


@pytest.mark.parametrize(("one", "other"), [(1, 1), (2, 3), (4, 4), (0, 3)])
def test_every_merge_of_two_actors_is_run_once(one: int, other: int) -> None:
    """As many as there are, none twice."""
    found = merges((one, other))
    assert len(found) == len(set(found)) == comb(one + other, one)


def test_three_actors_are_merged_too() -> None:
    """The multinomial coefficient."""
    found = merges((2, 2, 2))
    assert len(found) == len(set(found)) == 90


def test_one_preemption_puts_the_whole_of_one_at_every_point_of_the_other() -> None:
    """Four commands and three: at five places and at four, of which the two ends are the same."""
    found = set(merges((4, 3), preemptions=1))
    one, other = [f"0{n}" for n in range(4)], [f"1{n}" for n in range(3)]
    wanted = {(*one[:n], *other, *one[n:]) for n in range(5)} | {(*other[:n], *one, *other[n:]) for n in range(4)}
    assert found == wanted


def test_nobody_is_let_in_before_a_local_command() -> None:
    """The merges that are left differ in more than the place of a command that nobody else can see."""
    found = merges((3, 2), local="01")
    assert len(found) == len(set(found)) == comb(2 + 2, 2)
    assert all(run.index("01") == run.index("00") + 1 for run in found)
