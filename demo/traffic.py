"""The live traffic: six processes, started and stopped by the walk; `python -m demo.traffic` is one of them."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from demo.duty import Duty
from demo.ledger import API, OLD, WORKER, Ledger, View
from demo.processes import Children, DemoError
from demo.readers import Lister, Reader
from demo.verdicts import FAULTS, Fault
from demo.world import World, child_environment
from demo.writers import ApiServer, OldProcess, Worker
from relay_jobs import JobStore

KINDS = {"api": "api", "worker": "worker", "old": "old", "reader-1": "reader", "reader-2": "reader", "lister": "lister"}
NEW = tuple(name for name in KINDS if name != "old")
"""The processes that use the library."""


@dataclass
class Traffic:
    """The parent's side."""

    world: World
    children: Children
    redis_url: str

    def start(self, names: Sequence[str]) -> None:
        """Start processes and wait until each has begun."""
        for name in names:
            command = [sys.executable, "-m", "demo.traffic", name, str(self.world.scale), str(self.world.pace)]
            log = self.world.home.logs / f"traffic-{name}.log"
            self.children.start(f"traffic-{name}", command, child_environment(self.world.home, self.redis_url), log)
        deadline = time.monotonic() + 30
        while not all((self.world.home.ledgers / f"{name}.stats").exists() for name in names):
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the traffic did not begin; see {self.world.home.logs}")
            time.sleep(0.05)

    def stop(self, names: Sequence[str] = tuple(KINDS)) -> None:
        """Let the processes finish what they are at; one that does not end well is an error."""
        codes = self.children.stop([f"traffic-{name}" for name in names])
        for name, code in codes.items():
            if code:
                raise DemoError(f"{name} ended with {code}; see {self.world.home.logs / f'{name}.log'}")

    def check(self) -> None:
        """Raise if a process has ended by itself."""
        for name, code in self.children.dead([f"traffic-{each}" for each in KINDS]).items():
            raise DemoError(f"{name} ended with {code}; see {self.world.home.logs / f'{name}.log'}")

    def counters(self) -> Counter[str]:
        """Return the sum of all counters, at most half a second old."""
        total: Counter[str] = Counter()
        for path in self.world.home.ledgers.glob("*.stats"):
            total.update(json.loads(path.read_text()))
        return total

    def faults(self) -> list[Fault]:
        """Return all faults that were noted so far."""
        lines = [line for path in self.world.home.ledgers.glob("*.faults") for line in path.read_text().splitlines()]
        return [Fault(*json.loads(line)[1:]) for line in lines]

    def milliseconds(self) -> list[float]:
        """Return how long each read took, sorted; of the processes that have ended."""
        paths = self.world.home.ledgers.glob("*.times")
        return sorted(ms for path in paths for ms in json.loads(path.read_text()))


def fault_counts(counters: Counter[str]) -> dict[str, int]:
    """Return the faults among counters, those that are zero too."""
    return {kind: counters[kind] for kind in FAULTS}


def run(name: str, world: World) -> None:
    """Be one traffic process until SIGTERM."""
    random.seed(f"{world.seed}-{name}")
    kind = KINDS[name]
    folder = world.home.ledgers
    client = redis.Redis.from_url(os.environ["REDIS_URL"], client_name=f"old-{name}" if kind == "old" else None)
    duty = Duty(name, folder, world.pace_of(kind))
    signal.signal(signal.SIGTERM, duty.stop)
    view = View(folder)
    if kind == "old":
        OldProcess(client, duty, Ledger(folder, OLD)).run()
    elif kind == "api":
        ApiServer(world, JobStore(client), duty, Ledger(folder, API), view).run()
    elif kind == "worker":
        Worker(world, JobStore(client), duty, Ledger(folder, WORKER), view).run()
    elif kind == "reader":
        Reader(world, JobStore(client), duty, view).run()
    else:
        Lister(world, JobStore(client), duty, view).run()
    duty.finish()


if __name__ == "__main__":
    run(sys.argv[1], World(scale=float(sys.argv[2]), pace=float(sys.argv[3])))
