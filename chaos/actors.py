"""The processes of the traffic: each works until SIGTERM, or is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos import readers, strangers, writers
from chaos.ledger import Journal, Roster
from chaos.processes import orphaned
from chaos.world import RATES
from relay_jobs import JobStore, RelayJobsError

Answer = TypeVar("Answer")

_LOST = (redis.RedisError, OSError)


class Actor:
    """One process: its dice, its notes, whom it knows, and the pace at which it works."""

    def __init__(self, name: str, folder: Path, seed: str) -> None:
        self.name = name
        self.dice = random.Random(f"{seed} {name}")
        self.journal, self.roster = Journal(folder, name), Roster(folder)
        self._period = 1 / RATES[name.split("-")[0]]
        self._stopping = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _signum: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def ticks(self) -> Iterator[int]:
        """Yield at its pace until it is asked to stop, or its parent is gone; a pause is not made up for."""
        number, due = 0, time.monotonic()
        while not self._stopping and not orphaned():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._period * self.dice.uniform(0.5, 1.5), time.monotonic() - 0.1)
            yield number
            number += 1

    def call(
        self,
        kind: str,
        job: str,
        workspace: str,
        do: Callable[[], Answer],
        tell: Callable[[Answer], dict[str, Any]],
        **facts: Any,
    ) -> tuple[str, Answer | None]:
        """Make a call between its two notes; the name of the call, and what came back if anything did."""
        name = self.journal.intent(kind, job, workspace, **facts)
        try:
            answer = do()
        except RelayJobsError as error:
            self.journal.answer(name, error=type(error).__name__)
        except _LOST as error:
            self.journal.doubt(name, type(error).__name__)
        else:
            self.journal.answer(name, **tell(answer))
            return name, answer
        return name, None

    def a_job(self) -> tuple[str, str]:
        """A job that someone was about to make, a recent one as often as any."""
        self.roster.refresh()
        among = self.roster.recent if self.roster.recent and self.dice.random() < 0.6 else self.roster.ids
        job = self.dice.choice(among)
        return job, self.roster.workspaces[job]

    def another_workspace(self, workspace: str) -> str:
        """A workspace that this one has nothing to do with."""
        return self.dice.choice(sorted({*self.roster.workspaces.values()} - {workspace}))


def client(name: str | None = None) -> redis.Redis:
    """A client of the proxy; the store retries by itself, and no answer is waited for long."""
    return redis.Redis.from_url(
        os.environ["REDIS_URL"], retry=Retry(NoBackoff(), 0), socket_timeout=5, client_name=name
    )


def store() -> JobStore:
    """A job store, as soon as the server lets one begin."""
    while True:
        try:
            return JobStore(client())
        except _LOST:
            time.sleep(0.05)


def main(name: str, folder: str, seed: str) -> None:
    """Be one process."""
    actor = Actor(name, Path(folder), seed)
    kind = name.split("-")[0]
    if kind in {"old", "inspector"}:
        raw = {"old": strangers.old, "inspector": readers.inspector}[kind]
        raw(actor, client(f"{kind}-process"))
        return
    run = {
        "writer": writers.writer,
        "worker": writers.worker,
        "deleter": writers.deleter,
        "reader": readers.reader,
        "lister": readers.lister,
    }[kind]
    run(actor, store())
