"""Puts a run together: starts everything, lets the events happen, brings it to rest, gathers what is to be judged."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import redis

from chaos import schedule
from chaos.audit import audit, look_at_everything, seed, seeded_to_last, survey
from chaos.commands import Answer, Commands
from chaos.faults import BOOKS, FAILED, Fault
from chaos.judgement import Notes, judge
from chaos.ledger import GRACE_SECONDS, Journal, Roster, now, read_ops, read_seed
from chaos.looks import DUAL_WRITE, LEGACY, RUNG
from chaos.operator import Operator
from chaos.processes import Processes
from chaos.proxy import AFTER, BEFORE, Proxy
from chaos.schedule import Event
from chaos.servers import Servers
from chaos.traffic import Traffic
from chaos.world import OLD, Run
from demo.processes import Children, DemoError

_BEGUN = {"backfill": " partition", "verify": "target: ", "stage": "target: "}
"""What a command says when its work begins: killed before, it would be no more than a process that never ran."""

_STALL_SECONDS = 2.6
_STORM_SECONDS, _STORM_SHARE = 1.0, 0.35
_INTO_IT_SECONDS = (0.05, 0.7)
_READINGS = 5
_PATIENCE_SECONDS = 120.0
"""How long moments are waited for, beyond three times the run's length: a busy machine comes to few of them."""


