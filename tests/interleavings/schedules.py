"""Schedules: in which order the commands of several actors run, one at a time; a schedule determines the run.

An actor runs in a thread of its own and stops before each of its commands. A schedule is the sequence of the actors'
numbers, one for each command; :func:`explore` goes through all of them, depth first, by running each again from the
start (stateless model checking), optionally with a bound on preemptions: changes from an actor that could have gone on.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

# A command of a test takes milliseconds; a thread that does not come back in this time hangs.
_HANGS_SECONDS = 60.0

# An engine that is paused, or finds a lease held, asks again; no walk of a test has so many steps.
_SPINS = 12

Body = Callable[[], object]
Choose = Callable[[int, Sequence[int]], int]


class Abandoned(BaseException):
    """Raised in an actor whose run is given up."""


class Actor:
    """One thread that goes from command to command when it is told to."""

    def __init__(self, body: Body) -> None:
        self._body = body
        # Two locks that the two sides hand to and fro: each is released by whoever did not acquire it.
        self._go, self._here = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._here.acquire()
        self._abandoned = False
        self.next_command: str | None = ""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def done(self) -> bool:
        """Whether it has no command left."""
        return self.next_command is None

    def start(self) -> None:
        """Run to before the first command."""
        self._thread.start()
        self._await()

    def ask(self, command: str) -> None:
        """Called in the actor's own thread before a command: stop here."""
        if threading.current_thread() is not self._thread:
            return
        self.next_command = command
        self._here.release()
        self._go.acquire()
        if self._abandoned:
            raise Abandoned

    def step(self) -> str:
        """Let the next command through and run to before the one after it; what it was."""
        command = self.next_command
        assert command is not None, "this actor has no command left: the schedule is of another run"
        self._go.release()
        self._await()
        return command

    def abandon(self) -> None:
        """End it wherever it stands."""
        self._abandoned = True
        while not self.done:
            self._go.release()
            self._here.acquire()
        self._thread.join()

    def _await(self) -> None:
        assert self._here.acquire(timeout=_HANGS_SECONDS), f"an actor hangs after {self.next_command!r}"
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._body()
        except Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 -- raised again in the test's own thread
            self.error = error
        self.next_command = None
        self._here.release()


@dataclass
class Trace:
    """A run so far: who went, what each could have done instead, and which commands were sent."""

    choices: list[int] = field(default_factory=list)
    ready: list[tuple[int, ...]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def schedule(self) -> str:
        """The schedule in its printed form."""
        return ",".join(map(str, self.choices))

    @property
    def spins(self) -> bool:
        """Whether the last one does the same again and again: it waits for another, who has to be let in."""
        recent = list(zip(self.choices, self.commands, strict=True))[-_SPINS:]
        return len(recent) == _SPINS and len(set(recent)) == 1

    def told(self) -> str:
        """Every command with its actor, one a line."""
        return "\n".join(f"  {who}  {what}" for who, what in zip(self.choices, self.commands, strict=True))

    def preemptions(self, upto: int) -> int:
        """How often one was interrupted in the first ``upto`` steps."""
        pairs = zip(self.choices[:upto], self.choices[1:upto], self.ready[1:upto], strict=False)
        return sum(before != after and before in ready for before, after, ready in pairs)


def parse_schedule(text: str) -> tuple[int, ...]:
    """Inverse of :attr:`Trace.schedule`."""
    return tuple(int(part) for part in text.split(",") if part)


def first_ready(prefix: Sequence[int]) -> Choose:
    """Follow a prefix; then whoever went last goes on, else the first who can."""
    last: list[int] = []

    def choose(step: int, ready: Sequence[int]) -> int:
        going_on = last[0] if last and last[0] in ready else ready[0]
        # A SCAN may take a step more or less when the same is run again: then as near to it as can be.
        wanted = prefix[step] if step < len(prefix) else going_on
        last[:] = [wanted if wanted in ready else going_on]
        return last[0]

    return choose


def at_random(seed: str) -> Choose:
    """Anyone, by a seed; in turns of several commands, so that engines get somewhere."""
    dice, turn = random.Random(seed), [0, 0]

    def choose(_: int, ready: Sequence[int]) -> int:
        if turn[1] <= 0 or turn[0] not in ready:
            turn[:] = [dice.choice(list(ready)), dice.choice((1, 1, 1, 2, 4, 8))]
        turn[1] -= 1
        return turn[0]

    return choose


def run(
    actors: Sequence[Actor],
    choose: Choose,
    after_step: Callable[[int, str], None],
    trace: Trace,
    is_local: Callable[[str], bool] = lambda _: False,
) -> None:
    """Run all actors to their end; ``after_step`` is told its number and the command after each; ``trace`` grows.

    Before a local command, one that no command of another actor can depend on or disturb, nobody else is let in:
    that would be the same run as letting them in behind it.

    Raises:
        BaseException: what an actor has raised; the others are given up.
    """
    try:
        for actor in actors:
            actor.start()
        while ready := _ready(actors, trace, is_local):
            step = len(trace.choices)
            chosen = choose(step, ready)
            trace.choices.append(chosen)
            trace.ready.append(ready)
            trace.commands.append(actors[chosen].next_command or "")
            after_step(step, actors[chosen].step())
    finally:
        for actor in actors:
            actor.abandon()


def _ready(actors: Sequence[Actor], trace: Trace, is_local: Callable[[str], bool]) -> tuple[int, ...]:
    waiting = {number: actor.next_command for number, actor in enumerate(actors) if actor.next_command is not None}
    local = [number for number, command in waiting.items() if is_local(command)]
    last = trace.choices[-1] if trace.choices else -1
    if local:
        return (last if last in local else local[0],)
    others = tuple(number for number in waiting if number != last)
    return others if others and trace.spins else tuple(waiting)


def explore(execute: Callable[[Choose, int], Trace], preemptions: int | None = None) -> Iterator[Trace]:
    """Every schedule with at most so many preemptions (``None``: every merge of the actors' commands).

    ``execute`` is given the choices and how many first steps were the same in an earlier run.
    """
    prefix: tuple[int, ...] | None = ()
    while prefix is not None:
        trace = execute(first_ready(prefix), max(0, len(prefix) - 1))
        yield trace
        prefix = _next_prefix(trace, preemptions)


def _next_prefix(trace: Trace, preemptions: int | None) -> tuple[int, ...] | None:
    for at in range(len(trace.choices) - 1, -1, -1):
        before = trace.choices[at - 1] if at else None
        order = _order(trace.ready[at], before)
        later = order[order.index(trace.choices[at]) + 1 :]
        if not later:
            continue
        interrupted = before is not None and before in trace.ready[at]
        if interrupted and preemptions is not None and trace.preemptions(at) + 1 > preemptions:
            continue
        return (*trace.choices[:at], later[0])
    return None


def _order(ready: Sequence[int], before: int | None) -> list[int]:
    """Whoever went last first, as :func:`first_ready` has it."""
    return sorted(ready, key=lambda number: (number != before, number))
