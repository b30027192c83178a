"""The ladder in Redis: recorded stages, the statements and proofs that its gates stand on, and the moves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from relay_jobs import keys
from relay_jobs.gates import Facts, Proof
from relay_jobs.scripting import Script
from relay_jobs.servers import read_hash
from relay_jobs.stages import Stage

_MOVE = Script("move_stage", "engine")

EVERYONE = keys.EVERYONE.decode()
FINDINGS = ("missing", "different", "extra")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded: stages by workspace (``*`` for all others), and the dual-write epoch."""

    stages: Mapping[str, Stage]
    epoch: str

    def of(self, scope: str) -> Stage | None:
        """The recorded stage of a workspace, or of all others (``*``)."""
        return self.stages.get(scope) or self.stages.get(EVERYONE)

    @property
    def all_legacy(self) -> bool:
        """Whether something is recorded, and nothing above ``legacy``."""
        return bool(self.stages) and all(stage is Stage.LEGACY for stage in self.stages.values())

    def lowest(self, workspaces: Sequence[str]) -> Stage | None:
        """The lowest recorded stage in a scope (empty for all others), ``None`` where nothing is recorded."""
        stages = [stage for stage in (self.of(workspace) for workspace in workspaces or (EVERYONE,)) if stage]
        return min(stages, key=lambda stage: stage.rung, default=None)

    def own(self, scope: str) -> bool:
        """Whether a workspace has a stage of its own (``*`` has)."""
        return scope in self.stages or scope == EVERYONE

    def covers(self, workspaces: Sequence[str]) -> bool:
        """Whether every workspace of the scope (all, if empty) has a recorded stage."""
        return all(self.of(workspace) for workspace in workspaces or (EVERYONE,))


@dataclass(frozen=True, slots=True)
class Stranger:
    """A connection whose client name is not the library's."""

    name: str
    address: str
    last_command: str


class Ladder:
    """Recorded stages of one server."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def recorded(self) -> Recorded:
        """Recorded stages and epoch."""
        raw = read_hash(self._client, keys.STAGES)
        epoch = raw.pop(keys.EPOCH, b"0").decode()
        return Recorded({scope.decode(): Stage(stage.decode()) for scope, stage in raw.items()}, epoch)

    def move(self, scope: str, seen: Recorded, rungs: Sequence[Stage], event: dict[str, Any], server: str = "") -> bool:
        """Move in one step; whether the scope still stood where the mover has seen it.

        ``server`` is the process that the gate was judged on, '' for a move that no gate was in the way of.
        """
        where = (keys.STAGES, keys.HISTORY, keys.SEALED_SINCE)
        stood, default = (seen.stages.get(name, "") for name in (scope, EVERYONE))
        text = json.dumps(event, sort_keys=True)
        reply = _MOVE(self._client, where, scope, stood, default, seen.epoch, text, server, *rungs)
        return bool(reply[0] == b"ok")

    def facts(
        self, scope: str, recorded: Recorded, *, server: str, proof_max_age_hours: float, unacknowledged: int
    ) -> Facts:
        """What the gates have to know about a scope."""
        verifications = self._records(keys.VERIFICATIONS, scope)
        return Facts(
            epoch=recorded.epoch,
            server=server,
            now=self.now(),
            proof_max_age_hours=proof_max_age_hours,
            statement_at=self._stated_at(scope, recorded.epoch),
            withdrawn_at=self._withdrawn_at(scope),
            passes=[Proof.from_record(record) for record in self._records(keys.PASSES, scope)],
            verifications=[Proof.from_record(_about(scope, record, recorded)) for record in verifications],
            unacknowledged=unacknowledged,
            flag="" if scope == EVERYONE else f" --workspace {scope}",
        )

    def state_writers_gone(self, scope: str, epoch: str, who: str) -> None:
        """Record the operator's statement that no process without the library writes any more."""
        record = {"at": self.now(), "epoch": epoch, "who": who}
        self._client.hset(keys.STATEMENTS, scope, json.dumps(record))
        self.note({"event": "legacy_writers_gone", "scope": scope, "who": who})

    def writers_gone(self, workspaces: Sequence[str], recorded: Recorded) -> bool:
        """Whether no process without the library writes any more in a scope (empty for all), by stage or statement."""
        scopes = [scope for scope in workspaces or recorded.stages if recorded.of(scope) is Stage.DUAL_WRITE]
        return all(self._stated_at(scope, recorded.epoch) is not None for scope in scopes)

    def record_verification(self, scope: str, record: Mapping[str, Any]) -> None:
        """Record a verification of a workspace, or of everything (``*``)."""
        self._client.hset(keys.VERIFICATIONS, scope, json.dumps(record, sort_keys=True))

    def note(self, event: dict[str, Any]) -> None:
        """Keep an event in the history."""
        self._client.lpush(keys.HISTORY, json.dumps({"at": self.now(), **event}, sort_keys=True))

    def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """Newest events first."""
        return [json.loads(text) for text in self._client.lrange(keys.HISTORY, 0, limit - 1)]

    def last(self, key: bytes) -> dict[str, Any]:
        """Records of the last pass or verification, by scope."""
        return {scope.decode(): json.loads(text) for scope, text in read_hash(self._client, key).items()}

    def sealed_since(self, scope: str, recorded: Recorded) -> bool:
        """Whether the scope was sealed and its legacy copies were not written back since."""
        return bool(self._client.hexists(keys.SEALED_SINCE, scope if recorded.own(scope) else EVERYONE))

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        seconds, micros = self._client.time()
        return float(seconds) + float(micros) / 1e6

    def strangers(self, ours: str) -> list[Stranger]:
        """Connections that do not carry the library's name; replicas and this process's own are left out."""
        clients: list[dict[str, str]] = self._client.client_list()
        own = str(self._client.client_id())
        return [
            Stranger(c.get("name") or "(no name)", c.get("addr", ""), c.get("cmd", ""))
            for c in clients
            if not c.get("name", "").startswith(ours) and c.get("id") != own and c.get("flags") not in {"S", "M"}
        ]

    def _stated_at(self, scope: str, epoch: str) -> float | None:
        """When it was last stated for a scope that no old process is left; a rollback withdraws that."""
        since = self._withdrawn_at(scope)
        found = [s["at"] for s in self._records(keys.STATEMENTS, scope) if s["epoch"] == epoch and s["at"] >= since]
        return max(found, default=None)

    def _withdrawn_at(self, scope: str) -> float:
        return max(float(at or 0) for at in self._client.hmget(keys.WITHDRAWN, [scope, EVERYONE]))

    def _records(self, key: bytes, scope: str) -> list[dict[str, Any]]:
        """The scope's own record and the one of everything, where there are any."""
        raw = read_hash(self._client, key)
        return [json.loads(raw[name]) for name in {scope.encode(), keys.EVERYONE} if name in raw]


def _about(scope: str, record: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    """What a verification says about one scope alone: all workspaces without a stage of their own are one."""
    found: Mapping[str, Mapping[str, int]] = record["findings"]
    own = [n for name, n in found.items() if (name == scope or (scope == EVERYONE and not recorded.own(name)))]
    counts = {name: sum(n.get(name, 0) for n in own) for name in FINDINGS}
    stages: Mapping[str, str] = record["stages"]
    stage = stages.get(scope, stages.get(EVERYONE, ""))
    return {**record, "books": {**record["books"], **counts}, "stage": stage}
