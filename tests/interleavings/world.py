"""One run: a server in a known state, processes with and without the library on it, and the ledger beside it."""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import product

import redis

from relay_jobs import JobStore, Settings, Stage
from relay_jobs.migration import Migration
from tests.interleavings.copies import NEVER, READS_LEGACY_FIRST, WITHOUT_FALLBACK, WORKSPACES, Instant, look
from tests.interleavings.gate import GatedRedis, load_scripts
from tests.interleavings.ledger import Ledger
from tests.interleavings.schedules import Actor
from tests.servers import Server
from tests.store.records import legacy, put_legacy, scoped

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAMP = NOW.isoformat(timespec="microseconds").encode()
SETTINGS = Settings(claim_lease_seconds=3600, lease_seconds=3600, retry_attempts=1)

_QUICK = {"host": "127.0.0.1", "socket_timeout": 20}


_dice = random.Random()


def token() -> uuid.UUID:
    """The next token of a run; names of keys decide where SCAN meets them, so each run has the same ones."""
    return uuid.UUID(int=_dice.getrandbits(128), version=4)


def _pass(_: str) -> None:
    pass


def _no_rest(_: float) -> None:
    pass


@dataclass(frozen=True)
class Step:
    """One command of one actor, with all that was to be seen before and after it."""

    actor: str
    kind: str
    command: str
    before: Instant
    after: Instant


class Process:
    """One actor's process: a gated client of its own, and a store and an operator's verbs on it.

    It was started before the run: its first commands are not part of any schedule.
    """

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.name = world, f"p{number}"
        self.client = world.clients[number]
        self.client.ask = _pass
        self.store = JobStore(self.client, SETTINGS, now=lambda: NOW)
        self.migration = Migration(self.client, SETTINGS, who=self.name, sleep=_no_rest)
        self.kind = ""
        self.claim: dict[str, str] = {}
        self._calls = 0

    def begin(self, kind: str) -> None:
        """Forget the run before, as if started again, to do work of this kind."""
        self.kind = kind
        self.store._claims._tokens.clear()
        self.claim.clear()
        self._calls = 0

    @property
    def ledger(self) -> Ledger:
        """The ledger of the run."""
        return self.world.ledger

    def nth(self) -> str:
        """A value that no other call has."""
        self._calls += 1
        return f"{self.name}-{self._calls}"

    def ask(self, what: str) -> None:
        """A point that is no command of the library: what comes next happens at once."""
        self.client.ask(what)


