"""Ways in which the store fails under the API, for tests of what it then says, and does not say."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.api.conftest import Api
from tests.proxy import Proxy
from tests.servers import Server, until
from tests.store.records import SECRET

Opens = Callable[..., Api]


@contextmanager
def down(server: Server, opens: Opens) -> Iterator[Api]:
    """No connection is taken."""
    with Proxy(server.port) as proxy:
        api = opens(port=proxy.port)
        proxy.point(None)
        yield api


@contextmanager
def cut(server: Server, opens: Opens) -> Iterator[Api]:
    """Each script's connection ends before its reply, and again at every retry."""
    with Proxy(server.port) as proxy:
        api = opens(port=proxy.port)
        for _ in range(40):
            proxy.refuse()
        yield api


@contextmanager
def silent(server: Server, opens: Opens) -> Iterator[Api]:
    """The server takes commands and does not answer."""
    api = opens(socket_timeout=0.05)
    server.main.client_pause(1500)
    try:
        yield api
    finally:
        server.main.client_unpause()


@contextmanager
def full(server: Server, opens: Opens) -> Iterator[Api]:
    """Every write is refused for want of memory."""
    api = opens()
    server.main.config_set("maxmemory", "1")
    try:
        yield api
    finally:
        server.main.config_set("maxmemory", "0")


@contextmanager
def replica(server: Server, opens: Opens) -> Iterator[Api]:
    """The server has become a replica, which takes no writes."""
    api = opens()
    server.main.replicaof("127.0.0.1", 1)
    try:
        yield api
    finally:
        server.main.replicaof("NO", "ONE")


@contextmanager
def busy(server: Server, opens: Opens) -> Iterator[Api]:
    """A script of somebody else runs and runs."""
    api = opens()
    other = server.client(socket_timeout=None)
    server.main.config_set("busy-reply-threshold", "1")

    def loop() -> None:
        try:
            other.eval("while true do end", 0)
        except redis.RedisError:
            return

    running = threading.Thread(target=loop)
    running.start()
    probe = server.client()
    until(lambda: _is_busy(probe), "the script does not run")
    try:
        yield api
    finally:
        probe.execute_command("SCRIPT", "KILL")
        running.join(10)
        server.main.config_set("busy-reply-threshold", "5000")


@contextmanager
def denied(server: Server, opens: Opens) -> Iterator[Api]:
    """The process's user may no longer run scripts."""
    main = server.main
    main.acl_setuser("api", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    api = opens(username="api", password="secret")
    main.acl_setuser("api", enabled=True, commands=["-@scripting"])
    try:
        yield api
    finally:
        main.acl_deluser("api")


@contextmanager
def wrong_types(server: Server, opens: Opens) -> Iterator[Api]:
    """The queue, the index and the requests are keys of another type, full of secrets."""
    api = opens()
    for key in ("ai:queue:pending", "ai:index:acme", f"ai:idempotency:acme:{SECRET}"):
        server.main.delete(key)
        server.main.hset(key, SECRET, SECRET)
    yield api


@contextmanager
def wrong_stage(server: Server, opens: Opens) -> Iterator[Api]:
    """What is recorded as a stage is none."""
    api = opens()
    server.main.hset("ai:migration:stages", "*", SECRET)
    yield api


FAILURES: dict[str, Any] = {
    each.__name__: each for each in (down, cut, silent, full, replica, busy, denied, wrong_types, wrong_stage)
}


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False
