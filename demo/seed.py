"""Fills the store: the wild records, the queue, and the ledger's page about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import redis

from demo.ledger import SEED, Ledger
from demo.wild import Record, fingerprint

QUEUE = "ai:queue:pending"
BYSTANDERS = "bystanders.json"
"""Beside the ledgers: every seeded key that is no valid job, with its fingerprint. The migration must not touch it."""


@dataclass
class Seeded:
    """What is in the store now."""

    jobs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    with_expiry: int = 0
    queued: int = 0
    quarantined: int = 0
    leftovers: int = 0
    third_generation: int = 0

    @property
    def total(self) -> int:
        return self.jobs.total()

    def count(self, record: Record) -> None:
        if record.workspace:
            self.jobs[record.workspace] += 1
            self.statuses[record.status] += 1
            self.with_expiry += record.expires_at_ms is not None
        elif record.key.startswith(b"ai:jobs:"):
            self.quarantined += 1
        elif isinstance(record.value, dict):
            self.leftovers += 1
        else:
            self.third_generation += 1


def chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Cut a stream into lists."""
    stream = iter(records)
    while chunk := list(islice(stream, size)):
        yield chunk


def put(pipe: redis.client.Pipeline, record: Record) -> None:
    """Add one record to a pipeline."""
    if isinstance(record.value, dict):
        pipe.hset(record.key, mapping=record.value)  # type: ignore[arg-type]
    elif isinstance(record.value, list):
        pipe.rpush(record.key, *record.value)
    else:
        pipe.set(record.key, record.value)
    if record.expires_at_ms is not None:
        pipe.pexpireat(record.key, record.expires_at_ms)


def fill(client: redis.Redis, records: Iterable[Record], ledgers: Path) -> Seeded:
    """Write all records and the queue, and note them where the readers and the final audit look."""
    seeded, waiting, bystanders = Seeded(), [], {}
    ledger = Ledger(ledgers, SEED)
    for chunk in chunks(records, 2_000):
        pipe = client.pipeline(transaction=False)
        rows = []
        for record in chunk:
            put(pipe, record)
            seeded.count(record)
            if record.workspace:
                rows.append(
                    (record.job_id, record.workspace, record.status, record.expires_at_ms, fingerprint(record.value))
                )
            elif not (record.key.startswith(b"ai:job:") and isinstance(record.value, dict)):
                bystanders[record.key.decode()] = fingerprint(record.value)
            if record.status == "pending" and record.workspace:
                waiting.append(record.job_id)
        pipe.execute()
        ledger.seeded(rows)
    ledger.close()
    for start in range(0, len(waiting), 2_000):
        client.rpush(QUEUE, *waiting[start : start + 2_000])
    seeded.queued = len(waiting)
    (ledgers / BYSTANDERS).write_text(json.dumps(bystanders))
    return seeded