@dataclass
class Conductor:
    """One run."""

    run: Run
    children: Children
    processes: Processes
    proxy: Proxy
    say: Callable[[str], None]
    happened: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    seeded: int = 0
    begun: float = 0.0
    _flips: list[Event] = field(default_factory=list)
    _waiting: list[Event] = field(default_factory=list)
    _wakes: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"conductor {self.run.seed}")
        self.servers = Servers(self.run, self.children, self.proxy)
        self.traffic = Traffic(self.run, self.processes, self.proxy.port)
        self.commands = Commands(self.run, self.processes, self.proxy.port)
        self.operator = Operator(
            commands=self.commands,
            servers=self.servers,
            dice=random.Random(f"operator {self.run.seed}"),
            around_move=self._around_move,
            start_old=lambda: self.traffic.start(OLD),
            end_old=lambda: self.traffic.end(OLD),
            wanted=self._is_wanted,
        )

    @property
    def elapsed(self) -> float:
        return now() - self.begun

    def start(self) -> None:
        """Servers, jobs, traffic, operator."""
        self.servers.start()
        with self.servers.client() as client:
            self.seeded = seed(client, self.run)
        # Where one is, is recorded before the library is deployed anywhere.
        self.commands.relay_jobs("stage", "set", LEGACY)
        self.journal, self.roster = Journal(self.run.ledgers, "audit"), Roster(self.run.ledgers)
        self.servers.seen += [self._look, self.operator.recovered]
        self.traffic.start()
        self.begun = now()
        self.operator.start()

    def go(self, events: list[Event]) -> None:
        """Let everything happen; events that wait for their moment may take minutes beyond the run's end."""
        self._waiting = list(events)
        patience = self.run.seconds * 3 + _PATIENCE_SECONDS
        while self.elapsed < self.run.seconds or (self._waiting_for_much and self.elapsed < patience):
            due = next((e for e in self._waiting if e.at <= self.elapsed and self._is_moment(e)), None)
            if due:
                self._do(due)
                # Only now: until then the operator stays in the moment that it waits for.
                self._waiting.remove(due)
            for at, name in [wake for wake in self._wakes if wake[0] <= now()]:
                self._wakes.remove((at, name))
                self.traffic.wake(name)
            self._check()
            time.sleep(0.02)
        for event in self._waiting:
            self.say(f"{self.elapsed:6.2f} s  did not happen: {event}")

    @property
    def _waiting_for_much(self) -> bool:
        """Whether something has not happened yet; the process without the library may not come back for long."""
        return bool(self._flips) or any(event.target != "old" for event in self._waiting)

    def _is_wanted(self, moment: str) -> bool:
        """Whether an event is due, or happens, that waits for this moment."""
        return any(event.moment == moment and event.at <= self.elapsed for event in list(self._waiting))

    def _is_moment(self, event: Event) -> bool:
        if event.kind == schedule.KILL and event.target not in schedule.COMMANDS:
            return self.traffic.pick(event.target) is not None
        if event.moment in schedule.COMMANDS:
            return _BEGUN[event.moment] in self.commands.said(event.moment)
        return not event.moment or self.operator.moment == event.moment

    def _do(self, event: Event) -> None:
        self.say(f"{self.elapsed:6.2f} s  {event}")
        match event.kind:
            case schedule.KILL:
                self._kill(event)
            case schedule.STALL:
                name = self.traffic.pick(event.target) or ""
                self.traffic.stop(name)
                self._wakes.append((now() + _STALL_SECONDS, name))
            case schedule.FLIP:
                # It has happened when a move of a stage has.
                self._flips.append(event)
            case schedule.BEFORE | schedule.AFTER:
                self._storm(event)
            case schedule.CUT:
                self.proxy.cut()
            case _:
                self._recover(event)
        self.happened[event.kind] += event.kind != schedule.FLIP

    def _kill(self, event: Event) -> None:
        if event.target in schedule.COMMANDS:
            time.sleep(self.dice.uniform(*_INTO_IT_SECONDS))
            self.happened["killed too late"] += not self.commands.kill(event.target)
        else:
            self.traffic.kill(self.traffic.pick(event.target) or "")

    def _storm(self, event: Event) -> None:
        """For a moment many commands are cut off from their callers; most are sent again with success."""
        fault = BEFORE if event.kind == schedule.BEFORE else AFTER
        self.proxy.storm = lambda: fault if self.dice.random() < _STORM_SHARE else None
        time.sleep(_STORM_SECONDS)
        self.proxy.storm = None

    def _recover(self, event: Event) -> None:
        if event.moment in schedule.COMMANDS:
            time.sleep(self.dice.uniform(*_INTO_IT_SECONDS))
        recovery = self.servers.restart() if event.kind == schedule.RESTART else self.servers.promote()
        lost = recovery.ended - recovery.earliest
        self.say(f"{self.elapsed:6.2f} s  {event.kind}: back as it was {lost:.2f} s before its end")
        self.operator.void_expected |= event.moment == schedule.VERIFIED
        self.operator.resume()

    def _around_move(self, move: Callable[[], Answer]) -> Answer:
        """A move of a stage; who is to be stopped across it sleeps until it has returned."""
        chosen, self._flips = self._flips, []
        names = {name for event in chosen if (name := self.traffic.pick(event.target))}
        for name in names:
            self.traffic.stop(name)
        answer = move()
        moved = answer.code == 0 and bool(answer.body.get("changed") or answer.body.get("moves"))
        for name in names:
            self.traffic.wake(name)
        if moved:
            self.happened[schedule.FLIP] += len(names)
            self.say(
                f"{self.elapsed:6.2f} s  {' '.join(answer.words)}" + (f" past {', '.join(names)}" if names else "")
            )
        else:
            self._flips = [*chosen, *self._flips]
        return answer

    def _check(self) -> None:
        if self.operator.failed:
            raise DemoError(str(self.operator.failed))
        for name in self.traffic.dead():
            self.faults.append(Fault(FAILED, "", f"{name} ended by itself; see {self.run.logs / f'{name}.log'}"))
            self.traffic.start(name)

    def _look(self) -> None:
        with self.servers.client() as client:
            look_at_everything(client, self.journal, self.roster)

    def rest(self) -> None:
        """End operator and traffic, and look at everything as they left it."""
        self.operator.end()
        self.traffic.end(*self.traffic.started)
        time.sleep(GRACE_SECONDS)
        with self.servers.client() as client:
            looks = look_at_everything(client, self.journal, self.roster)
            self.faults += audit(client, self.run.ledgers, looks, set())

    def prove(self) -> None:
        """The migration's own last word on the store at rest, against one that shares no code with it."""
        self.operator.resume()
        with self.servers.client() as client:
            stage = self.operator.stage(client)
            if RUNG[stage] < RUNG[DUAL_WRITE]:
                self.commands.relay_jobs("stage", "set", DUAL_WRITE)
            if RUNG[stage] <= RUNG[DUAL_WRITE]:
                self.commands.relay_jobs("verify", "--repair")
            self._settled(client, self._walk_once_more)
            self._settled(client, self._verify_once_more)
            looks = look_at_everything(client, self.journal, self.roster)
            self.faults += audit(client, self.run.ledgers, looks, seeded_to_last(self.run.ledgers))

    def _settled(self, client: redis.Redis, say: Callable[[Counter[str]], list[Fault]]) -> None:
        """Compare what is said with a scan before it; once more if a job has expired in between."""
        for _ in range(_READINGS):
            before = survey(client)
            faults = say(before)
            if survey(client)["scanned"] == before["scanned"]:
                break
        self.faults += faults

    def _walk_once_more(self, found: Counter[str]) -> list[Fault]:
        answer = self.commands.relay_jobs("backfill", "--execute", "--restart", "--full-speed")
        expected = {"scanned": "scanned", "migrated": "missing", "invalid": "invalid", "conflict": "different"}
        return differences(answer, {told: found[name] for told, name in expected.items()})

    def _verify_once_more(self, found: Counter[str]) -> list[Fault]:
        answer = self.commands.relay_jobs("verify")
        expected = {name: found[name] for name in ("equal", "missing", "different", "extra")}
        return differences(answer, {**expected, "quarantined": found["invalid"], "verified": True})

    def judge(self) -> Notes:
        """Judge all notes."""
        notes = Notes.of(read_seed(self.run.ledgers), self.servers.recoveries, read_ops(self.run.ledgers))
        self.faults += [*self.operator.faults, *judge(notes)]
        return notes


def differences(answer: Answer, expected: Mapping[str, int]) -> list[Fault]:
    """Where a command's books are not those of an independent scan."""
    told = {name: answer.body.get(name) for name in expected}
    if told == expected:
        return []
    return [Fault(BOOKS, "", f"{answer.words[0]} says {told}, a scan of its own {expected}; {answer.text[-300:]}")]
