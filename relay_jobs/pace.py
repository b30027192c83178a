"""How fast a walk may go: its steps sized by time, and rests between them by what the server's tenants feel.

The controller of block/spirit, at a thousandth of its time scale: of the last ten steps the ninth in order counts, a
step grows by half at most, and one that overran its time fivefold is cut to a tenth at once. At that scale a machine's
own hiccup looks like an overrun, and ten steps like more than they say: a cut is taken back when the step after it
fits, and the size goes half of the way (of its logarithm) at a time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# Steps that one decision looks at.
WINDOW = 10
GROWTH = 1.5
OVERRUN = 5
_CUT = 10
KEYS_FIRST, KEYS_MOST, KEYS_FULL_SPEED = 16, 1_000, 2_000
# Keys below which time does not shrink a step, by the seconds of the budget and up to the first size: the hiccups of a
# slow machine would, down to what every step costs. Where keys are large its clock ends it.
KEYS_LEAST = 16_000
# Part of the server's time that walks may take, and what is left to them however much the others need: they still move.
# The whole server is busy at the first.
BUSY, FLOOR = 0.9, 0.02
# Below this part of its time with the work of others, a server makes nobody wait.
IDLE = 0.25
# Part of the budget that a step may take: a tenant's command waits for one of them, or two of several walks, and for
# what else is there.
STEP_PART = 0.6
# A step looks at the time as well, for keys larger than those before: it ends after so many times its part.
_LONGEST = 1.5
# Steps of several walks are so many times their ninth apart: none has a client between that would leave a gap.
_APART = 1.3
# What a step of the first size takes at most, until one is known.
_FIRST_SECONDS = 0.001
# Seconds by which two sums of the same steps differ.
_ROUNDED = 1e-5
# A walk that rests for longer would come to lose its lease, and notice a pause late.
REST_MOST = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """One look at a server; ``None`` where it does not say.

    Attributes:
        busy: part of the time that its main thread was at work since the look before, 0 to 1.
        memory: used part of ``maxmemory``.
        replica_seconds: how far the slowest replica is behind.
        blocked: clients that wait in a blocking command.
        blocked_usually: how many of them there were of late.
    """

    busy: float | None = None
    memory: float | None = None
    replica_seconds: float | None = None
    blocked: int = 0
    blocked_usually: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """Slower from ``soft`` on, down to the floor at ``critical``, where a walk hibernates if it ``stops``."""

    of: Callable[[Load], float | None]
    soft: float
    critical: float
    say: Callable[[Load], str]
    stops: bool = True


LIMITS = (
    Limit(
        of=lambda load: load.memory,
        soft=0.85,
        critical=0.95,
        say=lambda load: f"memory, {load.memory or 0:.0%} of maxmemory (slower from 85%, not at all from 95%)",
    ),
    Limit(
        of=lambda load: load.replica_seconds,
        soft=2,
        critical=10,
        say=lambda load: f"a replica, {load.replica_seconds or 0:.0f} s behind (slower from 2 s, not at all from 10 s)",
    ),
    Limit(
        # Workers that wait for a job are blocked clients too: only a crowd that was not there before says something.
        of=lambda load: load.blocked - 2 * load.blocked_usually,
        soft=20,
        critical=100,
        say=lambda load: f"blocked clients, {load.blocked:,} where {load.blocked_usually:,} are usual",
        stops=False,
    ),
)


@dataclass(slots=True)
class Pace:
    """The pace of one walk.

    Args:
        budget: seconds that a tenant's command may come to wait because of it; ``None`` is full speed.
        batch: keys of a step; ``None`` sizes it by time.

    Attributes:
        share: part of the server's time that the walk may take.
        hibernating: whether it must rest altogether.
        startled: whether a step has waited at a server that had nothing to do at the last look: it is time for another.
    """

    budget: float | None
    batch: int | None = None
    share: float = BUSY
    hibernating: bool = False
    startled: bool = False
    _size: float = KEYS_FIRST
    _cut_from: float | None = None
    _taken_back: bool = False
    _cap: float = BUSY
    _used: list[float] = field(default_factory=list)
    _waited: list[float] = field(default_factory=list)
    _least: float | None = None
    _own: float = 0.0
    _walked: float | None = None
    _last: float = 0.0
    _alone: bool = True
    _others: float | None = None
    _felt: str = ""
    _seen: str = ""

    @property
    def polite(self) -> bool:
        """Whether it gives way to others at all."""
        return self.budget is not None

    @property
    def keys(self) -> int:
        """Keys of the next step."""
        return self.batch or (round(self._size) if self.polite else KEYS_FULL_SPEED)

    @property
    def longest(self) -> float | None:
        """Seconds after which a step ends whatever it has examined."""
        return None if self.budget is None or self.batch else self.budget * STEP_PART * _LONGEST

    @property
    def spacing(self) -> float:
        """Seconds from the beginning of a step to that of the next one."""
        if self.budget is None:
            return 0.0
        used = self._used or [min(self.budget * STEP_PART, _FIRST_SECONDS)]
        apart = 0.0 if self._alone else _APART * _ninth(used)
        return min(REST_MOST, max(apart, sum(used) / len(used) / self.share))

    @property
    def held_by(self) -> str:
        """What slows it down, in words; '' for nothing."""
        return self._seen if self.hibernating else self._felt or self._seen

    def stepped(self, used: float, waited: float, walked: float | None = None) -> None:
        """Take in one step.

        Args:
            used: seconds of the server.
            waited: seconds that its client waited beyond them.
            walked: seconds of the server that all walks have taken so far; ``None`` if there is but this one.
        """
        # A clock that was set meanwhile has measured nothing.
        if self.budget is None or used < 0 or waited < 0:
            return
        # By now they know of its step before, and not yet of this one.
        since = None if walked is None or self._walked is None else max(0.0, walked - self._walked)
        self._alone = since is None or since <= self._last + _ROUNDED
        self._own += used if since is None else since
        self._walked, self._last = walked, used
        # What the way to the server and back costs by itself may change, upwards slowly.
        self._least = waited if self._least is None else min(waited, self._least * 1.001)
        delay = self.queued(waited)
        if self._idle:
            self.startled = self.startled or delay > self.budget
            delay = 0.0
        self._waited.append(delay)
        self._size_by(used, self.budget)
        if delay > OVERRUN * self.budget:
            self._slow_down(_CUT, delay)
        if len(self._waited) >= WINDOW:
            self._feel(self.budget)

    def queued(self, waited: float) -> float:
        """Seconds of those for which a step's client has waited that are not the way there and back."""
        return 0.0 if self._least is None else max(0.0, waited - self._least)

    def looked(self, load: Load, elapsed: float) -> None:
        """Take in a look at the server, ``elapsed`` seconds after the one before."""
        if self.budget is None:
            return
        own, self._own, self.startled = self._own / elapsed if elapsed > 0 else 0.0, 0.0, False
        self._cap, self._seen = BUSY, ""
        self._others = None if load.busy is None else max(0.0, load.busy - own)
        if self._others is not None:
            others = self._others
            self._cap = max(FLOOR, BUSY - others)
            if self._cap < BUSY / 2:
                self._seen = f"the server's other work, {others:.0%} of its time"
        # Once it hibernates, it goes on only when half of the way back is made.
        stop_at = 0.5 if self.hibernating else 1.0
        self.hibernating = False
        for limit, excess in _excesses(load):
            self.hibernating |= limit.stops and excess >= stop_at
            if BUSY * (1 - excess) < self._cap:
                self._cap, self._seen = max(FLOOR, BUSY * (1 - excess)), limit.say(load)
        self.share = min(self.share, self._cap)
        if self._idle:
            # Whatever seemed to be felt before one knew.
            self.share, self._felt = self._cap, ""

    @property
    def _idle(self) -> bool:
        """What is waited for at a server that has little to do is the network, of which tenants have their own."""
        return self._others is not None and self._others < IDLE

    def _size_by(self, used: float, budget: float) -> None:
        allowed, least = budget * STEP_PART, min(KEYS_FIRST, max(1, budget * KEYS_LEAST))
        self._used.append(used)
        if self._cut_from is not None and used <= allowed:
            self._size, self._cut_from, self._taken_back = self._cut_from, None, True
        if len(self._used) >= WINDOW:
            growth = min(GROWTH, max(1 / GROWTH, math.sqrt(allowed / max(_ninth(self._used), 1e-6))))
            self._size = max(least, min(KEYS_MOST, self._size * growth))
            self._cut_from, self._taken_back = None, False
            del self._used[:-1]
        if used > OVERRUN * allowed:
            # Once in ten steps it may have been the machine.
            self._cut_from = None if self._taken_back else self._size
            self._size = max(least, self._size / _CUT)

    def _feel(self, budget: float) -> None:
        delay = _ninth(self._waited)
        if delay > budget:
            self._slow_down(2, delay)
        elif delay < budget / 2:
            self.share = min(self._cap, self.share * GROWTH)
            if self.share == self._cap:
                self._felt = ""
        self._waited.clear()

    def _slow_down(self, by: float, delay: float) -> None:
        self.share = max(FLOOR, self.share / by)
        self._felt = f"what the tenants feel: commands wait {delay * 1000:.1f} ms"
        self._waited.clear()


def _excesses(load: Load) -> Iterator[tuple[Limit, float]]:
    """Limits that are exceeded, and how far on the way from soft to critical, up to 1."""
    for limit in LIMITS:
        value = limit.of(load)
        if value is not None and value > limit.soft:
            yield limit, min(1.0, (value - limit.soft) / (limit.critical - limit.soft))


def _ninth(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.9) - 1 if len(values) >= WINDOW else -1]
