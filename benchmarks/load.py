"""A foreign load: ``HGETALL`` after ``HGETALL``, many at once, until the standard input is closed."""

import random
import socket
import sys
from select import select

from benchmarks.tenants import encode, reply_end

_AT_ONCE = 100
_READY = 50


def main() -> None:
    """Load the server of this port, of so many jobs; the third word is a seed."""
    port, jobs, seed = (int(word) for word in sys.argv[1:4])
    chance = random.Random(seed)  # noqa: S311 -- made-up traffic
    link = socket.create_connection(("127.0.0.1", port))
    ready = []
    for _ in range(_READY):
        request = b"".join(encode(b"HGETALL", b"ai:jobs:job-%d" % chance.randrange(jobs)) for _ in range(_AT_ONCE))
        ready.append((request, _size(link, request)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select([sys.stdin], [], [], 0)[0]:
        request, size = chance.choice(ready)
        link.sendall(request)
        while size > 0:
            size -= len(link.recv(min(size, 1 << 18)))


def _size(link: socket.socket, request: bytes) -> int:
    """Bytes of its replies, which do not change: afterwards they need not be parsed."""
    link.sendall(request)
    buffer, at = bytearray(), 0
    for _ in range(_AT_ONCE):
        while (end := reply_end(buffer, at)) < 0:
            buffer += link.recv(1 << 18)
        at = end
    return at


if __name__ == "__main__":
    main()
