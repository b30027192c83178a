"""Listing a workspace page by page: along its index, and until the index is complete through the keyspace too."""

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from relay_jobs import keys
from relay_jobs.calls import Calls
from relay_jobs.errors import InvalidCursor, UsageError
from relay_jobs.jobs import Job, JobStatus, Page, WorkspaceId, decode_id, encode_id, job_from_row
from relay_jobs.scripting import Script

_INDEXED = Script("list_indexed")
_SCANNED = Script("list_scanned")

LIMIT_MAX = 1000
# The keyspace has been walked; ids that did not fit the page may be left.
_ENDED = "end"
# Steps and entries that one call may cost; a page that is not full by then is returned short, with its cursor.
_STEPS = 20
_ENTRIES = 200
# Keys of the keyspace cost more than entries of the index, and a script holds up everyone else.
_KEYS = 100
# SCAN repeats itself where the server's table shrinks, by what it brought last: so many jobs are remembered, each by a
# digest of so many characters.
_REMEMBERED, _DIGEST = 128, 12

_NUMBER = re.compile(r"[0-9]{1,16}")
_SCORE = re.compile(r"|-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?")
_SCAN = re.compile(rf"[0-9]{{1,20}}|{_ENDED}")
_MALFORMED = "the cursor is malformed: pass next_cursor as it was returned"


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a walk stands: in the index (``scan`` is None) behind score and member, or in the keyspace.

    ``left`` are ids that the last SCAN step brought beyond the page's limit, ``shown`` the digests of those before.
    """

    workspace: str
    status: str
    walk: str = ""
    score: str = ""
    member: str = ""
    scan: str | None = None
    left: tuple[str, ...] = ()
    shown: str = ""

    def encode(self) -> str:
        values = [getattr(self, name) for name in self.__slots__]
        return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, workspace: str, status: str) -> "_Position":
        try:
            values = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=="))
            *words, scan, left, shown = values
            own_workspace, own_status, walk, score, member = words
            position = cls(own_workspace, own_status, walk, score, member, scan, tuple(left), shown)
            well_formed = position._is_well_formed()
        except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
            raise InvalidCursor(_MALFORMED) from None
        if not well_formed:
            raise InvalidCursor(_MALFORMED)
        if (position.workspace, position.status) != (workspace, status):
            msg = "the cursor belongs to another listing: workspace and status must stay the same over a walk"
            raise InvalidCursor(msg)
        return position

    def _is_well_formed(self) -> bool:
        for job_id in (self.member, *self.left):
            encode_id(job_id)
        return bool(
            _NUMBER.fullmatch(self.walk)
            and _SCORE.fullmatch(self.score)
            and (self.scan is None or _SCAN.fullmatch(self.scan))
            and (bool(self.left) if self.scan == _ENDED else int(self.scan or 0) < 2**64)
            and isinstance(self.shown, str)
        )


class Listing:
    """Walks of one store."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def page(self, workspace: WorkspaceId, status: JobStatus | None, limit: int, cursor: str | None) -> Page:
        """One page, in a bounded number of round trips."""
        if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
            msg = f"invalid limit {limit!r}: allowed is 1 to {LIMIT_MAX}"
            raise UsageError(msg)
        wanted = "" if status is None else status.value
        position: _Position | None = _Position(workspace, wanted)
        if cursor is not None:
            position = _Position.decode(cursor, workspace, wanted)
        items: list[Job] = []
        for _ in range(_STEPS):
            if position is None or len(items) >= limit:
                break
            found, position = self._step(position, limit - len(items))
            items += found
        return Page(tuple(items), None if position is None else position.encode())

    def _step(self, at: _Position, wanted: int) -> tuple[list[Job], _Position | None]:
        return self._indexed(at, wanted) if at.scan is None else self._scanned(at, wanted)

    def _indexed(self, at: _Position, wanted: int) -> tuple[list[Job], _Position | None]:
        where = (keys.index(at.workspace),)
        entries = max(wanted, _ENTRIES if at.status else wanted)
        member = encode_id(at.member)
        head = (at.workspace, *self._calls.routing, at.status, wanted, entries)
        reply = self._run(_INDEXED, where, *head, at.score, member, at.walk)
        _, kind, walk, score, last_member, last, found = reply
        jobs = _jobs(found, at.workspace)
        after = replace(at, walk=walk.decode(), score=score.decode(), member=decode_id(last_member))
        if last != b"1":
            return jobs, after
        return jobs, replace(after, scan="0") if kind == b"mixed" else None

    def _scanned(self, at: _Position, wanted: int) -> tuple[list[Job], _Position | None]:
        where = (keys.index(at.workspace),)
        head = (at.workspace, *self._calls.routing, at.status, at.walk, at.scan or "0", wanted, max(wanted, _KEYS))
        reply = self._run(_SCANNED, where, *head, *map(encode_id, at.left))
        jobs, scan, shown = _jobs(reply[2], at.workspace), at.scan, at.shown
        if not at.left:
            scan = reply[1].decode() if reply[1] != b"0" else _ENDED
            jobs, shown = _unshown(jobs, shown)
        left = tuple(job.job_id for job in jobs[wanted:])
        if scan == _ENDED and not left:
            return jobs, None
        return jobs[:wanted], replace(at, scan=scan, left=left, shown=shown)

    def _run(self, script: Script, where: tuple[bytes, ...], *args: Any) -> list[Any]:
        reply = self._calls.run(script, where, *args)
        if reply[0] == b"expired":
            msg = "the cursor is too old: the walk rested for more than an hour; begin again without a cursor"
            raise InvalidCursor(msg)
        return reply


def _jobs(found: list[list[Any]], workspace: str) -> list[Job]:
    return [job_from_row(workspace, row) for row in found]


def _unshown(jobs: list[Job], shown: str) -> tuple[list[Job], str]:
    """Jobs that SCAN has not brought before, and the digests of those that it has brought by now."""
    fresh, known = [], {shown[at : at + _DIGEST] for at in range(0, len(shown), _DIGEST)}
    for job in jobs:
        packed = blake2b(encode_id(job.job_id), digest_size=_DIGEST * 3 // 4).digest()
        digest = base64.urlsafe_b64encode(packed).decode()
        if digest not in known:
            known.add(digest)
            fresh.append(job)
            shown += digest
    return fresh, shown[-_REMEMBERED * _DIGEST :]
