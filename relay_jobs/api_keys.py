"""API keys: random secrets, each bound to a workspace, an actor and scopes; only their hash is kept."""

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.client import NEVER_DECODE
from redis.retry import Retry

from relay_jobs import keys
from relay_jobs.errors import Refused, UsageError
from relay_jobs.jobs import WorkspaceId, decode_id, encode_id, parse_job_id, parse_workspace

_SECRET_BYTES, _ID_BYTES = 32, 8
_TOKEN = re.compile(r"rj_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_LIFE = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Scope(StrEnum):
    """What a key allows."""

    READ = "jobs:read"
    WRITE = "jobs:write"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed: everything but the secret."""

    key_id: str
    workspace_id: WorkspaceId
    actor_id: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_at: str | None


class ApiKeys:
    """The keys of one store.

    Args:
        client: a ``redis.Redis`` of the job store.
        retry_attempts: how often a look-up is sent again after a connection error.
        now: the clock that stamps keys.
    """

    def __init__(
        self,
        client: "redis.Redis",
        retry_attempts: int = 0,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._now = client, now
        self._retry = Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.02), retry_attempts)

    def create(
        self, workspace_id: str, actor_id: str, scopes: Sequence[Scope], life: timedelta | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which nothing can show a second time.

        Raises:
            UsageError: a malformed workspace or actor, or no scope.
        """
        workspace, actor = parse_workspace(workspace_id), parse_job_id(actor_id, "actor")
        if not scopes:
            raise UsageError("a key needs at least one scope")
        secret, key_id = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(_ID_BYTES)
        now = self._now()
        ends = None if life is None else now + life
        chosen = tuple(scope for scope in Scope if scope in scopes)
        made = ApiKey(key_id, workspace, actor, chosen, _stamp(now), None if ends is None else _stamp(ends))
        with self._client.pipeline() as pipe:
            # First what can fail by its type: a record that is not listed could not be revoked.
            pipe.zadd(keys.API_KEY_IDS, {key_id: "+inf" if ends is None else _milliseconds(ends)})
            pipe.zremrangebyscore(keys.API_KEY_IDS, "-inf", _milliseconds(now))
            pipe.hset(keys.api_key(key_id), mapping=_record(made, secret))
            if ends is not None:
                pipe.pexpireat(keys.api_key(key_id), _milliseconds(ends))
            pipe.execute()
        return made, f"rj_{key_id}_{secret}"

    def find(self, token: str) -> ApiKey | None:
        """The key of a token, ``None`` for one that is malformed, unknown, revoked or expired; one look-up."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            return None
        key_id, secret = parts.groups()
        record = self._retry.call_with_retry(lambda: self._read(key_id), lambda _: None)
        expected = record.get(b"digest", b"")
        if not hmac.compare_digest(_digest(secret), expected):
            return None
        return _api_key(key_id, record)

    def revoke(self, key_id: str) -> None:
        """End a key: every request from now on is refused.

        Raises:
            Refused: there is no such key.
        """
        with self._client.pipeline() as pipe:
            pipe.delete(keys.api_key(key_id))
            pipe.zrem(keys.API_KEY_IDS, key_id)
            if not any(pipe.execute()):
                raise Refused(f"there is no key {key_id!r:.80}", ["'relay-jobs api-key list' shows them"])

    def all(self) -> list[ApiKey]:
        """Every key that can be used, oldest first."""
        ids = [raw.decode() for raw in self._ask("ZRANGE", keys.API_KEY_IDS, 0, -1)]
        found = ((key_id, self._read(key_id)) for key_id in ids)
        return sorted((_api_key(key_id, record) for key_id, record in found if record), key=lambda key: key.created_at)

    def _read(self, key_id: str) -> dict[bytes, bytes]:
        record: dict[bytes, bytes] = self._ask("HGETALL", keys.api_key(key_id))
        return record

    def _ask(self, *command: Any) -> Any:
        return self._client.execute_command(*command, **{NEVER_DECODE: []})


def parse_life(text: str) -> timedelta:
    """A number with s, m, h or d."""
    parts = _LIFE.fullmatch(text)
    if parts is None:
        msg = f"invalid duration {text!r:.40}: allowed is a whole number with s, m, h or d, such as 90d"
        raise UsageError(msg)
    return timedelta(seconds=int(parts[1]) * _UNITS[parts[2]])


def _digest(secret: str) -> bytes:
    # A fast hash: 256 random bits cannot be guessed, whatever a guess costs, and every request pays for it.
    return sha256(secret.encode()).hexdigest().encode()


def _record(key: ApiKey, secret: str) -> dict[Any, Any]:
    return {
        "digest": _digest(secret),
        "workspace_id": key.workspace_id,
        "actor_id": encode_id(key.actor_id),
        "scopes": " ".join(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at or "",
    }


def _api_key(key_id: str, record: dict[bytes, bytes]) -> ApiKey:
    granted = record[b"scopes"].decode().split()
    return ApiKey(
        key_id=key_id,
        workspace_id=parse_workspace(record[b"workspace_id"].decode()),
        actor_id=decode_id(record[b"actor_id"]),
        scopes=tuple(Scope(scope) for scope in granted),
        created_at=record[b"created_at"].decode(),
        expires_at=record[b"expires_at"].decode() or None,
    )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
