"""How fast a walk may go: its steps sized by time, and rests between them by what the server's tenants feel.

The controller of block/spirit, at a thousandth of its time scale: of the last ten steps the ninth in order counts, a
step grows by half at most, and one that overran its time fivefold is cut to a tenth at once. At that scale a machine's
own hiccup looks like an overrun, and ten steps like more than they say: a cut is taken back when the step after it
fits, and the size goes half of the way (of its logarithm) at a time.

Commands may wait for what others do as well. So a walk that sees them wait makes a trial: for a moment it takes a tenth
of what it may, and what is waited for then is not its doing.
"""

import math
from dataclasses import dataclass, field

from relay_jobs.load import Load, excesses

# Steps that one decision looks at. The share is decided on those of so many seconds at least: tenants come in bursts,
# and ten steps may be one of them.
WINDOW, WINDOW_SECONDS = 10, 0.2
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
# A walk on trial takes a tenth of what a look leaves it. It learns something while all walks take a third at most: of
# up to four, each a step at a time, one may be on trial and the others not.
_TRIAL, _TRIAL_OF_ALL = 1 / 10, 1 / 3
# What a share is less for, in words.
_FELT = "what the tenants feel: commands wait"
_TRIED = "a trial at a tenth of the speed, whether this walk makes commands wait:"
# Seconds for which one knows what is waited for anyway, and at least so many times those of the trial.
KNOWN_SECONDS, _KNOWN_TIMES = 2.0, 10
# A walk that rests for longer would come to lose its lease, and notice a pause late.
REST_MOST = 10.0


@dataclass(slots=True)
class _Size:
    """Keys of a step, by how long the last ones took.

    Attributes:
        allowed: seconds that a step may take.
        least: keys below which time shrinks none.
        keys: of the next step.
        used: seconds of the last steps, since the size was decided on.
    """

    allowed: float
    least: float
    keys: float = KEYS_FIRST
    used: list[float] = field(default_factory=list)
    _cut_from: float | None = None
    _taken_back: bool = False

    def stepped(self, used: float) -> None:
        """Take in one step."""
        self.used.append(used)
        if self._cut_from is not None and used <= self.allowed:
            self.keys, self._cut_from, self._taken_back = self._cut_from, None, True
        if len(self.used) >= WINDOW:
            growth = min(GROWTH, max(1 / GROWTH, math.sqrt(self.allowed / max(_ninth(self.used), 1e-6))))
            self.keys = max(self.least, min(KEYS_MOST, self.keys * growth))
            self._cut_from, self._taken_back = None, False
            del self.used[:-1]
        if used > OVERRUN * self.allowed:
            # Once in ten steps it may have been the machine.
            self._cut_from = None if self._taken_back else self.keys
            self.keys = max(self.least, self.keys / _CUT)


@dataclass(slots=True)
class _Share:
    """Part of the server's time that walks may take, by how much longer commands wait because of them.

    Attributes:
        most: that a look at the server leaves them.
        now: that they may take.
        felt: why it is less, in words; '' for nothing.
    """

    budget: float
    most: float = BUSY
    now: float = BUSY
    felt: str = ""
    _anyway: float = 0.0
    _known_for: float = 0.0
    _before_trial: tuple[float, float] | None = None
    _delays: list[float] = field(default_factory=list)
    _calm: int = 0
    _seconds: float = 0.0

    def stepped(self, delay: float, taken: float, seconds: float) -> None:
        """Take in one step.

        Args:
            delay: seconds that it has waited.
            taken: seconds of the server that all walks took since the step before.
            seconds: since the beginning of the step before.
        """
        self._delays.append(delay)
        self._seconds += seconds
        self._known_for -= seconds
        # Step by step: behind a pause walks are there as before it.
        little = self.most * (_TRIAL if self._before_trial is None else _TRIAL_OF_ALL)
        self._calm += taken <= max(little, 2 * FLOOR) * seconds
        if len(self._delays) >= WINDOW and self._seconds >= WINDOW_SECONDS:
            self._decide(_ninth(self._delays), hardly_there=self._calm >= 0.9 * len(self._delays))
            self._begin()

    def looked(self, most: float, *, idle: bool) -> None:
        """Take in what a look at the server allows at most."""
        self.most = most
        if self.now >= most:
            self.now, self.felt = most, ""
        if idle:
            # Whatever seemed to be felt before one knew.
            self.now, self.felt, self._before_trial = most, "", None
            self._begin()

    def _begin(self) -> None:
        self._delays.clear()
        self._calm, self._seconds = 0, 0.0

    def _decide(self, delay: float, *, hardly_there: bool) -> None:
        if hardly_there:
            self._anyway, self._known_for = delay, max(KNOWN_SECONDS, _KNOWN_TIMES * self._seconds)
        anyway = self._anyway if self._known_for > 0 else 0.0
        # A tenant may come to wait so much longer, or twice as long.
        allowed = anyway + max(self.budget, anyway)
        if self._before_trial is not None:
            (share, felt), self._before_trial = self._before_trial, None
            self._set(share if felt <= allowed else share / 2, f"{_FELT} {felt * 1000:.1f} ms")
        elif delay > allowed:
            self._before_trial = self.now, delay
            self._set(min(self.now, self.most * _TRIAL), f"{_TRIED} {delay * 1000:.1f} ms")
        elif delay < (anyway + allowed) / 2:
            self._set(self.now * GROWTH)

    def _set(self, share: float, felt: str | None = None) -> None:
        self.now = max(FLOOR, min(self.most, share))
        if self.now == self.most:
            self.felt = ""
        elif felt is not None:
            self.felt = felt


