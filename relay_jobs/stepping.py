"""The steps of one walk: sent, timed, and rested between, as its pace says."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import redis

from relay_jobs.load import Load
from relay_jobs.pace import Pace
from relay_jobs.scripting import Arg, Script

Sleep = Callable[[float], None]
Clock = Callable[[], float]

LOOK_SECONDS = 1.0
# Soonest, when something has come up.
LOOK_AGAIN_SECONDS = 0.2
_SECTIONS = ("cpu", "memory", "clients", "replication")
# Looks that say how many blocked clients are usual.
_USUAL = 60
# A server that writes next to nothing is not far behind by the seconds that this little would take.
_LEAST_WRITES = 1_000_000


def microseconds(seconds: float | None) -> Arg:
    """As a script takes it; '' for no limit."""
    return "" if seconds is None else round(seconds * 1e6)


class Steps:
    """Sends the steps of a walk.

    Args:
        client: the server.
        pace: how fast.
        sleep: how to rest.
        clock: seconds, of any beginning.

    Attributes:
        used: seconds of the server that the last step took; 0 at full speed, where nobody asks.
    """

    def __init__(
        self, client: "redis.Redis", pace: Pace, *, sleep: Sleep = time.sleep, clock: Clock = time.perf_counter
    ) -> None:
        self._client, self._sleep, self._clock = client, sleep, clock
        self.pace = pace
        self._looker = Looker(client)
        self._looked_at: float | None = None
        self._began = self._waited = 0.0
        self._stepped_at: float | None = None
        self.used = 0.0

    def send(self, script: Script, keys: tuple[bytes, ...], *args: Arg, read_only: bool | None = None) -> list[Any]:
        """Run a step.

        Raises:
            redis.exceptions.RedisError: as redis-py raises it; no argument is ever part of the message.
        """
        self._began = self._clock()
        if not self.pace.polite:
            return script(self._client, keys, *args, read_only=read_only)
        reply, used = script.timed(self._client, keys, *args, read_only=read_only)
        elapsed = self._clock() - self._began
        # More than that it cannot be, unless the server's clock was set.
        self.used = min(used, elapsed)
        self._waited = elapsed - self.used
        return reply

    def rest(self, at_least: float = 0.0, *, next_in: float | None = None, walked: float | None = None) -> None:
        """After a step that has examined keys: let the pace know, and rest until it is time for the next one.

        Args:
            at_least: seconds to rest.
            next_in: seconds from the beginning of the step to the next one, if that is not for this walk to say.
            walked: seconds of the server that all walks have taken so far, if that is known.
        """
        since = 0.0 if self._stepped_at is None else self._began - self._stepped_at
        self._stepped_at = self._began
        self.pace.stepped(self.used, self._waited, since, walked)
        self.look()
        # A turn counts from when the server was at the step, not from when that was sent.
        queued = 0.0 if next_in is None else self.pace.queued(self._waited)
        spacing = self.pace.spacing if next_in is None else next_in
        wanted = min(spacing, self._began + queued + spacing - self._clock())
        if max(wanted, at_least) > 0:
            self._sleep(max(wanted, at_least))

    def work(self, script: Script, keys: tuple[bytes, ...], *args: Arg) -> list[Any]:
        """Run what is no step, as the repair of one job, and rest behind it by the share that walks may take.

        Raises:
            redis.exceptions.RedisError: as redis-py raises it; no argument is ever part of the message.
        """
        reply = self.send(script, keys, *args)
        rest = self.pace.worked(self.used)
        self.look()
        if rest > 0:
            self._sleep(rest)
        return reply

    def hibernate(self) -> None:
        """Rest until the next look at the server."""
        self._sleep(LOOK_SECONDS)
        self._look(self._clock())

    def look(self) -> None:
        """Look at the server, once a second, and sooner where a step has waited for what no look has shown."""
        now, after = self._clock(), LOOK_AGAIN_SECONDS if self.pace.startled else LOOK_SECONDS
        if self.pace.polite and (self._looked_at is None or now - self._looked_at >= after):
            self._look(now)

    def _look(self, now: float) -> None:
        elapsed = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        self.pace.looked(self._looker.look(now), elapsed)


class Looker:
    """What a server says of its load in ``INFO``; whatever a server does not say is not known."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._at: float | None = None
        self._before: dict[str, float] = {}
        self._blocked: deque[int] = deque(maxlen=_USUAL)

    def look(self, now: float) -> Load:
        """One look, at ``now`` in seconds of the caller's clock."""
        said: Mapping[str, Any] = self._client.info(*_SECTIONS)
        elapsed = None if self._at is None else now - self._at
        self._at = now
        usually = median(self._blocked) if self._blocked else said.get("blocked_clients", 0)
        self._blocked.append(int(said.get("blocked_clients", 0)))
        limit = said.get("maxmemory", 0)
        return Load(
            busy=self._a_second(said, elapsed, "used_cpu_user_main_thread", "used_cpu_sys_main_thread"),
            memory=said["used_memory"] / limit if limit and "used_memory" in said else None,
            replica_seconds=self._replica_seconds(said, elapsed),
            blocked=self._blocked[-1],
            blocked_usually=round(usually),
        )

    def _a_second(self, said: Mapping[str, Any], elapsed: float | None, *names: str) -> float | None:
        """How fast a counter, or the sum of some, has grown since the look before."""
        if not all(name in said for name in names):
            return None
        now = sum(float(said[name]) for name in names)
        before, self._before[names[0]] = self._before.get(names[0], now), now
        return max(0.0, now - before) / elapsed if elapsed else None

    def _replica_seconds(self, said: Mapping[str, Any], elapsed: float | None) -> float | None:
        """By the bytes it is behind and how many are written a second, or by how long it is silent."""
        offset = float(said.get("master_repl_offset", 0))
        writes = max(_LEAST_WRITES, self._a_second(said, elapsed, "master_repl_offset") or 0)
        replicas = [said.get(f"slave{number}") for number in range(int(said.get("connected_slaves", 0)))]
        behind = [_behind(replica, offset, writes) for replica in replicas if isinstance(replica, Mapping)]
        return max(behind, default=None)


def _behind(replica: Mapping[str, Any], offset: float, writes: float) -> float:
    # It tells its offset once a second only, and is not behind for that.
    bytes_behind = max(0.0, offset - float(replica.get("offset", offset)))
    return max(bytes_behind / writes - 1, float(replica.get("lag", 0)) - 1)
