"""Quarantine: legacy jobs that cannot be moved, why, and which of them an operator has acknowledged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import redis

from relay_jobs import keys
from relay_jobs.jobs import decode_id, encode_id
from relay_jobs.scripting import Script

_RECHECK = Script("recheck_quarantine")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Record:
    """One quarantined job: its legacy id, whose it is if that can be told, why, and whether that is acknowledged."""

    job_id: str
    workspace_id: str | None
    reason: str
    acknowledged: bool


class Quarantine:
    """The quarantined jobs of one server."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def add(self, found: Iterable[tuple[bytes, str, bytes]]) -> None:
        """Remember jobs that are not valid: id, reason, workspace or b''."""
        mapping = {job_id: reason.encode() + keys.SEPARATOR + workspace for job_id, reason, workspace in found}
        if mapping:
            flat = [part for pair in mapping.items() for part in pair]
            self._client.execute_command("HSET", keys.QUARANTINE, *flat)

    def records(self) -> Iterator[Record]:
        """Every job that is not valid now; those that were mended or deleted meanwhile are forgotten."""
        ids = (job_id for job_id, _ in self._client.hscan_iter(keys.QUARANTINE))
        while chunk := list(islice(ids, _CHUNK)):
            where = (keys.QUARANTINE, keys.ACKNOWLEDGED)
            reply = _RECHECK(self._client, where, *chunk)
            rows = zip(reply[1::4], reply[2::4], reply[3::4], reply[4::4], strict=True)
            for job_id, workspace, fault, known in rows:
                yield Record(decode_id(job_id), workspace.decode() or None, fault.decode(), known == b"1")

    def unacknowledged(self, workspaces: Iterable[str] = ()) -> int:
        """How many records nobody has acknowledged; with a scope, only those that are known to be its own."""
        chosen = set(workspaces)
        return sum(not r.acknowledged and (not chosen or r.workspace_id in chosen) for r in self.records())

    def acknowledged_count(self) -> int:
        """How many records are acknowledged."""
        return int(self._client.hlen(keys.ACKNOWLEDGED))

    def acknowledge(self) -> list[Record]:
        """Acknowledge what is quarantined now, with its present reason; the records that were not before."""
        fresh = [record for record in self.records() if not record.acknowledged]
        for start in range(0, len(fresh), _CHUNK):
            flat = [p for r in fresh[start : start + _CHUNK] for p in (encode_id(r.job_id), r.reason.encode())]
            self._client.execute_command("HSET", keys.ACKNOWLEDGED, *flat)
        return fresh
