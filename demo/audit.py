"""The last word: both schemas, read key by key without the library, against what the ledgers say."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from demo.ledger import PRESENT, Known, View
from demo.seed import BYSTANDERS, QUEUE
from demo.verdicts import EXPIRY_SLACK_MS, FOREIGN, LOST, PARTIAL, REVIVED, STALE, Fault, expired
from demo.wild import copy_key, fingerprint

Hash = dict[bytes, bytes]


@dataclass(frozen=True)
class Pair:
    """Both copies of a job as the server holds them; -1 is no expiry, -2 no key."""

    legacy: Hash
    legacy_expiry: int
    copy: Hash
    copy_expiry: int


@dataclass
class Audit:
    """What was looked at, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def chunked(items: list[str], size: int) -> Iterator[list[str]]:
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


def read_pairs(client: redis.Redis, view: View, ids: list[str]) -> list[Pair]:
    """Read both copies of each job, and their expiry times, each job in one transaction."""
    pipe = client.pipeline(transaction=True)
    for job_id in ids:
        for key in (f"ai:jobs:{job_id}".encode(), copy_key(view.jobs[job_id].workspace, job_id)):
            pipe.execute_command("HGETALL", key)
            pipe.execute_command("PEXPIRETIME", key)
    answers: list[Any] = pipe.execute()
    return [Pair(*answers[at : at + 4]) for at in range(0, len(answers), 4)]


def judge_pair(job_id: str, known: Known, pair: Pair, now_ms: float) -> Fault | None:
    """Judge what the store holds of one job at the end."""
    if known.deletion != PRESENT or expired(known, now_ms):
        there = pair.legacy or pair.copy
        return Fault(REVIVED, job_id, "in the store although deleted or expired") if there else None
    if known.expires_at_ms is not None and now_ms > known.expires_at_ms - EXPIRY_SLACK_MS:
        return None
    owner = pair.copy.get(b"workspace_id", b"").decode()
    status = pair.copy.get(b"status", b"").decode()
    outcome = pair.copy.get(b"result", b"") + pair.copy.get(b"error", b"")
    seeded = known.print_ and not known.touched
    rules = (
        (LOST, not pair.legacy, "no legacy key"),
        (LOST, not pair.copy, "no workspace copy"),
        (PARTIAL, not owner, "the copy is no whole job"),
        (FOREIGN, owner != known.workspace, f"the copy names {owner}"),
        (PARTIAL, pair.legacy != pair.copy, "the copies differ"),
        (PARTIAL, pair.legacy_expiry != pair.copy_expiry, "the copies expire at different times"),
        (STALE, status != known.status, f"{status} instead of {known.status}"),
        (STALE, known.mark.encode() not in outcome, "another outcome than the acknowledged one"),
        (PARTIAL, bool(seeded) and fingerprint(pair.copy) != known.print_, "not the bytes that were there before"),
    )
    return next((Fault(kind, job_id, reason) for kind, broken, reason in rules if broken), None)


def audit(client: redis.Redis, ledgers: Path) -> Audit:
    """Compare the store with the ledgers; the traffic must have ended."""
    view, result = View(ledgers), Audit()
    view.refresh()
    view.close()
    for ids in chunked(view.ids, 1_000):
        pairs = read_pairs(client, view, ids)
        now_ms = time.time() * 1000
        for job_id, pair in zip(ids, pairs, strict=True):
            known = view.jobs[job_id]
            fault = judge_pair(job_id, known, pair, now_ms)
            result.counts["jobs" if known.deletion == PRESENT else "deletions"] += 1
            result.counts["byte for byte"] += bool(known.print_ and not known.touched and pair.copy)
            if fault is not None:
                result.faults.append(fault)
    _audit_queue(client, view, result)
    _audit_copies(client, view, result)
    audit_bystanders(client, ledgers, result)
    return result


def _audit_queue(client: redis.Redis, view: View, result: Audit) -> None:
    """Every job that waits must be in the queue, or nobody would ever run it."""
    entries: list[bytes] = client.execute_command("LRANGE", QUEUE, 0, -1)
    queued = {entry.rsplit(b"\x1f", 1)[-1].decode() for entry in entries}
    for job_id, known in view.jobs.items():
        waits = known.deletion == PRESENT and known.status == "pending" and known.expires_at_ms is None
        if waits and not known.private:
            result.counts["waiting"] += 1
            if job_id not in queued:
                result.faults.append(Fault(LOST, job_id, "waits, but not in the queue"))


def _audit_copies(client: redis.Redis, view: View, result: Audit) -> None:
    """Every copy must be of a job that the ledgers know, under that job's own workspace."""
    rightful = {copy_key(known.workspace, job_id) for job_id, known in view.jobs.items()}
    for key in client.scan_iter(b"ai:job:*", count=1_000, _type="hash"):
        if key not in rightful:
            result.faults.append(Fault(FOREIGN, key.decode(), "a copy of no known job"))


def audit_bystanders(client: redis.Redis, ledgers: Path, result: Audit) -> None:
    """What was no valid job at the start must be there, unchanged."""
    for key, expected in json.loads((ledgers / BYSTANDERS).read_text()).items():
        kind = client.type(key)
        value: Any = None
        if kind == b"hash":
            value = client.hgetall(key)
        elif kind == b"list":
            value = client.lrange(key, 0, -1)
        elif kind == b"string":
            value = client.get(key)
        result.counts["others untouched"] += 1
        if value is None or fingerprint(value) != expected:
            result.faults.append(Fault(LOST, key, "was no job, and was touched all the same"))
