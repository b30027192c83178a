"""One call of the job store: one atomic script, one round trip, retried on connection errors, counted and routed."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.client import NEVER_DECODE
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from relay_jobs import keys
from relay_jobs.access import require_access
from relay_jobs.errors import FlagConflict, RelayJobsError, WrongType
from relay_jobs.metrics import StoreMetrics, store_metrics
from relay_jobs.scripting import Arg, Script
from relay_jobs.servers import name_connections, refuse_cluster_client, require_supported
from relay_jobs.settings import Settings
from relay_jobs.stages import READ_PREFERS_NEW, RULES, Side, Stage, flag_conflicts

# A call's outcome is kept for longer than any retry of it can take.
OUTCOME_TTL_MS = 120_000
# After these nobody knows whether a call was done.
_LOST = (redis.ConnectionError, redis.TimeoutError, TimeoutError)

_NAMES = {
    (Side.LEGACY,): "legacy",
    (Side.LEGACY, Side.WORKSPACE): "both",
    (Side.WORKSPACE,): "workspace",
}
# By stage, as a script names it.
_WRITTEN = {stage.value.encode(): _NAMES[rule.writes] for stage, rule in RULES.items()}

_log = logging.getLogger(__name__)


class Calls:
    """Runs the store's scripts on one client.

    ``routing`` is what every script gets to know of this process: the stage that its flags mean (it rules only
    while none is recorded), and whether it reads legacy.
    """

    def __init__(self, client: "redis.Redis", settings: Settings, metrics: StoreMetrics | None) -> None:
        self._client = client
        self.metrics = metrics or store_metrics(settings.max_workspace_labels)
        self.routing = (settings.flag_stage.value, "0" if settings.flags.read_prefers_new else "1")
        self._retry = Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.02), settings.retry_attempts, _LOST)

    def start(self, settings: Settings) -> None:
        """Refuse a server or flags that would break the guarantees.

        Raises:
            UnsupportedServer: a cluster, Redis below 7.0, one that lacks a command, or a user who may run some of the
                writes only.
            FlagConflict: an environment flag contradicts a recorded stage.
            SettingsError: no stage is recorded, and the flags fit none.
        """
        refuse_cluster_client(self._client)
        name_connections(self._client)
        warning = self._attempt(lambda: require_supported(self._client))
        if warning:
            _log.warning(warning)
        self._attempt(lambda: require_access(self._client))
        recorded = self._attempt(lambda: recorded_stages(self._client))
        for scope, stage in recorded.items():
            names = flag_conflicts(settings.flags, stage)
            if names:
                raise FlagConflict(_flag_message(names, stage, scope))
        if keys.EVERYONE.decode() not in recorded:
            settings.require_own_stage()
            _log.warning(
                "no stage is recorded: this process goes by its own flags (%s); record one with 'relay-jobs stage set'",
                settings.flag_stage,
            )

    def run(self, script: Script, where: tuple[bytes, ...], *args: Arg) -> list[Any]:
        """Run a script; the same arguments are sent again after a connection error."""
        reply: Any
        began = time.monotonic()
        try:
            reply = script(self._client, where, *args)
        except _LOST as error:
            reply = self._attempt(lambda: script(self._client, where, *args), began, error)
        # One text is read faster than a list; no id and no name holds a line break.
        if isinstance(reply, bytes):
            reply = reply.split(b"\n")
        if reply[0] == b"flags":
            raise FlagConflict(_flag_message((READ_PREFERS_NEW,), Stage(reply[1].decode()), None))
        if reply[0] == b"type":
            raise WrongType(reply[1].decode("utf-8", "replace"), reply[2].decode())
        return cast("list[Any]", reply)

    def write(self, workspace: str, script: Script, where: tuple[bytes, ...], *args: Arg) -> list[Any]:
        """Run a script that writes a job of ``workspace`` ('' if only the server knows whose it is)."""
        try:
            reply = self.run(script, where, *args)
        except (RedisError, RelayJobsError):
            self.metrics.wrote(workspace, "failed")
            raise
        if reply[0] == b"ok":
            self.metrics.wrote(workspace or reply[2].decode(), _WRITTEN[reply[1]])
        return reply

    def _attempt(self, do: Callable[[], Any], began: float | None = None, failed: Exception | None = None) -> Any:
        """Do it, again on connection errors; ``failed`` is how a first attempt ended that ``began`` before."""
        # Sent again for half as long as an outcome is kept, so that a retry always finds that of its own call.
        until = (time.monotonic() if began is None else began) + OUTCOME_TTL_MS / 2000
        earlier = [] if failed is None else [failed]

        def attempt() -> Any:
            if earlier:
                raise earlier.pop()
            return do()

        def worth_it(error: Exception) -> bool:
            return not isinstance(error, AuthenticationError) and time.monotonic() < until

        return self._retry.call_with_retry(attempt, lambda _: None, is_retryable=worth_it)


def token() -> str:
    """What tells one call from every other."""
    return os.urandom(16).hex()


def recorded_stages(client: "redis.Redis") -> dict[str, Stage]:
    """Recorded stages by workspace; ``*`` is the default for all others."""
    raw = client.execute_command("HGETALL", keys.STAGES, **{NEVER_DECODE: []})
    return {scope.decode(): Stage(stage.decode()) for scope, stage in raw.items() if scope != keys.EPOCH}


def _flag_message(names: tuple[str, ...], stage: Stage, scope: str | None) -> str:
    flags = " and ".join(f"{name}=off" for name in names)
    where = f" of workspace {scope}" if scope not in {None, "*"} else ""
    return (
        f"{flags} contradicts the recorded stage {stage}{where}: "
        f"end it with 'unset {' '.join(names)}' and start the process again"
    )
