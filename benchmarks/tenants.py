"""Tenants of a store under test: a reader, a writer and a client that only pings, in a process of their own.

Open loop: every request has its time and is sent then, whether or not the one before it was answered. Bare sockets and
ready-made bytes, so that no library's cost is in a latency.
"""

import ctypes
import gc
import json
import random
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from select import select
from typing import Any

KINDS = ("reader", "writer", "ping")
_READY = 4096
_PR_SET_TIMERSLACK = 29


@dataclass(frozen=True)
class Rates:
    """Requests a second of each."""

    reader: float = 200.0
    writer: float = 100.0
    ping: float = 100.0


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request, in seconds of ``time.perf_counter``."""

    kind: str
    due: float
    sent: float
    answered: float


class Tenants:
    """Starts them; ``finish`` ends them and gives what they have felt."""

    def __init__(self, port: int, jobs: int, rates: Rates, seed: int = 1) -> None:
        about = {"port": port, "jobs": jobs, "rates": [rates.reader, rates.writer, rates.ping], "seed": seed}
        command = [sys.executable, "-m", "benchmarks.tenants", json.dumps(about)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def finish(self) -> list[Request]:
        """End them; every request and its times."""
        printed, _ = self._process.communicate()
        head, _, body = printed.partition(b"\n")
        found: list[Request] = []
        times = array("d", body)
        for kind, count in zip(KINDS, json.loads(head), strict=True):
            rows, times = times[: 3 * count], times[3 * count :]
            found += [Request(kind, *rows[at : at + 3]) for at in range(0, len(rows), 3)]
        return found


def encode(*words: bytes) -> bytes:
    """A command as the server takes it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def reply_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Where the reply ends that begins at ``start``; -1 if it is not there as a whole."""
    line = buffer.find(b"\r\n", start)
    if line < 0:
        return -1
    kind, at = buffer[start : start + 1], line + 2
    if kind == b"$":
        size = int(buffer[start + 1 : line])
        whole = at if size < 0 else at + size + 2
        return whole if whole <= len(buffer) else -1
    if kind == b"*":
        for _ in range(int(buffer[start + 1 : line])):
            at = reply_end(buffer, at)
            if at < 0:
                return -1
    return at


@dataclass
class _Line:
    """One connection with its schedule."""

    link: socket.socket
    rate: float
    requests: Sequence[bytes]
    random: random.Random
    due: float
    waiting: deque[tuple[float, float]] = field(default_factory=deque)
    times: "array[float]" = field(default_factory=lambda: array("d"))
    buffer: bytearray = field(default_factory=bytearray)

    def send(self) -> None:
        """Send what is due; the next one is due at random, so that no step of a backfill keeps time with it."""
        self.waiting.append((self.due, time.perf_counter()))
        self.link.sendall(self.random.choice(self.requests))
        self.due += self.random.expovariate(self.rate)

    def receive(self) -> None:
        """Take what has come; its time is that of its last byte."""
        came = self.link.recv(65536)
        now = time.perf_counter()
        assert came, "the server has closed a tenant's connection"
        self.buffer += came
        while self.buffer and (end := reply_end(self.buffer)) > 0:
            assert self.buffer[:1] != b"-", self.buffer[:end]
            del self.buffer[:end]
            self.times.extend((*self.waiting.popleft(), now))


def _drive(lines: list[_Line]) -> None:
    """Until somebody closes the standard input."""
    links: dict[Any, _Line] = {line.link: line for line in lines}
    watched: list[Any] = [*links, sys.stdin]
    while True:
        wait = max(0.0, min(line.due for line in lines) - time.perf_counter())
        for ready in select(watched, [], [], wait)[0]:
            if ready is sys.stdin:
                return
            links[ready].receive()
        now = time.perf_counter()
        for line in lines:
            if line.due <= now:
                line.send()


def _requests(about: dict[str, Any]) -> list[list[bytes]]:
    """Of each kind; the reader reads legacy jobs, the writer writes hashes of the same size beside them."""
    chance = random.Random(about["seed"])  # noqa: S311 -- made-up traffic
    numbers = [chance.randrange(about["jobs"]) for _ in range(_READY)]
    reads = [encode(b"HGETALL", b"ai:jobs:job-%d" % number) for number in numbers]
    text = b"0123456789" * 3
    written = [part for number in range(12) for part in (b"field-%d" % number, text)]
    writes = [encode(b"HSET", b"tenant:%d" % number, *written) for number in numbers]
    return [reads, writes, [encode(b"PING")]]


def main() -> None:
    """Connect, drive, and print how many requests of each kind, then their times as doubles."""
    about = json.loads(sys.argv[1])
    # A sleep ends up to 50 microseconds late by default, which would be as much as an answer takes.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    lines = []
    for number, (rate, requests) in enumerate(zip(about["rates"], _requests(about), strict=True)):
        link = socket.create_connection(("127.0.0.1", about["port"]))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Each its own, or two of the same rate would always come together.
        chance = random.Random(about["seed"] * len(KINDS) + number)  # noqa: S311 -- made-up traffic
        lines.append(_Line(link, rate, requests, chance, time.perf_counter()))
    gc.collect()
    gc.disable()
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    _drive(lines)
    counts = [len(line.times) // 3 for line in lines]
    sys.stdout.buffer.write(json.dumps(counts).encode() + b"\n" + b"".join(line.times.tobytes() for line in lines))


if __name__ == "__main__":
    main()
