"""A server that is far away: a proxy in a process of its own that holds every request back for so long.

``python -m benchmarks.far PORT MILLISECONDS`` prints the port to connect to, and ends with its standard input.
"""

import ctypes
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PR_SET_TIMERSLACK = 29
_CHUNK = 1 << 18


@contextmanager
def far(port: int, milliseconds: float) -> Iterator[int]:
    """The port of a proxy before this one, whose round trips are so much longer."""
    command = [sys.executable, "-m", "benchmarks.far", str(port), str(milliseconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdin is not None
        assert proxy.stdout is not None
        try:
            yield int(proxy.stdout.readline())
        finally:
            proxy.stdin.close()


def _hold(came: socket.socket, goes: socket.socket, seconds: float) -> None:
    """Forward what comes, so much later; what comes meanwhile is on its way as well."""
    _precise()
    held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_let_go, args=(held, goes), daemon=True).start()
    with suppress(OSError):
        while data := came.recv(_CHUNK):
            held.put((time.perf_counter() + seconds, data))
    held.put((0.0, b""))


def _let_go(held: "queue.SimpleQueue[tuple[float, bytes]]", goes: socket.socket) -> None:
    _precise()
    with suppress(OSError):
        while True:
            due, data = held.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            goes.sendall(data)
        goes.shutdown(socket.SHUT_WR)


def _bring(came: socket.socket, goes: socket.socket) -> None:
    with suppress(OSError):
        while data := came.recv(_CHUNK):
            goes.sendall(data)
        goes.shutdown(socket.SHUT_WR)


def _precise() -> None:
    # It is of the thread: a sleep ends up to 50 microseconds late by default.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _accept(listener: socket.socket, port: int, seconds: float) -> None:
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_hold, args=(client, server, seconds), daemon=True).start()
        threading.Thread(target=_bring, args=(server, client), daemon=True).start()


def main() -> None:
    """Forward until the standard input is closed."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2]) / 1000
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=_accept, args=(listener, port, seconds), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