class Pace:
    """The pace of one walk.

    Args:
        budget: seconds that a tenant's command may come to wait because of it; ``None`` is full speed.
        batch: keys of a step; ``None`` sizes it by time.
        share: part of the server's time that it takes at first.

    Attributes:
        hibernating: whether it must rest altogether.
        startled: whether a step has waited at a server that had nothing to do at the last look: it is time for another.
    """

    def __init__(self, budget: float | None, batch: int | None = None, *, share: float = BUSY) -> None:
        self.budget, self.batch = budget, batch
        self.hibernating = self.startled = False
        self._size = _Size((budget or 0) * STEP_PART, least=min(KEYS_FIRST, max(1, (budget or 0) * KEYS_LEAST)))
        self._share = _Share(budget or 0, now=share)
        self._way: float | None = None
        self._own = self._last = 0.0
        self._walked: float | None = None
        self._alone = True
        self._others: float | None = None
        self._seen = ""

    @property
    def polite(self) -> bool:
        """Whether it gives way to others at all."""
        return self.budget is not None

    @property
    def share(self) -> float:
        """Part of the server's time that the walk may take."""
        return self._share.now

    @property
    def keys(self) -> int:
        """Keys of the next step."""
        return self.batch or (round(self._size.keys) if self.polite else KEYS_FULL_SPEED)

    @property
    def longest(self) -> float | None:
        """Seconds after which a step ends whatever it has examined."""
        return None if self.budget is None or self.batch else self.budget * STEP_PART * _LONGEST

    @property
    def spacing(self) -> float:
        """Seconds from the beginning of a step to that of the next one."""
        if self.budget is None:
            return 0.0
        used = self._size.used or [min(self.budget * STEP_PART, _FIRST_SECONDS)]
        apart = 0.0 if self._alone else _APART * _ninth(used)
        return min(REST_MOST, max(apart, sum(used) / len(used) / self.share))

    @property
    def held_by(self) -> str:
        """What slows it down, in words; '' for nothing."""
        return self._seen if self.hibernating else self._share.felt or self._seen

    def stepped(self, used: float, waited: float, seconds: float, walked: float | None = None) -> None:
        """Take in one step.

        Args:
            used: seconds of the server.
            waited: seconds that its client waited beyond them.
            seconds: since the beginning of the step before.
            walked: seconds of the server that all walks have taken so far; ``None`` if there is but this one.
        """
        # A clock that was set meanwhile has measured nothing.
        if self.budget is None or used < 0 or waited < 0:
            return
        # By now they know of its step before, and not yet of this one.
        since = None if walked is None or self._walked is None else max(0.0, walked - self._walked)
        self._alone = since is None or since <= self._last + _ROUNDED
        taken = used if since is None else since
        self._own += taken
        self._walked, self._last = walked, used
        # What the way to the server and back costs by itself may change, upwards slowly.
        self._way = waited if self._way is None else min(waited, self._way * 1.001)
        delay = self.queued(waited)
        self._size.stepped(used)
        if self._idle:
            self.startled = self.startled or delay > self.budget
        else:
            self._share.stepped(delay, taken, seconds)

    def worked(self, seconds: float) -> float:
        """Take in what is no step, and took so many seconds of the server: how long to rest behind it."""
        # A clock that was set meanwhile has measured nothing.
        if self.budget is None or seconds < 0:
            return 0.0
        self._own += seconds
        return min(seconds / self.share - seconds, REST_MOST)

    def queued(self, waited: float) -> float:
        """Seconds of those for which a step's client has waited that are not the way there and back."""
        return 0.0 if self._way is None else max(0.0, waited - self._way)

    def looked(self, load: Load, elapsed: float) -> None:
        """Take in a look at the server, ``elapsed`` seconds after the one before."""
        if self.budget is None:
            return
        own, self._own, self.startled = self._own / elapsed if elapsed > 0 else 0.0, 0.0, False
        most, self._seen = BUSY, ""
        self._others = None if load.busy is None else max(0.0, load.busy - own)
        if self._others is not None:
            others = self._others
            most = max(FLOOR, BUSY - others)
            if most < BUSY / 2:
                self._seen = f"the server's other work, {others:.0%} of its time"
        # Once it hibernates, it goes on only when half of the way back is made.
        stop_at = 0.5 if self.hibernating else 1.0
        self.hibernating = False
        for limit, excess in excesses(load):
            self.hibernating |= limit.stops and excess >= stop_at
            if BUSY * (1 - excess) < most:
                most, self._seen = max(FLOOR, BUSY * (1 - excess)), limit.say(load)
        self._share.looked(most, idle=self._idle)

    @property
    def _idle(self) -> bool:
        """What is waited for at a server that has little to do is the network, of which tenants have their own."""
        return self._others is not None and self._others < IDLE


def _ninth(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.9) - 1 if len(values) >= WINDOW else -1]
