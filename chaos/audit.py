"""Both schemas as they are, read key by key; nothing here knows the library."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import redis

from chaos.faults import FOREIGN, LOST, REVIVED, Fault
from chaos.ledger import Journal, Op, Roster, Seeded, now, read_ops, read_seed, write_seed
from chaos.readers import observe
from chaos.sight import Hash, Look, digest, of_hash, scoped_key
from chaos.world import WORKSPACES, Run
from demo.audit import Audit, audit_bystanders
from demo.seed import BYSTANDERS, QUEUE, fill
from demo.wild import Record, make_records

T = TypeVar("T")

_CHUNK = 200
_ABSENT = -2
_WORKSPACE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def seed(client: redis.Redis, run: Run) -> int:
    """Fill the store as the demo does, and note what is there; the number of jobs."""
    kept = {name for name, _ in run.world.workspaces[:WORKSPACES]} | {name for name, _ in run.world.workspaces[-4:]}
    records = [record for record in make_records(run.world) if not record.workspace or record.workspace in kept]
    fill(client, records, run.ledgers)
    offset = time.time() - now()
    copies = {record.key for record in records if record.key.startswith(b"ai:job:")}
    rows = [_row(record, copies, offset) for record in records if record.workspace]
    write_seed(run.ledgers, rows)
    return len(rows)


def _row(record: Record, copies: set[bytes], offset: float) -> Seeded:
    saw = of_hash(record.job_id, record.fields)
    expires = None if record.expires_at_ms is None else record.expires_at_ms / 1000 - offset
    leftover = scoped_key(record.workspace, record.job_id) in copies
    return Seeded(record.job_id, record.workspace, saw.status, saw.mark, digest(record.fields), expires, leftover)


def look_at_everything(client: redis.Redis, journal: Journal, roster: Roster) -> list[Look]:
    """Look at both copies of every job that anyone was ever about to make, and note it."""
    roster.refresh()
    jobs = [(job, roster.workspaces[job]) for job in roster.ids]
    return [look for chunk in _chunks(jobs) for look in observe(journal, client, chunk)]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def survey(client: redis.Redis) -> Counter[str]:
    """What a backfill or a verification would find now, counted by rules written down once more."""
    legacy, scoped = _read(client, b"ai:jobs:*"), _read(client, b"ai:job:*")
    counts = Counter(_verdict(key, held, scoped) for key, held in legacy.items())
    counts["scanned"] = len(legacy)
    for key, held in scoped.items():
        counts["extra"] += _whole(key, held) and b"ai:jobs:" + key.split(b":", 3)[3] not in legacy
    return counts


Held = tuple[Hash, int]
"""Fields of a hash (none if the key is of another type) and expiry."""


def _read(client: redis.Redis, pattern: bytes) -> dict[bytes, Held]:
    """Every key of a pattern that is still there."""
    found: dict[bytes, Held] = {}
    for keys in _chunks(_keys(client, pattern)):
        pipe = client.pipeline(transaction=True)
        for key in keys:
            pipe.hgetall(key)
            pipe.execute_command("PEXPIRETIME", key)
        answers = pipe.execute(raise_on_error=False)
        for key, fields, expiry in zip(keys, answers[::2], answers[1::2], strict=True):
            if expiry != _ABSENT:
                found[key] = (fields if isinstance(fields, dict) else {}, expiry)
    return found


def _verdict(key: bytes, held: Held, scoped: Mapping[bytes, Held]) -> str:
    job, fields = key.removeprefix(b"ai:jobs:"), held[0]
    if not fields or not _valid(job, fields):
        return "invalid"
    name = b"ai:job:" + fields[b"workspace_id"] + b":" + job
    copy = scoped.get(name)
    if copy is None or not _whole(name, copy):
        return "missing"
    return "equal" if copy == held else "different"


def _valid(job: bytes, fields: Hash) -> bool:
    named = fields.get(b"job_id", job) == job and 1 <= len(job) <= 256 and not _CONTROL.search(job)
    return named and bool(_WORKSPACE.fullmatch(fields.get(b"workspace_id", b"")))


def _whole(key: bytes, held: Held) -> bool:
    if key.count(b":") < 3:
        return False
    workspace, job = key.split(b":", 3)[2:]
    return held[0].get(b"workspace_id") == workspace and held[0].get(b"job_id", job) == job


def _keys(client: redis.Redis, pattern: bytes) -> list[bytes]:
    return sorted(set(client.scan_iter(pattern, count=1000)))


def audit(client: redis.Redis, ledgers: Path, looks: Sequence[Look], indexed: Set[str]) -> list[Fault]:
    """Everything around the jobs: queue, claims, index, and keys that nobody knows; the traffic must have ended.

    ``indexed`` are the jobs that must be in an index: those that the library has made, and behind a complete pass all.
    """
    others = Audit()
    audit_bystanders(client, ledgers, others)
    made = made_by_library(read_ops(ledgers))
    around = (_unknown(client, ledgers, looks), _waiting(client, looks, made), _indexed(client, looks, made | indexed))
    return [*chain(*around), *others.faults]


def made_by_library(ops: Iterable[Op]) -> set[str]:
    """Jobs that only the library has made, without those that expire."""
    made: dict[str, bool] = {}
    for op in ops:
        if op.kind in {"enqueue", "put"}:
            made[op.job] = made.get(op.job, True) and op.kind == "enqueue" and not op.facts["ttl"]
    return {job for job, lasting in made.items() if lasting}


def seeded_to_last(ledgers: Path) -> set[str]:
    """Jobs that were there before and do not expire."""
    return {row.job for row in read_seed(ledgers) if row.expires is None}


def _unknown(client: redis.Redis, ledgers: Path, looks: Sequence[Look]) -> Iterator[Fault]:
    bystanders = json.loads((ledgers / BYSTANDERS).read_text())
    known = {b"ai:jobs:" + look.job.encode() for look in looks}
    known |= {scoped_key(look.workspace, look.job) for look in looks}
    for pattern in (b"ai:jobs:*", b"ai:job:*"):
        for key in _keys(client, pattern):
            # Copies of the migration before this one, whose jobs were deleted long ago.
            if key not in known and b"deleted-long-ago" not in key and key.decode() not in bystanders:
                yield Fault(FOREIGN, key.decode(), "a key of no job that anyone was about to make")


def _waiting(client: redis.Redis, looks: Sequence[Look], made: Set[str]) -> Iterator[Fault]:
    """Who waits is in the queue, who runs has a claim; or nobody would ever finish it."""
    queued, claimed = (
        {entry.rsplit(b"\x1f", 1)[-1].decode() for entry in entries}
        for entries in (_all(client, "LRANGE", QUEUE), _all(client, "ZRANGE", "ai:migration:claims"))
    )
    for look in looks:
        copy = look.legacy or look.scoped
        if copy is None or look.job not in made:
            continue
        if copy.sight.status == "pending" and look.job not in queued:
            yield Fault(LOST, look.job, "waits, and is not in the queue")
        if copy.sight.status == "running" and look.job not in claimed:
            yield Fault(LOST, look.job, "runs, and nobody holds it")


def _indexed(client: redis.Redis, looks: Sequence[Look], lasting: Set[str]) -> Iterator[Fault]:
    entries = {key: set(_all(client, "ZRANGE", key)) for key in _keys(client, b"ai:index:*")}
    for look in looks:
        if look.job not in lasting:
            continue
        there = look.job.encode() in entries.get(f"ai:index:{look.workspace}".encode(), ())
        if there and not (look.legacy or look.scoped):
            yield Fault(REVIVED, look.job, "its index entry is there, and no job")
        if not there and (look.legacy or look.scoped):
            yield Fault(LOST, look.job, "not in its workspace's index")


def _all(client: redis.Redis, command: str, key: str | bytes) -> list[bytes]:
    found: list[Any] = client.execute_command(command, key, 0, -1)
    return found
