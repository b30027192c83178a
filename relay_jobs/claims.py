"""Claims: a worker holds a job for a lease; an expired claim is offered again, and the late worker is refused."""

import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from relay_jobs import keys
from relay_jobs.calls import OUTCOME_TTL_MS, Calls
from relay_jobs.errors import ClaimLost, UsageError
from relay_jobs.jobs import Job, encode_id, job_from_row, job_id_bytes, parse_job_id
from relay_jobs.scripting import Arg, Script

_CLAIM = Script("claim_job")
_RENEW = Script("renew_claim")

# Entries that one claim looks at before it lets other clients in.
_BUDGET = 100
_POLL_SECONDS = (0.02, 0.25)
# So many claims are remembered that a worker's late update can be told from a bystander's.
_REMEMBERED = 10_000


class Claims:
    """Takes jobs from the queue and remembers the fencing token of each."""

    def __init__(self, calls: Calls, lease_seconds: float) -> None:
        self._calls = calls
        self._lease_ms = round(lease_seconds * 1000)
        self._tokens: OrderedDict[tuple[str, str], str] = OrderedDict()

    def claim(self, worker_id: str, timeout_seconds: float, stamp: Callable[[], str]) -> Job | None:
        """The next job, waiting up to ``timeout_seconds`` for one."""
        worker = job_id_bytes(worker_id, "worker id")
        # Written so that NaN is refused too.
        if not timeout_seconds >= 0:
            msg = f"invalid timeout_seconds {timeout_seconds!r}: allowed is 0 or more"
            raise UsageError(msg)
        deadline = time.monotonic() + timeout_seconds
        pause, longest = _POLL_SECONDS
        while True:
            job = self._next(worker, stamp())
            left = deadline - time.monotonic()
            if job is not None or left <= 0:
                return job
            time.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 -- jitter, not secrecy
            pause = min(pause * 2, longest)

    def renew(self, job_id: str, worker_id: str) -> datetime:
        """Renew a claim; the time at which it ends now."""
        identity, worker = parse_job_id(job_id), job_id_bytes(worker_id, "worker id")
        args: list[Arg] = [worker, encode_id(identity), self.token(None, identity), self._lease_ms]
        reply = self._calls.run(_RENEW, (keys.CLAIMS, keys.CLAIMANTS), *args)
        if reply[0] != b"ok":
            raise ClaimLost(identity)
        return datetime.fromtimestamp(int(reply[1]) / 1000, UTC)

    def token(self, workspace: str | None, job_id: str) -> str:
        """Fencing token of the claim that this store took, '' if it took none."""
        if workspace is not None:
            return self._tokens.get((workspace, job_id), "")
        # As they are at one moment: another thread may claim or end a job meanwhile.
        return next((token for (_, held), token in list(self._tokens.items()) if held == job_id), "")

    def forget(self, workspace: str, job_id: str) -> None:
        """The job is finished or gone."""
        self._tokens.pop((workspace, job_id), None)

    def _next(self, worker: bytes, stamp: str) -> Job | None:
        token = uuid.uuid4().hex
        where = (keys.call(token), keys.QUEUE, keys.CLAIMS, keys.CLAIMANTS)
        args: list[Arg] = [worker, token, self._lease_ms, stamp, *self._calls.routing, OUTCOME_TTL_MS]
        while True:
            reply = self._calls.write("", _CLAIM, where, *args, _BUDGET)
            if reply[0] == b"empty":
                return None
            if reply[0] == b"ok":
                break
        workspace = reply[2].decode()
        job = job_from_row(workspace, reply[3])
        self._tokens[workspace, job.job_id] = token
        while len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return job
