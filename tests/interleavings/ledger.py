"""The ledger: what each caller was told, kept outside Redis, and therefore what a reader must see.

It knows nothing of the library: it is told of every call that has returned and of every command of a process without
the library, checks each answer against what was told before, and keeps one record for each job. Copying, repair and
moves of the stage tell it nothing: they may not change what a reader sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.interleavings.copies import NEVER, Copy

UNKNOWN_YET = -2  # a time to live counts from the server's clock: the expiry is taken from the first look

NEXT = {"pending": ("running",), "running": ("completed", "failed")}
TERMINAL = ("completed", "failed")

Fields = Mapping[bytes, bytes]


def status_in(fields: Fields) -> str:
    """A status as a reader is told it."""
    text = fields.get(b"status", b"").decode()
    return {"error": "failed"}.get(text, text if text in {"running", *TERMINAL} else "pending")


@dataclass
class Ledger:
    """One record a job id, valid or not; ``None`` where nothing may be seen."""

    records: dict[str, Copy | None] = field(default_factory=dict)
    requests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)  # job id -> the claim that holds it
    gone: set[tuple[str, str]] = field(default_factory=set)  # deleted or expired, and nobody has made them again
    queued: set[str] = field(default_factory=set)  # ids that a worker must be given once

    def visible(self, workspace: str, job_id: str) -> Copy | None:
        """What a reader of this workspace must see."""
        record = self.records.get(job_id)
        return record if record and record.owner(job_id) == workspace else None

    # What the library's callers were told.

    def enqueued(self, workspace: str, job_id: str, fields: Fields, request: str | None, *, ttl: bool) -> None:
        """A job was created."""
        self.records[job_id] = Copy(dict(fields), UNKNOWN_YET if ttl else NEVER)
        self.gone.discard((workspace, job_id))
        self.holders.pop(job_id, None)
        self.queued.add(job_id)
        if request is not None:
            self.requests[workspace, request] = (job_id, fields[b"params"])

    def answer_to_update(
        self, workspace: str, job_id: str, status: str, outcome: tuple[bytes, bytes], claim: str | None
    ) -> str:
        """What an update must be told: ok, same, JobNotFound, ClaimLost or IllegalTransition."""
        record = self.visible(workspace, job_id)
        if record is None or record.fields is None:
            return "JobNotFound"
        present = status_in(record.fields)
        if claim is not None and present not in TERMINAL and self.holders.get(job_id) != claim:
            return "ClaimLost"
        if present == status:
            told = (record.fields.get(b"result", b""), record.fields.get(b"error", b""))
            return "IllegalTransition" if status in TERMINAL and told != outcome else "same"
        return "ok" if status in NEXT.get(present, ()) else "IllegalTransition"

    def updated(self, job_id: str, changes: Fields) -> None:
        """A job was changed."""
        self.old_set(job_id, changes)
        if changes[b"status"].decode() in TERMINAL:
            self.holders.pop(job_id, None)

    def deleted(self, workspace: str, job_id: str) -> None:
        """A job was deleted, and its caller was told so."""
        self.records[job_id] = None
        self.holders.pop(job_id, None)
        self.gone.add((workspace, job_id))

    def claimed(self, job_id: str, claim: str, stamp: bytes) -> None:
        """A worker was given a job."""
        record = self.records[job_id]
        assert record is not None
        assert record.fields is not None
        assert status_in(record.fields) not in TERMINAL, f"a finished job {job_id} was handed out"
        if status_in(record.fields) == "pending":
            self.old_set(job_id, {b"status": b"running", b"started_at": stamp})
        self.holders[job_id] = claim

    # What a process without the library has done, in the stages that read the legacy copy.

    def old_set(self, job_id: str, changes: Fields) -> None:
        """Fields were set; on a key that is not there that makes a job of them, valid or not."""
        record = self.records.get(job_id) or Copy({})
        self.records[job_id] = replace(record, fields={**(record.fields or {}), **changes})
        self.made_again(job_id)

    def made_again(self, job_id: str) -> None:
        """A process that asks nobody has written to a key of this id."""
        self.gone = {place for place in self.gone if place[1] != job_id}

    def old_unset(self, job_id: str, name: bytes) -> None:
        """A field was removed."""
        record = self.records.get(job_id)
        if record and record.fields:
            left = {key: value for key, value in record.fields.items() if key != name}
            self.records[job_id] = replace(record, fields=left) if left else None

    def old_delete(self, job_id: str) -> None:
        """The legacy key was removed."""
        self.records[job_id] = None

    def expiry_set(self, job_id: str, expiry: int) -> None:
        """The legacy key was given another expiry, or none."""
        record = self.records.get(job_id)
        if record:
            self.records[job_id] = replace(record, expiry=expiry)

    # Time, and what the contract leaves to the stage.

    def expired(self, job_id: str, *, whole: bool) -> None:
        """A job's time is over; ``whole``: that of every copy of it."""
        record, self.records[job_id] = self.records[job_id], None
        owner = record.owner(job_id) if record else None
        if whole and owner:
            self.gone.add((owner, job_id))

    def rebase(self, job_id: str, seen: Copy | None) -> None:
        """The stage reads another copy now, which is right by definition."""
        self.records[job_id] = seen
        self.made_again(job_id)
