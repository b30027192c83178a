"""Tenants and workers: mixed requests at a given rate, each answer held against the ledger."""

import json
import random
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.api_ledger import Ledger, action_of, result_of
from relay_jobs import JobStore

_PAGE = 50


class Line:
    """One connection, spoken to in plain bytes: http.client would take as long over a request as the API does."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: {key}\r\n"
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        more = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode() + (body or b""))
        found = b""
        while b"\r\n\r\n" not in found:
            found += self._receive(self._socket)
        head, _, said = found.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
        while len(said) < length:
            said += self._receive(self._socket)
        if len(said) > length:
            msg = "an answer goes on behind its end"
            raise ValueError(msg)
        return int(head.split(b" ", 2)[1]), said

    def close(self) -> None:
        """End it; the next question opens another one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    @staticmethod
    def _receive(line: socket.socket) -> bytes:
        came = line.recv(65_536)
        if not came:
            msg = "the connection has ended"
            raise ConnectionError(msg)
        return came


@dataclass
class Tenant:
    """One connection of one workspace.

    Attributes:
        port: of the API.
        workspace: whose key it is.
        key: its header.
        others: workspaces whose ids it tries.
        rate: requests a second.
    """

    port: int
    workspace: str
    key: str
    others: list[str]
    rate: float
    ledger: Ledger
    seed: int
    stop: threading.Event
    seconds: list[tuple[str, float]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Nothing is sent yet."""
        self._random = random.Random(self.seed)  # noqa: S311 -- made-up traffic
        self._line = Line(self.port, self.key)
        self._walk: tuple[dict[str, int], list[dict[str, Any]]] | None = None
        self._cursor: str | None = None
        self._repeat: tuple[dict[str, Any], list[str]] | None = None

    def run(self) -> None:
        """Send requests at the rate until told to stop; what is late is sent at once."""
        steps = [self._read] * 13 + [self._page] * 2 + [self._execute] * 3 + [self._again, self._foreign]
        began, sent = time.perf_counter(), 0
        while not self.stop.wait(max(0.0, began + sent / self.rate - time.perf_counter())):
            try:
                self._random.choice(steps)()
            except (OSError, ValueError, IndexError) as error:
                self.ledger.blame(f"no answer: {type(error).__name__}: {error}")
                self._line.close()
            sent += 1
        self._line.close()

    def _ask(self, what: str, method: str, path: str, wanted: int, body: Any = None) -> Any:
        began = time.perf_counter()
        status, text = self._line.ask(method, path, None if body is None else json.dumps(body).encode())
        self.seconds.append((what, time.perf_counter() - began))
        self.statuses[status] += 1
        said = json.loads(text)
        if status != wanted:
            self.ledger.blame(f"{what}: {status} {said.get('type')} instead of {wanted}")
            return None
        return said

    def _read(self) -> None:
        job_id, rank = self.ledger.any_job(self.workspace)
        job = self._ask("read", "GET", f"/ai/jobs/{job_id}", 200)
        if job is not None:
            self.ledger.met(self.workspace, job, rank, "read")

    def _foreign(self) -> None:
        job_id, _ = self.ledger.any_job(self._random.choice(self.others))
        self._ask("foreign", "GET", f"/ai/jobs/{self._random.choice([job_id, 'ghost'])}", 404)

    def _page(self) -> None:
        if self._walk is None:
            self._walk, self._cursor = (self.ledger.known(self.workspace), []), None
        query = f"?limit={_PAGE}" + (f"&cursor={self._cursor}" if self._cursor else "")
        page = self._ask("page", "GET", f"/ai/jobs{query}", 200)
        if page is None:
            self._walk = None
            return
        self._walk[1].extend(page["jobs"])
        self._cursor = page["next_cursor"]
        if self._cursor is None:
            self.ledger.walked(self.workspace, *self._walk)
            self._walk = None

    def _execute(self) -> None:
        one = {"provider": "load", "action": action_of(self.workspace), "params": {"n": self._random.random()}}
        actions = [{**one, "client_request_id": uuid.uuid4().hex} for _ in range(self._random.randint(1, 3))]
        said = self._ask("execute", "POST", "/ai/execute", 202, {"actions": actions})
        if said is not None:
            self.ledger.created(self.workspace, said["job_ids"])
            self._repeat = ({"actions": actions}, said["job_ids"])

    def _again(self) -> None:
        if self._repeat is None:
            return
        body, ids = self._repeat
        said = self._ask("repeat", "POST", "/ai/execute", 202, body)
        if said is not None and said["job_ids"] != ids:
            self.ledger.blame(f"repeat: {said['job_ids']} instead of {ids}")


def work(store: JobStore, name: str, stop: Callable[[], bool], ledger: Ledger) -> None:
    """Take jobs and finish them until told to stop."""
    while not stop():
        job = store.claim(name, timeout_seconds=0.2)
        if job is not None:
            store.update_status(job.job_id, "completed", job.workspace_id, result=result_of(job.job_id))
            ledger.count("finished")