@dataclass
class World:
    """A server, the clients of its processes, and what is known of the present run."""

    server: Server
    clients: list[GatedRedis]
    job_ids: Sequence[str] = ("j",)
    ledger: Ledger = field(default_factory=Ledger)
    before: Instant = field(init=False)
    reader: JobStore = field(init=False)
    old_processes_are_gone: bool = False
    _processes: list[Process] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def on(cls, server: Server, actors: int = 2, bystanders: Sequence[str] = ()) -> "World":
        """A world on a server, with clients for so many actors, and jobs beside the one that they work on."""
        load_scripts(server.main)
        clients = [GatedRedis(port=server.port, client_name=f"relay-jobs:{n}", **_QUICK) for n in range(actors)]
        return cls(server, clients, ("j", *bystanders))

    @property
    def main(self) -> redis.Redis:
        """A client that passes no gate."""
        return self.server.main

    @property
    def bystanders(self) -> Sequence[str]:
        """Jobs of the workspace that nobody touches, as an old process left them."""
        return self.job_ids[1:]

    @property
    def stage(self) -> Stage:
        """The stage in force for everyone, as last seen."""
        return self.before.stage("acme")

    def close(self) -> None:
        """Close the actors' connections."""
        for client in self.clients:
            client.close()

    def reset(self, stage: Stage, put: Callable[[redis.Redis], None]) -> None:
        """Begin again: an empty server, a stage, what is put there, and a ledger that knows it."""
        self.main.flushall()
        _dice.seed("tokens")
        pipe = self.main.pipeline(transaction=False)
        pipe.hset("ai:migration:stages", mapping={"*": stage.value, "*epoch": 1})
        put(pipe)
        for job_id in self.bystanders:
            put_legacy(pipe, job_id)
            if stage in WITHOUT_FALLBACK:
                pipe.copy(legacy(job_id), scoped(job_id))
        pipe.execute()
        self.ledger, self.steps, self.old_processes_are_gone = Ledger(), [], False
        if not hasattr(self, "reader"):
            self.reader = JobStore(self.main, SETTINGS)
        self.before = look(self.main, self.job_ids)
        for job_id in self.job_ids:
            seen = self.before.read("acme", job_id) or self.before.read("zeta", job_id)
            raw = self.before.legacy.get(job_id) if stage in READS_LEGACY_FIRST else None
            self.ledger.records[job_id] = seen or raw

    def judge_listing(self, process: Process, begun: int, workspace: str, shown: Sequence[str]) -> None:
        """Each job that was there throughout is shown exactly once, and none that never was."""
        instants = [step.before for step in self.steps[begun:]] + [self.before]
        for job_id in self.job_ids:
            seen = [instant.read(workspace, job_id) for instant in instants]
            versions = {copy and copy.fields and copy.fields.get(b"params") for copy in seen}
            if all(seen) and len(versions) == 1:
                assert shown.count(job_id) == 1, f"{job_id} was there throughout, listed {shown.count(job_id)} times"
            if not any(seen):
                assert job_id not in shown, f"{job_id} was listed, and not there at any time"

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every workspace with every job id."""
        return list(product(WORKSPACES, self.job_ids))

    def instants(self, begun: int) -> list[Instant]:
        """Every state since a step: an actor that has just ended has sent one command more, which only read."""
        return [step.before for step in self.steps[begun:]] + [self.before]

    def let_expire(self, job_id: str) -> None:
        """The expiry of a job comes, and with it that of every key of it that ends no later."""
        record = self.ledger.records.get(job_id)
        if record is None or record.expiry < 0:
            return
        names = [legacy(job_id), *(scoped(job_id, workspace) for workspace in WORKSPACES)]
        ends = {name: int(self.main.pexpiretime(name)) for name in names}
        soon = self._milliseconds() + 1
        for name, end in ends.items():
            if 0 < end <= record.expiry:
                self.main.pexpireat(name, soon)
        while self._milliseconds() <= soon:
            pass  # the server's clock, a millisecond away
        self.ledger.expired(
            job_id, whole=all(end in range(-2, record.expiry + 1) and end != NEVER for end in ends.values())
        )

    def _milliseconds(self) -> int:
        seconds, micros = self.main.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def processes(self, kinds: Sequence[str]) -> list[Process]:
        """A process for each kind of work, as if just started."""
        while len(self._processes) < len(kinds):
            self._processes.append(Process(self, len(self._processes)))
        for process, kind in zip(self._processes, kinds, strict=False):
            process.begin(kind)
        return self._processes[: len(kinds)]

    def stepped(self, actor: int, command: str, known: Instant | None = None) -> Step:
        """Look at the server after an actor's command, unless what is there is known."""
        kind, _, name = command.partition(": ")
        step = Step(f"p{actor}", kind, name, self.before, known or look(self.main, self.job_ids))
        self.before = step.after
        self.steps.append(step)
        return step


def _ask(actor: Actor, process: Process, command: str) -> None:
    actor.ask(f"{process.kind}: {command}")


def actors_of(processes: Sequence[Process], bodies: Sequence[Callable[[Process], object]]) -> list[Actor]:
    """An actor for each process, which does what its body says."""
    actors = []
    for process, body in zip(processes, bodies, strict=True):
        actor = Actor(partial(body, process))
        process.client.ask = partial(_ask, actor, process)
        actors.append(actor)
    return actors
