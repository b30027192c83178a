"""Runs and passes in Redis: the lease, the partitions' fencing tokens, the checkpoint and the books."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import redis

from relay_jobs import keys
from relay_jobs.errors import LeaseHeld, PassVoid
from relay_jobs.jobs import decode_id
from relay_jobs.metrics import DURATION_BOUNDS
from relay_jobs.progress import Books
from relay_jobs.scripting import Script
from relay_jobs.servers import read_hash

_JOIN = Script("join_pass", "engine")
_FINISH = Script("finish_pass", "engine")
_TAKE = Script("take_lease")
_RELEASE = Script("release_lease")

Answer = TypeVar("Answer")

_DATABASE = "the lease of this database"
_BOUNDS = ",".join(map(str, DURATION_BOUNDS))
_OUTCOMES = frozenset(field.name for field in fields(Books))

# Longer than a run with a weekend in it (the changelog's 24 h were not).
CHECKPOINT_TTL_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass as a run works on it; plain values, so that it can travel between processes.

    Attributes:
        run: who holds the lease.
        step: which step of the run its books belong to.
        name: progress key.
        workspaces: scope, empty for all.
        bits: the pass has 2**bits partitions.
        batch: keys of one SCAN step; ``None`` sizes the steps by time.
        rps_per_slot: keys a second of one running partition, or ``None``.
        full_speed: give way to nobody.
        resumed: an unfinished pass goes on.
        note: why its checkpoint was void, '' if it was not.
    """

    run: str
    step: str
    name: str
    workspaces: tuple[str, ...]
    bits: int
    batch: int | None = None
    rps_per_slot: int | None = None
    full_speed: bool = False
    resumed: bool = False
    note: str = ""

    @property
    def partitions(self) -> int:
        """Number of partitions."""
        return 1 << self.bits

    @property
    def scope(self) -> str:
        """The scope as the scripts take it."""
        return ",".join(sorted(set(self.workspaces)))

    @property
    def record(self) -> bytes:
        """Key of the step's books."""
        return keys.run(f"{self.run}:{self.step}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, JSON-able."""
        return asdict(self) | {"workspaces": list(self.workspaces)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Pass":
        """Inverse of :meth:`as_dict`."""
        return cls(**{**data, "workspaces": tuple(data["workspaces"])})


@dataclass(frozen=True, slots=True)
class Joined:
    """Answer to opening or joining: ``found`` is new, resumed, void or walked."""

    found: str
    reason: str
    bits: int
    generation: str
    token: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run brings along when it opens a pass, or a task when it joins one.

    Attributes:
        restart: begin the pass from the start.
        max_keys: keys of the scope to examine at most.
        rps: examined keys a second over all partitions.
        who: who began the run.
        alone: no process without the library writes any more.
        again: walk a partition again that is walked.
    """

    restart: bool = False
    max_keys: int | None = None
    rps: int | None = None
    who: str = ""
    alone: bool = False
    again: bool = False


def join(
    client: "redis.Redis",
    opened: Pass,
    partition: int | None,
    owner: str,
    lease_seconds: float,
    terms: Terms | None = None,
) -> Joined:
    """Open the pass (``partition`` is ``None``) or join one of its partitions, taking the leases.

    Raises:
        LeaseHeld: another run, or another owner of this partition, is alive.
    """
    terms = terms or Terms()
    progress = keys.progress(opened.name)
    where = (progress, keys.run(opened.run), opened.record, keys.partition_lease(opened.name, partition or 0))
    args = (
        opened.run,
        round(lease_seconds * 1000),
        str(client.connection_pool.connection_kwargs.get("db") or 0),
        opened.scope,
        opened.bits,
        "1" if terms.restart else "0",
        "" if partition is None else partition,
        owner,
        "" if terms.max_keys is None else terms.max_keys,
        "" if terms.rps is None else terms.rps,
        CHECKPOINT_TTL_MS,
        terms.who,
        "1" if terms.alone else "0",
        "1" if terms.again else "0",
    )
    reply = _JOIN(client, where, *args)
    if reply[0] == b"held":
        raise _held(_DATABASE if reply[1] == b"run" else f"partition {partition}", *reply[2:])
    found, reason, bits, generation, token, cursor = (part.decode() for part in reply[1:])
    return Joined(found, reason, int(bits), generation, token, cursor)


def waited(attempt: Callable[[], Answer], wait_seconds: float, sleep: Callable[[float], None]) -> Answer:
    """``attempt()``; if a lease is held, again until it has had the time to expire once.

    Raises:
        LeaseHeld: the holder is alive.
    """
    left = wait_seconds
    while True:
        try:
            return attempt()
        except LeaseHeld as held:
            if left <= 0:
                raise
            pause = min(left, max(0.05, min(held.expires_in + 0.05, 1.0)))
            sleep(pause)
            left -= pause


def take_lease(client: "redis.Redis", run: str, lease_seconds: float) -> None:
    """Take or renew the lease of the database.

    Raises:
        LeaseHeld: another run is alive.
    """
    reply = _TAKE(client, (keys.LEASE,), run, round(lease_seconds * 1000))
    if reply[0] == b"held":
        raise _held(_DATABASE, *reply[1:])


def _held(what: str, holder: bytes, milliseconds: int) -> LeaseHeld:
    return LeaseHeld(what, decode_id(holder), max(0, milliseconds) / 1000)


def refuse_if_held(client: "redis.Redis", run: str) -> None:
    """Look, and take nothing; :exc:`LeaseHeld` if another run holds the database's lease."""
    holder = read_hash(client, keys.LEASE).get(b"holder")
    if holder is not None and decode_id(holder) != run:
        raise _held(_DATABASE, holder, int(client.pttl(keys.LEASE)))


def release(client: "redis.Redis", holder: str, lease: bytes = keys.LEASE) -> None:
    """Give a lease back (default: the database's), if ``holder`` still has it."""
    _RELEASE(client, (lease,), holder)


def open_partitions(client: "redis.Redis", opened: Pass) -> list[int]:
    """Partitions of the pass that are not walked to their end."""
    raw = read_hash(client, keys.progress(opened.name))
    bits = int(raw.get(b"bits", opened.bits))
    return [number for number in range(2**bits) if b"done:%d" % number not in raw]


def finish(client: "redis.Redis", opened: Pass, record: Mapping[str, Any], seconds: float) -> bool:
    """Complete the pass; whether it is complete now.

    Raises:
        PassVoid: it was walked on another server process or in another epoch.
    """
    raw = read_hash(client, keys.progress(opened.name))
    total = _total(raw)
    # A process without the library indexes nothing: what it enqueued behind the pass is in no index.
    everything = "1" if not total.errors and raw.get(b"alone") == b"1" else "0"
    where = (keys.progress(opened.name), keys.PASSES, keys.INDEXED)
    text = json.dumps({**record, "books": total.as_dict()}, sort_keys=True)
    scope = opened.scope or keys.EVERYONE.decode()
    reply = _FINISH(client, where, raw.get(b"generation", b""), text, everything, scope, f"{seconds:.3f}", _BOUNDS)
    if reply[0] == b"void":
        raise PassVoid(reply[1].decode())
    return bool(reply[0] == b"ok")


@dataclass(frozen=True, slots=True)
class Accounts:
    """Books as Redis has them: of the step, and of the whole pass."""

    step: Books
    total: Books
    complete: bool
    limited: bool
    started_at: float
    now: float
    facts: Mapping[str, str]


def failed_partitions(client: "redis.Redis", opened: Pass) -> list[int]:
    """Partitions with errors in their books."""
    raw = read_hash(client, keys.progress(opened.name))
    return [number for number in range(opened.partitions) if int(raw.get(b"errors:%d" % number, 0))]


def accounts(client: "redis.Redis", opened: Pass) -> Accounts:
    """The books, exact whatever became of the process that made them."""
    raw = read_hash(client, keys.progress(opened.name))
    step = read_hash(client, opened.record)
    seconds, micros = client.time()
    now = int(seconds) + int(micros) / 1e6
    facts = {
        name: raw[name.encode()].decode()
        for name in ("server", "epoch", "started_at", "walked_at")
        if name.encode() in raw
    }
    return Accounts(
        step=Books.from_hash(step),
        total=_total(raw),
        complete=raw.get(b"state") == b"complete",
        limited=step.get(b"budget") == b"0",
        started_at=int(step.get(b"started_at", 0)) / 1000,
        now=now,
        facts=facts,
    )


def _total(raw: Mapping[bytes, bytes]) -> Books:
    # Counters are kept by partition, as "<outcome>:<partition>".
    counts: Counter[bytes] = Counter()
    for name, value in raw.items():
        outcome, _, partition = name.partition(b":")
        if partition.isdigit() and outcome.decode() in _OUTCOMES:
            counts[outcome] += int(value)
    return Books(**{outcome.decode(): number for outcome, number in counts.items()})
