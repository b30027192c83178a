"""Enqueues: one or several new jobs in one atomic step, all of them or none."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from relay_jobs import keys
from relay_jobs.calls import OUTCOME_TTL_MS, Calls, token
from relay_jobs.errors import IdempotencyConflict, JobExists, UsageError
from relay_jobs.jobs import (
    Enqueued,
    NewJob,
    WorkspaceId,
    decode_id,
    encode_json,
    encode_text,
    job_id_bytes,
    parse_job_id,
)
from relay_jobs.scripting import Arg, Script

_ENQUEUE = Script("enqueue_jobs")

# A script holds up everyone else.
JOBS_MAX = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The scripts' own: beyond it a double is no exact integer.
_SCORE_MAX = 2**53 - 1
# In milliseconds, as they are sent.
_REMEMBER = b"%d" % (24 * 3600 * 1000)
_KEEP = b"%d" % OUTCOME_TTL_MS
_TTL_MAX_SECONDS = 100 * 366 * 86_400


class Enqueueing:
    """Makes the jobs of one store."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def all(self, workspace: WorkspaceId, jobs: Sequence[NewJob], actor_id: str, now: datetime) -> tuple[Enqueued, ...]:
        """Create and queue them; answers in their order."""
        if not 1 <= len(jobs) <= JOBS_MAX:
            msg = f"invalid number of jobs {len(jobs)}: allowed is 1 to {JOBS_MAX}"
            raise UsageError(msg)
        # Under its request a job of a new id is known as this call's own, without a record of the call.
        known = not [job for job in jobs if job.job_id is not None or job.client_request_id is None]
        outcome, keep = (keys.NO_CALL, b"") if known else (keys.call(token()), _KEEP)
        where = [outcome, keys.QUEUE, keys.index(workspace)]
        actor = encode_text(actor_id, "actor_id")
        stamp = now.isoformat(timespec="microseconds")
        args: list[Arg] = [workspace, *self._calls.routing, keep, _REMEMBER, actor, stamp, _score(now)]
        ids = []
        for job in jobs:
            raw = _new_id() if job.job_id is None else job_id_bytes(job.job_id)
            ids.append(raw)
            where += [*keys.copies(workspace, raw), *_request(workspace, job)]
            payload = _payload(job)
            digest = b"" if job.client_request_id is None else _digest(payload)
            args += [raw, digest, _milliseconds(job.ttl_seconds), *payload]
        reply = self._calls.write(workspace, _ENQUEUE, tuple(where), *args)
        if reply[0] == b"conflict":
            raise IdempotencyConflict(str(jobs[int(reply[1]) - 1].client_request_id))
        if reply[0] == b"taken":
            raise JobExists(decode_id(ids[int(reply[1]) - 1]))
        answers = zip(reply[2::2], reply[3::2], strict=True)
        return tuple([Enqueued(decode_id(job_id), created == b"1") for job_id, created in answers])


def _score(now: datetime) -> bytes:
    """Microseconds since 1970, as the scripts read them out of a job's time: its place in the index."""
    return b"%d" % max(-_SCORE_MAX, min((now - _EPOCH) // _MICROSECOND, _SCORE_MAX))


def _new_id() -> bytes:
    """A random UUID (version 4), as text."""
    digits = token()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}".encode()


def _request(workspace: WorkspaceId, job: NewJob) -> tuple[bytes, bytes]:
    """Keys of the request id and of its payload's digest; the same key stands for both if there is no request id."""
    if job.client_request_id is None:
        return keys.NO_CALL, keys.NO_CALL
    request = parse_job_id(job.client_request_id, "client_request_id")
    return keys.idempotency(workspace, request), keys.digest(workspace, request)


def _payload(job: NewJob) -> tuple[bytes, bytes, bytes]:
    provider = encode_text(job.action_provider, "action_provider")
    return provider, encode_text(job.action_name, "action_name"), encode_json(job.params, "params")


def _digest(payload: tuple[bytes, bytes, bytes]) -> bytes:
    provider, name, params = payload
    parts = (len(provider), provider, len(name), name, len(params), params)
    return sha256(b"%d:%b%d:%b%d:%b" % parts).hexdigest().encode()


def _milliseconds(ttl_seconds: float | None) -> bytes:
    if ttl_seconds is None:
        return b""
    # Written so that NaN is refused too.
    if not 0.001 <= ttl_seconds <= _TTL_MAX_SECONDS:
        msg = f"invalid ttl_seconds {ttl_seconds!r}: allowed is 0.001 to {_TTL_MAX_SECONDS}"
        raise UsageError(msg)
    return b"%d" % round(ttl_seconds * 1000)
