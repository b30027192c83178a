"""Names of every key, in one place; the Lua scripts get theirs from here too."""

import base64
import hashlib
from collections.abc import Iterable

from relay_jobs.jobs import encode_id

LEGACY_PREFIX = b"ai:jobs:"
WORKSPACE_PREFIX = b"ai:job:"
QUEUE = b"ai:queue:pending"
IDEMPOTENCY_PREFIX = b"ai:idempotency:"
INDEX_PREFIX = b"ai:index:"

OURS = b"ai:migration:"
STAGES = OURS + b"stages"  # hash: workspace, or '*' for all others -> stage; '*epoch' -> dual-write epoch
SEALED_SINCE = OURS + b"unreversed"  # hash: workspaces (or '*') that were sealed and not reversed since
HISTORY = OURS + b"history"  # list of JSON events, newest first
WITHDRAWN = OURS + b"withdrawn"  # hash: scope -> when it last came back to dual_write from above, in seconds since 1970
STATEMENTS = OURS + b"statements"  # hash: scope -> JSON, that no process without the library writes any more
PASSES = OURS + b"passes"  # hash: scope -> JSON of its last complete pass
VERIFICATIONS = OURS + b"verifications"  # hash: scope -> JSON of its last verification
INDEXED = OURS + b"indexed"  # hash: workspace or '*' -> epoch in which a pass has indexed all of it
LEASE = OURS + b"lease"  # hash: the run that holds it
FENCE = OURS + b"fence"  # counter of fencing tokens
CONTROL = OURS + b"control"  # hash: paused, rps, with who, why and since when
BUCKET = OURS + b"bucket"  # hash: rate limiter's theoretical arrival times in microseconds
COUNTERS = OURS + b"counters"  # hash: Prometheus counters of work done in short-lived processes
LABELS = OURS + b"labels"  # set: workspaces whose counters have a label of their own
QUARANTINE = OURS + b"quarantine"  # hash: legacy job id -> reason and workspace
ACKNOWLEDGED = OURS + b"quarantine:acknowledged"  # hash: legacy job id -> reason that was acknowledged
CLAIMS = OURS + b"claims"  # sorted set: claimed job -> lease end in milliseconds
CLAIMANTS = OURS + b"claimants"  # hash: claimed job -> token and worker
SET_ASIDE = OURS + b"set_aside"  # list: queue entries of quarantined jobs
WALK_SEQUENCE = OURS + b"walk_sequence"  # counter: orders listings against late index entries
RUNS = OURS + b"runs"  # sorted set: run id -> start in milliseconds

# Credentials are not the migration's: a key of its own for each, and nothing that a restart of the migration removes.
API_KEYS = b"ai:api-keys:"
API_KEY_IDS = API_KEYS + b"ids"  # sorted set: key id -> end of its life in milliseconds, or +inf
CURSOR_SECRET = API_KEYS + b"cursor_secret"  # string: signs the cursors of the HTTP API

# What a workspace id can never be, so that it can stand beside them as a field name.
EVERYONE = b"*"
EPOCH = b"*epoch"

# Sealed queue entries: a control character cannot occur in an id.
SEPARATOR = b"\x1f"

LUA_NAMES = {
    "legacy": LEGACY_PREFIX,
    "scoped": WORKSPACE_PREFIX,
    "queue": QUEUE,
    "index": INDEX_PREFIX,
    "stages": STAGES,
    "indexed": INDEXED,
    "fence": FENCE,
    "lease": LEASE,
    "control": CONTROL,
    "bucket": BUCKET,
    "counters": COUNTERS,
    "labels": LABELS,
    "quarantine": QUARANTINE,
    "acknowledged": ACKNOWLEDGED,
    "claims": CLAIMS,
    "claimants": CLAIMANTS,
    "set_aside": SET_ASIDE,
    "walk_sequence": WALK_SEQUENCE,
    "walk": OURS + b"walk:",
    "late": OURS + b"late:",
    "unreversed": SEALED_SINCE,
    "withdrawn": WITHDRAWN,
    "history": HISTORY,
    "runs": RUNS,
}


def legacy(job_id: str) -> bytes:
    """Key of a job's legacy copy."""
    return LEGACY_PREFIX + encode_id(job_id)


def scoped(workspace_id: str, job_id: str) -> bytes:
    """Key of a job's workspace copy."""
    return WORKSPACE_PREFIX + workspace_id.encode() + b":" + encode_id(job_id)


def copies(workspace_id: str, raw_id: bytes) -> tuple[bytes, bytes]:
    """Keys of both copies of a job, given the bytes of its id."""
    return LEGACY_PREFIX + raw_id, b"%b%b:%b" % (WORKSPACE_PREFIX, workspace_id.encode(), raw_id)


def index(workspace_id: str) -> bytes:
    """Key of the workspace's listing index."""
    return INDEX_PREFIX + workspace_id.encode()


def idempotency(workspace_id: str, client_request_id: str) -> bytes:
    """Key of a request's first job id."""
    return IDEMPOTENCY_PREFIX + workspace_id.encode() + b":" + encode_id(client_request_id)


def digest(workspace_id: str, client_request_id: str) -> bytes:
    """Key of the digest of a request's payload."""
    return OURS + b"digest:" + workspace_id.encode() + b":" + encode_id(client_request_id)


def call(token: str) -> bytes:
    """Key of the outcome of one call, so that a retry within it is not taken for a second one."""
    return OURS + b"call:" + token.encode()


# Stands where the key of an outcome would, in a call that keeps none; there is never anything under it.
NO_CALL = call("")


def progress(name: str) -> bytes:
    """Key of a pass's checkpoint; ``name`` is the operator's progress key."""
    return OURS + b"progress:" + encode_id(name)


def pending(name: str, partition: int) -> bytes:
    """Key of the scanned, not yet examined keys of a partition."""
    return progress(name) + b":pending:%d" % partition


def run(run_id: str) -> bytes:
    """Key of a run's record."""
    return OURS + b"run:" + encode_id(run_id)


def partition_lease(name: str, partition: int) -> bytes:
    """Key of a partition's lease."""
    return progress(name) + b":lease:%d" % partition


def api_key(key_id: str) -> bytes:
    """Key of an API key's record; an id is hexadecimal and never meets the other names."""
    return API_KEYS + b"key:" + key_id.encode()


def scope_name(workspaces: Iterable[str]) -> str:
    """Default progress key of a scope, the same for the same set of workspaces."""
    chosen = sorted(set(workspaces))
    if not chosen:
        return "all"
    if len(chosen) == 1:
        return f"only:{chosen[0]}"
    packed = hashlib.sha256("\n".join(chosen).encode()).digest()[:12]
    return f"only:{len(chosen)}:{base64.urlsafe_b64encode(packed).decode()}"
