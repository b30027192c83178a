"""Jobs as they are found in the wild: pure data, the same for the same seed.

Each record is what one key holds. The valid ones are the jobs of the ledger; the others must be left as they are.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from demo.world import TRIAL_WORKSPACES, World

Fields = dict[bytes, bytes]

PROVIDERS = (("openai", "chat"), ("google", "calendar.read"), ("internal", "report.build"), ("stripe", "refund"))


@dataclass(frozen=True)
class Record:
    """One key. `value` is a hash's fields, a string's bytes or a list's items."""

    key: bytes
    value: Fields | bytes | list[bytes]
    expires_at_ms: int | None = None
    job_id: str = ""
    workspace: str = ""
    """Set for a valid legacy job only."""

    @property
    def fields(self) -> Fields:
        return self.value if isinstance(self.value, dict) else {}

    @property
    def status(self) -> str:
        return self.fields.get(b"status", b"").decode()


def fingerprint(value: Mapping[bytes, bytes] | bytes | list[bytes]) -> str:
    """Return a digest of a value in which no two different values look alike."""
    digest = hashlib.blake2b(digest_size=12)
    parts = [part for pair in sorted(value.items()) for part in pair] if isinstance(value, Mapping) else value
    for part in [parts] if isinstance(parts, bytes) else parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


class Wild:
    """Makes the records; its clock is fixed at the start, so that expiry times are real ones."""

    def __init__(self, world: World, now: datetime) -> None:
        self._world = world
        self._now = now
        self._random = random.Random(world.seed)

    def records(self) -> Iterator[Record]:
        """Yield everything that the store holds before the migration, but for the queue."""
        jobs: list[Record] = []
        for workspace, count in self._world.workspaces:
            for number in range(count):
                job = self._job(workspace, number)
                jobs.append(job)
                yield job
        yield from self._quarantined()
        yield from self._leftovers(jobs)
        yield from self._third_generation()

    def _job(self, workspace: str, number: int) -> Record:
        job_id = self._job_id(workspace, number)
        status = self._random.choices(("pending", "running", "completed", "failed", "error"), (9, 1, 74, 11, 5))[0]
        fields = self._fields(workspace, job_id, status)
        if number % 97 == 5:
            del fields[b"job_id"]
        if number % 41 == 7:
            fields |= {b"retry_count": b"2", b"trace": b"\x00\xff\xfe binary \x80" + self._random.randbytes(24)}
        if number % 89 == 11 and status in ("completed", "failed", "error"):
            fields[b"result"] = b"\x89PNG\r\n\x1a\n\xff" + self._random.randbytes(64)
        return Record(b"ai:jobs:" + job_id.encode(), fields, self._expiry(number, status), job_id, workspace)

    def _job_id(self, workspace: str, number: int) -> str:
        unusual = {
            3: f"{workspace}:{number}",
            13: f"nightly run {workspace} {number}",
            23: f"report[{number}]*?^ {workspace}",
            33: f"größe-{workspace}-{number}",
            43: f"a:b:{workspace}::{number}:",
            53: f"{workspace}-{number}-".ljust(256, "x"),
        }
        return unusual.get(number % 60) or str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _fields(self, workspace: str, job_id: str, status: str) -> Fields:
        provider, action = self._random.choice(PROVIDERS)
        enqueued = self._now - timedelta(seconds=self._random.randint(60, 90 * 86_400))
        fields = {
            "job_id": job_id,
            "status": status,
            "action_provider": provider,
            "action_name": action,
            "params": json.dumps({"ws": workspace, "text": "x" * self._random.randint(10, 400)}),
            "workspace_id": workspace,
            "actor_id": f"user-{self._random.randint(1, 40)}",
            "enqueued_at": enqueued.isoformat(),
            "result": "",
        }
        if status != "pending":
            fields["started_at"] = (enqueued + timedelta(seconds=3)).isoformat()
        if status in ("completed", "failed", "error"):
            fields["finished_at"] = (enqueued + timedelta(seconds=5)).isoformat()
        if status == "completed":
            fields["result"] = json.dumps({"mark": f"old-{job_id[:20]}"})
        if status in ("failed", "error"):
            fields["error"] = "timeout of the provider"
        return {name.encode(): value.encode() for name, value in fields.items()}

    def _expiry(self, number: int, status: str) -> int | None:
        """Most jobs stay; some have hours or days, a few end while the demo watches. A waiting job never expires."""
        if status == "pending" or number % 23 != 9:
            return None
        seconds = self._random.randint(20, 200) if number % 5 == 0 else self._random.randint(3_600, 7 * 86_400)
        return int((self._now + timedelta(seconds=seconds)).timestamp() * 1000)

    def _quarantined(self) -> Iterator[Record]:
        """Keys that look like jobs and are none: another type, no workspace or a bad one, a bad id."""
        for number in range(9):
            yield Record(b"ai:jobs:wrong-type-%d" % number, [b"one", b"two"] if number % 2 else b"a string")
        for number in range(24):
            fields = self._fields("tiny", f"no-workspace-{number}", "completed")
            del fields[b"workspace_id"]
            yield Record(b"ai:jobs:no-workspace-%d" % number, fields)
        for number, workspace in enumerate(("-leading", "two words", "../etc", "x" * 65, "colon:ed", "glob*", "") * 2):
            yield Record(b"ai:jobs:bad-ws-%d" % number, self._fields(workspace, f"bad-ws-{number}", "failed"))
        for bad in ("line\nbreak", "tab\there", "y" * 257, "bell\x07", ""):
            yield Record(b"ai:jobs:" + bad.encode(), self._fields("tiny", bad, "completed"))
        for number in range(11):
            yield Record(b"ai:jobs:alias-%d" % number, self._fields("globex", f"other-{number}", "completed"))

    def _leftovers(self, jobs: list[Record]) -> Iterator[Record]:
        """What an earlier migration left under workspace keys: parts of a hash anywhere, worse in the trial."""
        partial: Fields = {b"status": b"running", b"started_at": self._now.isoformat().encode()}
        lasting = [job for job in jobs if job.expires_at_ms is None]
        for job in lasting[::211]:
            yield Record(copy_key(job.workspace, job.job_id), partial)
        tried = [job for job in lasting if job.workspace in TRIAL_WORKSPACES and job.status == "completed"]
        partly = set(map(id, lasting[::211]))
        for job in [job for job in tried if id(job) not in partly][::9]:
            yield Record(copy_key(job.workspace, job.job_id), job.fields | {b"status": b"pending", b"result": b""})
        for workspace in TRIAL_WORKSPACES:
            for number in range(8):
                gone = f"deleted-long-ago-{number}"
                yield Record(copy_key(workspace, gone), self._fields(workspace, gone, "completed"))

    def _third_generation(self) -> Iterator[Record]:
        for number in range(90):
            yield Record(b"ai:job:%d" % (10_000 + number), b'{"id": %d, "state": "done"}' % number)
        for number in range(30):
            yield Record(b"ai:job:chat:%d" % number, b'{"id": "chat:%d", "state": "done"}' % number)


def copy_key(workspace: str, job_id: str) -> bytes:
    """Return the workspace key of a job."""
    return f"ai:job:{workspace}:{job_id}".encode()


def make_records(world: World) -> Iterator[Record]:
    """Yield the records of a world that begins now."""
    return Wild(world, datetime.now(UTC)).records()
