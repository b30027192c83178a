"""A TCP proxy before a real server that loses replies, refuses commands or holds them back, as a network would.

Only commands that run a script are touched, and only those whose turn it is; everything else passes.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class _Fault:
    after: bool
    then: Callable[[], object] | None


class Proxy:
    """Forwards one port; use it as a context manager and connect to ``port``."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._faults: deque[_Fault] = deque()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.commands: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def lose_reply(self, then: Callable[[], object] | None = None) -> None:
        """The next script takes effect, ``then`` happens, and the connection ends before the reply."""
        self._faults.append(_Fault(after=True, then=then))

    def refuse(self, then: Callable[[], object] | None = None) -> None:
        """The connection ends before the next script reaches the server; ``then`` happens first."""
        self._faults.append(_Fault(after=False, then=then))

    def hold(self, then: Callable[[], object]) -> None:
        """Before the next script reaches the server, ``then`` happens."""
        self._faults.append(_Fault(after=False, then=_Passing(then)))

    @property
    def scripts(self) -> int:
        """How many scripts have come through."""
        return sum(name.startswith(b"EVAL") for name in self.commands)

    @property
    def spent(self) -> bool:
        """Whether every planned fault has happened."""
        return not self._faults

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self.connections += 1
            self._sockets += [client, server]
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        try:
            self._forward(client, server)
        except (OSError, EOFError, ValueError):
            pass  # either end has closed, or both files were closed under a read at the end of the test
        finally:
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _next_fault(self, name: bytes) -> _Fault | None:
        with self._lock:
            return self._faults.popleft() if self._faults and name.startswith(b"EVAL") else None

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
                    if not isinstance(fault.then, _Passing):
                        return
                server.sendall(request)
                reply = _message(replies)
                if fault and fault.after and reply.startswith(b"-NOSCRIPT"):
                    # A script that the server does not know yet has no effect to lose.
                    self._faults.appendleft(fault)
                elif fault and fault.after:
                    if fault.then:
                        fault.then()
                    return
                client.sendall(reply)


class _Passing:
    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then

    def __call__(self) -> None:
        self._then()


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
