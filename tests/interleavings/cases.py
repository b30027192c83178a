"""A case is a stage, a state of the job and the actors' operations; it can be run by any schedule, and printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay_jobs import Stage
from tests.interleavings import schedules
from tests.interleavings.endings import ENDINGS
from tests.interleavings.engines import ENGINES
from tests.interleavings.moves import MOVES
from tests.interleavings.old_process import LIES, OLD, TIME
from tests.interleavings.operations import STORE, Operation
from tests.interleavings.rules import RULES, settle
from tests.interleavings.schedules import Choose, Trace, first_ready, parse_schedule
from tests.interleavings.states import BY_NAME, State
from tests.interleavings.world import World, actors_of

OPERATIONS = {operation.name: operation for operation in (*STORE, *OLD, *TIME, *MOVES, *ENGINES, *LIES)}

# Commands that nobody's answer depends on.
LOCAL = ("TIME", "INFO", "LPUSH ai:migration:history", "HSET ai:migration:verifications", "CLIENT")
# What concerns only engines and moves, where the first actor is the only one of these.
UNSTEERED = frozenset({"library", "old", "clock"})
LOCAL_TO_AN_ENGINE = (
    "HGETALL ai:migration:",
    "take_lease",
    "release_lease",
    "join_pass",
    "HSET ai:migration:quarantine",
)


@dataclass(frozen=True)
class Case:
    """What is to be run; as text, with a schedule behind it, a run that can be repeated."""

    stage: Stage
    state: State
    operations: tuple[Operation, ...]
    reduced: bool = True

    def __str__(self) -> str:
        return f"{self.stage} {self.state.name} {'+'.join(operation.name for operation in self.operations)}"

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Inverse of ``str``."""
        stage, state, names = text.split()
        return cls(Stage(stage), BY_NAME[state], tuple(OPERATIONS[name] for name in names.split("+")))

    def run(self, world: World, choose: Choose, known: int = 0) -> Trace:
        """Run it once; after every command but the ``known`` first ones all rules are held against what is there.

        A failure says how to repeat it.
        """
        before = world.steps if known else []
        world.reset(self.stage, self.state.put)
        processes = world.processes([operation.kind for operation in self.operations])
        actors = actors_of(processes, [operation.body for operation in self.operations])

        def judge(number: int, command: str) -> None:
            if number < known and (before[number].actor, before[number].command) == _spoken(trace, command):
                seen = before[number].after if self.repeats_exactly else None
                settle(world, world.stepped(trace.choices[-1], command, seen))
                return
            step = world.stepped(trace.choices[-1], command)
            for rule in RULES:
                rule(world, step)

        trace = Trace()
        try:
            schedules.run(actors, choose, judge, trace, self.is_local)
            for ending in ENDINGS:
                ending(world)
        except Exception as error:
            error.add_note(f"to repeat it: INTERLEAVING='{self} {trace.schedule}'\n{trace.told()}")
            raise
        return trace

    def is_local(self, command: str) -> bool:
        """Whether nothing that another actor of this case does can depend on a command, or disturb it."""
        name = command.partition(": ")[2]
        alone = all(operation.kind in UNSTEERED for operation in self.operations[1:])
        return self.reduced and name.startswith(LOCAL + (LOCAL_TO_AN_ENGINE if alone else ()))

    @property
    def repeats_exactly(self) -> bool:
        """Whether the same steps leave the same bytes: a time to live counts from the server's clock."""
        return all(operation.name != "enqueue_ttl" for operation in self.operations)

    def explore(self, world: World, preemptions: int | None = None) -> Iterator[Trace]:
        """Every schedule, or those with at most so many preemptions."""
        return schedules.explore(lambda choose, known: self.run(world, choose, known), preemptions)

    def replay(self, world: World, schedule: str) -> Trace:
        """The run of a printed schedule."""
        return self.run(world, first_ready(parse_schedule(schedule)))


def _spoken(trace: Trace, command: str) -> tuple[str, str]:
    return f"p{trace.choices[-1]}", command.partition(": ")[2]


def pairs(first: Sequence[Operation], second: Sequence[Operation]) -> Iterator[tuple[Operation, Operation]]:
    """Every unordered pair, each with itself too."""
    seen: set[frozenset[str]] = set()
    for one in first:
        for other in second:
            names = frozenset({one.name, other.name})
            if names not in seen:
                seen.add(names)
                yield one, other
