"""Programs of several actors on several jobs of two workspaces; a seed draws both program and schedule."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from relay_jobs import Stage
from tests.interleavings import engines, moves, old_process, operations, schedules
from tests.interleavings.cases import LOCAL
from tests.interleavings.copies import WORKSPACES
from tests.interleavings.endings import ENDINGS
from tests.interleavings.rules import RULES
from tests.interleavings.schedules import Choose, Trace, at_random, first_ready, parse_schedule
from tests.interleavings.states import BY_NAME
from tests.interleavings.world import Process, World, actors_of

Do = Callable[[Process, str, str], object]
Entry = tuple[str, Do]


def _steered(act: Callable[[Process], object]) -> Do:
    return lambda process, _workspace, _job_id: act(process)


STORE: tuple[Entry, ...] = (
    ("library", operations.enqueue),
    ("library", lambda p, w, j: operations.enqueue(p, w, j, ttl=3600)),
    ("library", lambda p, w, j: operations.enqueue(p, w, j, request=f"r-{j}")),
    ("library", operations.complete),
    ("library", operations.fail),
    ("library", operations.delete),
    ("library", operations.recreate),
    ("library", _steered(operations.work)),
    ("library", lambda p, w, _: operations.walk_listing(p, w)),
    ("clock", lambda p, _, j: old_process.time_passes(p, j)),
)
OLD: tuple[Entry, ...] = (
    ("old", lambda p, w, j: old_process.enqueue(p, j, w)),
    ("old", lambda p, _, j: old_process.complete(p, j)),
    ("old", lambda p, _, j: old_process.remove_field(p, b"actor_id", j)),
    ("old", lambda p, _, j: old_process.remove(p, j)),
    ("old", lambda p, _, j: old_process.renew(p, job_id=j)),
    ("old", _steered(old_process.work)),
    ("move", _steered(moves.turn_dual_write)),
)
ENGINES: tuple[Entry, ...] = (
    ("backfill", _steered(partial(engines.backfill, partitions=2))),
    ("look", _steered(engines.verify)),
    ("repair", _steered(partial(engines.verify, repair=True))),
    ("dry", _steered(engines.dry_run)),
)
LADDER: tuple[Entry, ...] = (
    ("gated", _steered(moves.set_up)),
    ("gated", _steered(moves.set_down_to_dual_write)),
    ("gated", _steered(moves.rollback)),
    ("gated", _steered(moves.climb)),
)
# Processes without the library are there up to dual_write only; above it everyone goes by the ladder's gates.
REGIMES: tuple[tuple[tuple[Stage, ...], tuple[str, ...], tuple[Entry, ...]], ...] = (
    ((Stage.LEGACY, Stage.DUAL_WRITE), ("absent", "legacy_ttl", "both_ttl", "partial"), OLD),
    ((Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY), ("absent", "both", "both_ttl"), LADDER),
)


@dataclass(frozen=True)
class Program:
    """What a seed has drawn."""

    seed: str
    stage: Stage
    state: str
    bodies: tuple[tuple[tuple[str, Do, str, str], ...], ...]

    @classmethod
    def draw(cls, seed: str, job_ids: Sequence[str]) -> "Program":
        """Three or four actors; the last one runs engines and moves."""
        dice = random.Random(f"program {seed}")
        stages, states, own = dice.choice(REGIMES)
        tables = [STORE] * dice.choice((1, 2)) + [(*STORE, *own), (*ENGINES, *own)]

        def body(table: tuple[Entry, ...]) -> tuple[tuple[str, Do, str, str], ...]:
            chosen = [dice.choice(table) for _ in range(dice.choice((2, 3, 4)))]
            return tuple((*entry, dice.choice(WORKSPACES), dice.choice(job_ids)) for entry in chosen)

        return cls(seed, dice.choice(stages), dice.choice(states), tuple(map(body, tables)))

    def run(self, world: World, choose: Choose | None = None) -> Trace:
        """Run it, by its own schedule unless told otherwise; a failure says how to repeat it."""
        world.reset(self.stage, BY_NAME[self.state].put)
        processes = world.processes(["library"] * len(self.bodies))
        actors = actors_of(processes, [partial(_play, body) for body in self.bodies])
        trace = Trace()

        def judge(_: int, command: str) -> None:
            step = world.stepped(trace.choices[-1], command)
            for rule in RULES:
                rule(world, step)

        try:
            choose = choose or at_random(f"schedule {self.seed}")
            schedules.run(actors, choose, judge, trace, lambda command: command.partition(": ")[2].startswith(LOCAL))
            for ending in ENDINGS:
                ending(world)
        except Exception as error:
            error.add_note(f"to repeat it: INTERLEAVING='{self.seed} {trace.schedule}'\n{trace.told()}")
            raise
        return trace

    def replay(self, world: World, schedule: str) -> Trace:
        """The run of a printed schedule."""
        return self.run(world, first_ready(parse_schedule(schedule)))


def _play(body: Sequence[tuple[str, Do, str, str]], process: Process) -> None:
    for kind, act, workspace, job_id in body:
        process.kind = kind
        act(process, workspace, job_id)
