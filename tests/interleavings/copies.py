"""What is in Redis at one instant, read without the library, and the contract's rules of what that means."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import product

import redis
from redis.exceptions import NoScriptError

from relay_jobs import Stage
from tests.store.records import legacy, scoped

WORKSPACES = ("acme", "zeta")
NEVER = -1
_WORKSPACE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

# The contract's ladder: what a stage reads, in order; whether it writes both schemas.
READS = {
    Stage.LEGACY: ("legacy",),
    Stage.DUAL_WRITE: ("legacy",),
    Stage.NEW_FIRST: ("workspace", "legacy"),
    Stage.NEW_ONLY: ("workspace",),
    Stage.SEALED: ("workspace",),
}
WRITES_BOTH = frozenset({Stage.DUAL_WRITE, Stage.NEW_FIRST, Stage.NEW_ONLY})
WRITES_LEGACY = WRITES_BOTH | {Stage.LEGACY}
WITHOUT_FALLBACK = frozenset({Stage.NEW_ONLY, Stage.SEALED})
READS_LEGACY_FIRST = frozenset({Stage.LEGACY, Stage.DUAL_WRITE})


@dataclass(frozen=True)
class Copy:
    """A key as it stands: its fields (``None``: it is no hash) and its absolute expiry in milliseconds."""

    fields: Mapping[bytes, bytes] | None
    expiry: int = NEVER

    @property
    def names(self) -> frozenset[bytes]:
        """Names of its fields."""
        return frozenset(self.fields or ())

    def is_whole(self, workspace: str, job_id: str) -> bool:
        """Whether its fields say what its name says."""
        return self.owner(job_id) == workspace

    def owner(self, job_id: str) -> str | None:
        """The workspace it is a valid job of; ``None`` if it is none."""
        if self.fields is None or self.fields.get(b"job_id", job_id.encode()) != job_id.encode():
            return None
        owner = self.fields.get(b"workspace_id", b"")
        return owner.decode() if _WORKSPACE.fullmatch(owner) else None


@dataclass(frozen=True)
class Instant:
    """Both schemas, the index and the recorded stages, of a few jobs in all workspaces."""

    stages: Mapping[str, Stage]
    legacy: Mapping[str, Copy]
    scoped: Mapping[tuple[str, str], Copy]
    indexed: frozenset[tuple[str, str]]

    def stage(self, workspace: str) -> Stage:
        """The stage in force."""
        return self.stages.get(workspace) or self.stages["*"]

    def valid_legacy(self, workspace: str, job_id: str) -> Copy | None:
        """The legacy copy, if it is this workspace's valid job."""
        copy = self.legacy.get(job_id)
        return copy if copy and copy.owner(job_id) == workspace else None

    def whole_scoped(self, workspace: str, job_id: str) -> Copy | None:
        """The workspace copy, if it is one."""
        copy = self.scoped.get((workspace, job_id))
        return copy if copy and copy.is_whole(workspace, job_id) else None

    def read(self, workspace: str, job_id: str) -> Copy | None:
        """What the stage in force reads."""
        sides = {"legacy": self.valid_legacy, "workspace": self.whole_scoped}
        found = (sides[side](workspace, job_id) for side in READS[self.stage(workspace)])
        return next((copy for copy in found if copy), None)

    def aligned(self, workspace: str, job_id: str) -> bool:
        """Whether both copies are there, byte for byte and expiry for expiry, or neither is."""
        return self.valid_legacy(workspace, job_id) == self.whole_scoped(workspace, job_id)

    def finding(self, workspace: str, job_id: str) -> str:
        """What a verification has to say of it."""
        left, right = self.valid_legacy(workspace, job_id), self.whole_scoped(workspace, job_id)
        if left and right:
            return "equal" if left == right else "different"
        if left or right:
            return "missing" if left else "extra"
        return "nothing"

    def difference(self, workspace: str, job_id: str) -> object:
        """In what its two copies differ: their expiries, or the fields that are not the same."""
        left, right = self.valid_legacy(workspace, job_id), self.whole_scoped(workspace, job_id)
        if not left or not right or left.expiry != right.expiry:
            return left and left.expiry, right and right.expiry
        return (left.fields or {}).items() ^ (right.fields or {}).items()

    def quarantined(self, job_id: str) -> bool:
        """Whether there is a legacy key that is no valid job."""
        return job_id in self.legacy and self.legacy[job_id].owner(job_id) is None


# One reply that is parsed at once: a run looks after each of its commands.
_LOOK = """
local function number(value) return string.format('%.0f', value) end
local copies, indexed = {}, {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' then
    indexed[number(i)] = redis.call('ZRANGE', key, 0, -1)
  elseif kind ~= 'none' then
    local flat = kind == 'hash' and redis.call('HGETALL', key) or {}
    copies[number(i)] = {kind, number(redis.call('PEXPIRETIME', key)), flat}
  end
end
return cjson.encode({redis.call('HGETALL', ARGV[1]), copies, indexed})
"""
_SHA = sha1(_LOOK.encode(), usedforsecurity=False).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _pairs(flat: Sequence[str]) -> dict[bytes, bytes]:
    # An empty table is an object in Lua's JSON.
    return {_bytes(flat[i]): _bytes(flat[i + 1]) for i in range(0, len(flat), 2)}


def look(client: redis.Redis, job_ids: Sequence[str]) -> Instant:
    """Read it all in one round trip, with a script of the test's own."""
    places = list(product(WORKSPACES, job_ids))
    names = [*map(legacy, job_ids), *(scoped(j, w) for w, j in places), *(f"ai:index:{w}" for w in WORKSPACES)]
    try:
        reply = client.evalsha(_SHA, len(names), *names, "ai:migration:stages")
    except NoScriptError:
        reply = client.eval(_LOOK, len(names), *names, "ai:migration:stages")
    # Latin-1 is every byte as it is.
    stages, copies, indexed = json.loads(reply.decode("latin-1"))
    found = {
        names[int(at) - 1]: Copy(_pairs(flat) if kind == "hash" else None, int(expiry))
        for at, (kind, expiry, flat) in dict(copies).items()
    }
    members = {names[int(at) - 1]: ids for at, ids in dict(indexed).items()}
    recorded = _pairs(stages)
    return Instant(
        stages={name.decode(): Stage(stage.decode()) for name, stage in recorded.items() if name != b"*epoch"},
        legacy={job_id: found[legacy(job_id)] for job_id in job_ids if legacy(job_id) in found},
        scoped={(w, j): found[scoped(j, w)] for w, j in places if scoped(j, w) in found},
        indexed=frozenset((w, _bytes(m).decode()) for w in WORKSPACES for m in members.get(f"ai:index:{w}", ())),
    )
