"""Books and reports: what the engines yield and every door reads."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum


class Phase(StrEnum):
    """What a report is about."""

    BATCH = "batch"  # a batch was examined; its checkpoint is written
    WAITING = "waiting"  # throttled; the reason says by what
    PAUSED = "paused"  # an operator has paused running work
    HIBERNATING = "hibernating"  # the server is at a critical limit; the reason says which
    RESTARTED = "restarted"  # the checkpoint was void: the walk begins anew
    RESUMED = "resumed"  # an unfinished walk goes on
    DONE = "done"  # the partition is walked to its end
    LIMITED = "limited"  # max_keys is used up


@dataclass(frozen=True, slots=True)
class Books:
    """Counts of a walk; ``scanned`` is the sum of the rest."""

    scanned: int = 0
    migrated: int = 0
    exists: int = 0
    conflict: int = 0
    invalid: int = 0
    filtered: int = 0
    gone: int = 0
    errors: int = 0

    def __add__(self, other: "Books") -> "Books":
        return Books(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def balanced(self) -> bool:
        """Whether every scanned key has exactly one outcome."""
        outcomes = {name: number for name, number in asdict(self).items() if name != "scanned"}
        return bool(self.scanned == sum(outcomes.values()))

    @classmethod
    def from_hash(cls, raw: Mapping[bytes, bytes], prefix: str = "") -> "Books":
        """Books as the batch script keeps them in a hash."""
        return cls(**{f.name: int(raw.get((prefix + f.name).encode(), 0)) for f in fields(cls)})

    def as_dict(self, *, dry_run: bool = False) -> dict[str, int]:
        """Counts by name; in a dry run ``would_migrate`` instead of ``migrated``."""
        counts = asdict(self)
        return {("would_migrate" if dry_run and name == "migrated" else name): n for name, n in counts.items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """One job that needs eyes: its id, what was found, and why; never a value of it."""

    job_id: str
    workspace_id: str | None
    finding: str
    reason: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One step of a walk.

    Attributes:
        phase: what the step was.
        partition: which partition, from 0.
        partitions: of how many.
        counts: books of this step alone.
        fraction: visited part of the partition, 0 to 1.
        reason: why, in words; of a batch: what slows the walk down, '' for nothing.
        wait_seconds: how long the walk rests before its next step.
        samples: invalid, conflicting and failed keys of this step (bounded).
    """

    phase: Phase
    partition: int = 0
    partitions: int = 1
    counts: Books = Books()
    fraction: float = 0.0
    reason: str = ""
    wait_seconds: float = 0.0
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """One step of a verification.

    Attributes:
        direction: whose keys are walked, ``legacy`` or ``workspace``.
        checked: jobs compared so far.
        fraction: visited part of the whole, 0 to 1.
        notice: that it starts over, and why.
        held_by: what slows it down, '' for nothing.
    """

    direction: str
    checked: int
    fraction: float
    notice: str = ""
    held_by: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a verification: legacy = equal + different + missing + quarantined, plus extra.

    Attributes:
        unindexed: whole copies without their entry in the listing index, or with one at a wrong place.
        malformed: keys under a workspace's name that are no copy of a job.
        third_generation: ``ai:job:{id}`` records of an older generation; nothing touches them.
        filtered: jobs of workspaces in stage ``legacy``, left out.
        unacknowledged: quarantined records that nobody has acknowledged.
    """

    equal: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    quarantined: int = 0
    errors: int = 0
    repaired: int = 0
    unindexed: int = 0
    malformed: int = 0
    third_generation: int = 0
    filtered: int = 0
    unacknowledged: int = 0
    duration_seconds: float = 0.0
    samples: tuple[Sample, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether nothing is lost: different = missing = extra = errors = 0."""
        return not (self.different or self.missing or self.extra or self.errors)

    def as_dict(self) -> dict[str, object]:
        """Counts by name, with ``verified``; without samples."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "samples"} | {
            "verified": self.verified
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """Books of one step of a run, and of the pass that it worked on."""

    books: Books
    total: Books
    complete: bool
    limited: bool
    duration_seconds: float

    def as_dict(self) -> dict[str, object]:
        """As the command line prints it."""
        facts = {"duration_seconds": round(self.duration_seconds, 3), "complete": self.complete}
        return self.books.as_dict() | facts | {"pass": self.total.as_dict()}


def partition_fraction(cursor: int, partition: int, bits: int) -> float:
    """Visited part of a partition of 2**bits, by the bit-reversed SCAN cursor (measured on Redis 7.0 and Valkey 9.1).

    A whole walk is the one partition of ``bits`` = 0.
    """
    parts: int = 2**bits
    visited = int(f"{cursor & (2**64 - 1):064b}"[::-1], 2) / 2**64
    start = int(f"{partition:0{bits}b}"[::-1], 2) / parts if bits else 0.0
    return min(1.0, max(0.0, (visited - start) * parts))
