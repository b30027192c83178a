"""Leases and checkpoints of one server, as the contract has them: who holds what, and what a walk must say next."""

from dataclasses import dataclass, field

from relay_jobs.progress import Books

# What a walk's next report is, beside the names of errors.
RESTARTED, RESUMED, WALKED, PAUSED, BATCH = "restarted", "resumed", "walked", "paused", "batch"


@dataclass
class Checkpoint:
    """One pass under one name; ``began`` is the step it began in."""

    epoch: int
    process: int
    partitions: int
    began: int
    generation: int
    complete: bool = False
    done: dict[int, str] = field(default_factory=dict)
    cursors: set[int] = field(default_factory=set)
    tokens: dict[int, int] = field(default_factory=dict)
    books: Books = field(default_factory=Books)


@dataclass
class Walker:
    """One walk of a partition, as its owner knows it."""

    run: str
    name: str
    partition: int
    owner: str
    partitions: int
    generation: int = -1
    token: int = -1
    joined: bool = False
    noted: bool = False


@dataclass
class Floor:
    """Everything that is held on one server; ``epoch`` and ``process`` are as they are now."""

    process: int = 0
    lease: str | None = None
    partitions: dict[tuple[str, int], str] = field(default_factory=dict)
    passes: dict[str, Checkpoint] = field(default_factory=dict)
    fence: int = 0

    def void(self, name: str, epoch: int) -> bool:
        """Whether a checkpoint no longer means anything."""
        kept = self.passes.get(name)
        return kept is None or kept.process != self.process or kept.epoch != epoch

    def begin(self, name: str, epoch: int, partitions: int, step: int) -> Checkpoint:
        """A pass begins from the start."""
        self.fence += 1
        self.passes[name] = Checkpoint(epoch, self.process, partitions, step, self.fence)
        return self.passes[name]

    def opened(self, run: str, name: str, epoch: int, partitions: int, step: int, *, restart: bool) -> str:
        """What opening a pass says: an error's name, 'new', 'resumed' or 'void'."""
        if self.lease not in {None, run}:
            return "LeaseHeld"
        self.lease = run
        kept = self.passes.get(name)
        if kept and not restart and not kept.complete and not self.void(name, epoch):
            return "resumed"
        self.begin(name, epoch, partitions, step)
        return "void" if kept and (restart or not kept.complete) else "new"

    def next(self, walker: Walker, epoch: int, step: int, *, paused: bool) -> str:
        """What the walk's next step is, with what it changes here; a batch's own effect is not part of it."""
        if not walker.joined:
            return self._join(walker, epoch, step, paused=paused)
        return self._batch(walker, epoch, step, paused=paused)

    def _join(self, walker: Walker, epoch: int, step: int, *, paused: bool) -> str:
        where = (walker.name, walker.partition)
        if self.lease not in {None, walker.run}:
            return "LeaseHeld"
        if self.partitions.get(where) not in {None, walker.owner}:
            return "LeaseHeld"
        kept, void = self.passes.get(walker.name), self.void(walker.name, epoch)
        if kept is None or void or kept.partitions != walker.partitions:
            kept, void = self.begin(walker.name, epoch, walker.partitions, step), True
        self.lease = walker.run
        if walker.partition in kept.done:
            return WALKED
        self.fence += 1
        kept.tokens[walker.partition] = walker.token = self.fence
        walker.generation, walker.joined = kept.generation, True
        self.partitions[where] = walker.owner
        resumed = walker.partition in kept.cursors
        if void or walker.noted:
            walker.noted = False
            return RESTARTED
        return RESUMED if resumed else self._batch(walker, epoch, step, paused=paused)

    def _batch(self, walker: Walker, epoch: int, step: int, *, paused: bool) -> str:
        kept = self.passes.get(walker.name)
        if kept is None or kept.generation != walker.generation or self.void(walker.name, epoch):
            walker.joined, walker.noted = False, True
            return self._join(walker, epoch, step, paused=paused)
        if kept.tokens.get(walker.partition) != walker.token or self.lease not in {None, walker.run}:
            return "Fenced"
        self.lease = walker.run
        self.partitions[walker.name, walker.partition] = walker.owner
        return PAUSED if paused else BATCH

    def walked(self, walker: Walker, counts: Books, *, ended: bool, left: bool) -> None:
        """A batch has been walked; ``left`` where the walk gives its partition back."""
        kept = self.passes[walker.name]
        kept.books += counts
        kept.cursors.add(walker.partition)
        if ended:
            kept.done[walker.partition] = walker.owner
        if left:
            self.partitions.pop((walker.name, walker.partition), None)

    def stopped(self, walker: Walker) -> None:
        """Whoever stops a walk gives its partition back."""
        if self.partitions.get((walker.name, walker.partition)) == walker.owner:
            del self.partitions[walker.name, walker.partition]

    def release(self, run: str) -> None:
        """A run gives its lease back."""
        if self.lease == run:
            self.lease = None

    def expire(self) -> None:
        """Nobody has renewed anything for long enough."""
        self.lease = None
        self.partitions.clear()
