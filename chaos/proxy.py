"""A TCP proxy before a real server that loses replies, refuses commands or holds them back, as a network would.

Planned faults touch commands that run a script, and only those whose turn it is; a storm may touch any command. It can
be pointed to another server, or to none.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Self


@dataclass(frozen=True)
class _Fault:
    after: bool
    then: Callable[[], object] | None = None
    passing: bool = False


BEFORE, AFTER = _Fault(after=False), _Fault(after=True)
"""The connection ends before a command reaches the server, or after it has taken effect and before its reply."""


class Proxy:
    """Forwards one port; use it as a context manager and connect to ``port``.

    Args:
        target: port of the server; ``None`` while there is none.
        remembered: how many of the latest commands are kept by name; default: all.
    """

    def __init__(self, target: int | None, remembered: int | None = None) -> None:
        self._target = target
        self._faults: deque[_Fault] = deque()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._sockets: set[socket.socket] = set()
        self._closed = False
        self.port = int(self._listener.getsockname()[1])
        self.commands: list[bytes] | deque[bytes] = [] if remembered is None else deque(maxlen=remembered)
        self.connections = 0
        self.storm: Callable[[], _Fault | None] | None = None
        """Decides the fate of each command while it blows; called in many threads."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        _end(self._listener)
        self.cut()

    def lose_reply(self, then: Callable[[], object] | None = None) -> None:
        """The next script takes effect, ``then`` happens, and the connection ends before the reply."""
        self._faults.append(_Fault(after=True, then=then))

    def refuse(self, then: Callable[[], object] | None = None) -> None:
        """The connection ends before the next script reaches the server; ``then`` happens first."""
        self._faults.append(_Fault(after=False, then=then))

    def hold(self, then: Callable[[], object]) -> None:
        """Before the next script reaches the server, ``then`` happens."""
        self._faults.append(_Fault(after=False, then=then, passing=True))

    def point(self, target: int | None) -> None:
        """From now on forward to another server, or to none; connections to the present one end."""
        self._target = target
        self.cut()

    def cut(self) -> None:
        """End every connection at once, whatever is on its way."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            _shut(each)

    @property
    def scripts(self) -> int:
        """How many scripts have come through."""
        return sum(name.startswith(b"EVAL") for name in self.commands)

    @property
    def spent(self) -> bool:
        """Whether every planned fault has happened."""
        return not self._faults

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            target = self._target
            try:
                server = socket.create_connection(("127.0.0.1", target or 0))
            except OSError:
                _end(client)
                continue
            self.connections += 1
            with self._lock:
                self._sockets |= {client, server}
            for each in (client, server):
                # As both ends have it: what is sent in pieces would wait for an acknowledgement of each.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target != self._target or self._closed:
                # It was pointed elsewhere between the two steps, and this connection escaped its cut.
                _shut(client)
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        try:
            self._forward(client, server)
        except (OSError, EOFError, ValueError):
            pass  # either end has closed, or both files were closed under a read at the end of the test
        finally:
            with self._lock:
                self._sockets -= {client, server}
            for each in (client, server):
                _end(each)

    def _next_fault(self, name: bytes) -> _Fault | None:
        with self._lock:
            if self._faults and name.startswith(b"EVAL"):
                return self._faults.popleft()
        storm = self.storm
        return storm() if storm else None

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        requests, replies = client.makefile("rb"), server.makefile("rb")
        with requests, replies:
            while True:
                request = _message(requests)
                name = request.split(b"\r\n", 3)[2].upper()
                self.commands.append(name)
                fault = self._next_fault(name)
                if fault and not fault.after:
                    if fault.then:
                        fault.then()
                    if not fault.passing:
                        return
                server.sendall(request)
                reply = _message(replies)
                if fault and fault.after and reply.startswith(b"-NOSCRIPT") and fault is not AFTER:
                    # A script that the server does not know yet has no effect to lose.
                    self._faults.appendleft(fault)
                elif fault and fault.after:
                    if fault.then:
                        fault.then()
                    return
                client.sendall(reply)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


def _end(each: socket.socket) -> None:
    _shut(each)
    each.close()


def _message(stream: BinaryIO) -> bytes:
    """One whole RESP message, as bytes."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    kind, rest = line[:1], line[1:-2]
    if kind in b"$=!" and int(rest) >= 0:
        return line + stream.read(int(rest) + 2)
    if kind in b"*~>%" and int(rest) > 0:
        return line + b"".join(_message(stream) for _ in range(int(rest) * (2 if kind == b"%" else 1)))
    return line
