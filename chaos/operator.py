"""The operator: up the ladder through its gates by what each refusal advises, down again, and what must be refused."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from chaos.commands import NEEDS_EYES, Answer, Commands
from chaos.faults import BOOKS, UNEQUAL, VOID, Fault
from chaos.looks import DUAL_WRITE, LEGACY, NEW_FIRST, NEW_ONLY, RUNG
from chaos.schedule import VERIFIED
from chaos.servers import Servers
from chaos.sight import STAGES
from chaos.world import BACKFILL_RPS
from demo.processes import DemoError
from demo.world import TRIAL_WORKSPACES
from relay_jobs.keys import CONTROL, PASSES, VERIFICATIONS, progress

OUTCOMES = ("migrated", "exists", "conflict", "invalid", "filtered", "gone", "errors")
_GOES_ON, _STARTS_OVER = "an unfinished pass goes on", "starts over: "
_OTHER_SERVER = "another server process"


@dataclass
class Proofs:
    """What is proven on the present server process, and what the next walk has to say; as the operator knows it."""

    passed: bool = False
    verified: bool = False
    expected: str = ""
    epoch: bytes | None = None
    since: float = 0.0
    """When the server process began, by its own clock: a proof that was begun before proves nothing."""


@dataclass
class Operator:
    """One person with a command line; ``around_move`` is what happens around each move of a stage."""

    commands: Commands
    servers: Servers
    dice: random.Random
    around_move: Callable[[Callable[[], Answer]], Answer]
    start_old: Callable[[], None]
    end_old: Callable[[], None]
    wanted: Callable[[str], bool]
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    proofs: Proofs = field(default_factory=Proofs)
    moment: str = ""
    void_expected: bool = False
    failed: BaseException | None = None
    _goal: str = NEW_ONLY
    _ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Finish the command under way and stop."""
        self._ending.set()
        if self._thread:
            self._thread.join()

    def recovered(self) -> None:
        """The server is another process now: what was proven counts no more."""
        with self._lock, self.servers.client() as client:
            owed = client.hmget(progress("all"), "state", "epoch")
            expected = _STARTS_OVER if owed[0] == b"walking" else ""
            self.proofs = Proofs(expected=expected, epoch=owed[1], since=self._time(client))
            if self.stage(client) == NEW_ONLY:
                # Proven before the moment that the server came back to.
                self.proofs.passed = self.proofs.verified = True

    def resume(self) -> None:
        """Let work go on that a rollback has paused; also one that only the server remembers."""
        with self.servers.client() as client:
            while client.hget(CONTROL, "paused") == b"1":
                self.commands.relay_jobs("resume")

    def stage(self, client: redis.Redis) -> str:
        """The recorded stage, as it is."""
        return str(client.hget(STAGES, "*") or b"", "ascii")  # type: ignore[arg-type]

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                with self.servers.client() as client:
                    stage = self.stage(client)
                self._step(stage)
            except redis.RedisError:
                time.sleep(0.1)
            except DemoError as error:
                if not self._ending.is_set():
                    self.failed = error
                return

    def _step(self, stage: str) -> None:
        if stage == NEW_ONLY:
            self._ending.wait(self.dice.uniform(0.5, 1.5))
            self._goal = self.dice.choice((DUAL_WRITE, LEGACY, LEGACY))
        if RUNG[stage] > RUNG[self._goal]:
            self._down(self._goal)
            return
        if stage == self._goal or self._goal != NEW_ONLY:
            self._goal = NEW_ONLY
        if RUNG[stage] == 0:
            self.start_old()
            self._ending.wait(self.dice.uniform(0.8, 1.6))
            self._move(DUAL_WRITE if stage else LEGACY)
        elif stage == DUAL_WRITE:
            self._ending.wait(self.dice.uniform(0.3, 1.0))
            self.end_old()
            self._climb(NEW_FIRST)
        else:
            self._climb(NEW_ONLY)

    def _down(self, stage: str) -> None:
        if stage == DUAL_WRITE and self.dice.random() < 0.5:
            self.around_move(lambda: self.commands.relay_jobs("stage", "rollback", "--all"))
            self.resume()
        else:
            self._move(stage)

    def _climb(self, stage: str) -> None:
        """Try, and do what the refusal says; what else happens meanwhile is for the next try."""
        answer = self._move(stage)
        for advice in answer.advice if answer.refused else ():
            if not self._ending.is_set():
                self._follow(stage, advice.split())
        with self._lock:
            proven = self.proofs.passed and self.proofs.verified
        if stage == NEW_ONLY and proven and answer.refused:
            self.moment = VERIFIED
            while self.wanted(VERIFIED) and not self._ending.is_set():
                time.sleep(0.02)
            self.moment = ""

    def _follow(self, stage: str, words: list[str]) -> None:
        match words:
            case ["backfill", *_]:
                self._backfill()
            case ["verify", *_]:
                self._prove(stage)
            case ["quarantine", "ack", *_]:
                self.commands.relay_jobs("quarantine", "ack", "--reason", "they may stay behind")
            case ["stage", "set", name, *options]:
                self._move(name, *options)

    def _move(self, stage: str, *options: str) -> Answer:
        answer = self.around_move(lambda: self.commands.relay_jobs("stage", "set", stage, *options))
        self.counts[f"to {stage}" if answer.code == 0 else "refused" if answer.refused else "cut off"] += 1
        self.counts["refused: another server"] += answer.refused and _OTHER_SERVER in answer.text
        if stage == NEW_ONLY and self.void_expected and answer.told:
            self.void_expected = False
            if not (answer.refused and _OTHER_SERVER in answer.text):
                self.faults.append(Fault(VOID, "", f"proofs of another server process: {answer.text.strip()[-300:]}"))
        if stage == NEW_ONLY and answer.code == 0:
            self._check_proven(answer)
        if RUNG[stage] == 0 and answer.code == 0:
            with self._lock:
                self.proofs = Proofs(since=self.proofs.since)
        return answer

    def _check_proven(self, answer: Answer) -> None:
        """A move that ends now must stand on proofs of the server that it was made on."""
        with self._lock, self.servers.client() as client:
            unproven = not (self.proofs.passed and self.proofs.verified)
            if unproven and self.stage(client) == NEW_ONLY:
                self.faults.append(Fault(VOID, "", f"moved to new_only unproven: {answer.text.strip()[-200:]}"))

    def _backfill(self) -> None:
        self.resume()
        # Steps larger than what a rate allows at once leave keys over, and partitions are walked side by side.
        how = ("--batch", self.dice.choice(("auto", "20", "300")), "--partitions", self.dice.choice(("1", "4")))
        answer = self.commands.relay_jobs("backfill", "--execute", "--rps", str(BACKFILL_RPS), *how)
        self.counts["backfill killed"] += answer.code < 0
        self.counts["backfill resumed"] += _GOES_ON in answer.text
        self.counts["backfill started over"] += _STARTS_OVER in answer.text
        with self._lock, self.servers.client() as client:
            state, epoch, server = client.hmget(progress("all"), "state", "epoch", "server")
            self._check_said(answer, epoch)
            if answer.code in {0, NEEDS_EYES}:
                self.proofs.passed = bool(answer.body["complete"]) and self._begun_here(client, PASSES)
                self.counts["backfill complete"] += bool(answer.body["complete"])
                for books in (answer.body, answer.body["pass"]):
                    if books["scanned"] != sum(books[name] for name in OUTCOMES):
                        self.faults.append(Fault(BOOKS, "", f"scanned is not the sum of its parts: {books}"))
            elif state == b"walking" and server == self.servers.run_id().encode():
                # Whether it began, went on or has started over: from here it goes on.
                self.proofs.expected, self.proofs.epoch = _GOES_ON, epoch

    def _check_said(self, answer: Answer, epoch: bytes | None) -> None:
        """The walk behind a kill goes on; the one behind a recovery starts over, and says so."""
        wanted = self.proofs.expected
        if not wanted or epoch != self.proofs.epoch:
            return
        if wanted in answer.text:
            self.proofs.expected = ""
        elif answer.code in {0, NEEDS_EYES}:
            self.proofs.expected = ""
            self.faults.append(Fault(BOOKS, "", f"the backfill should have said '{wanted}': {answer.text[:300]}"))

    def _prove(self, stage: str) -> None:
        """Verify; before the first gate also repair, as little as will do, so that a backfill has something to copy."""
        if stage == NEW_FIRST and not self._verify():
            self._verify("--repair", *(word for name in TRIAL_WORKSPACES for word in ("--workspace", name)))
        if not self._verify() and stage == NEW_FIRST:
            self._verify("--repair")

    def _verify(self, *options: str) -> bool:
        """Whether copies are as a gate wants them; in `new_first` and above they must never differ."""
        answer = self.commands.relay_jobs("verify", *options)
        if answer.code not in {0, NEEDS_EYES} or "verified" not in answer.body:
            return False
        with self._lock:
            with self.servers.client() as client:
                here = self._begun_here(client, VERIFICATIONS)
                proven = RUNG[self.stage(client)] >= RUNG[NEW_FIRST]
            self.proofs.verified = here and bool(answer.body["verified"])
            self.counts["verified"] += self.proofs.verified
            wrong = {name: answer.body[name] for name in ("different", "extra", "errors") if answer.body[name]}
            if self.proofs.passed and here and answer.body["missing"]:
                wrong["missing"] = answer.body["missing"]
            if wrong and proven:
                self.faults.append(Fault(UNEQUAL, "", f"the verification found {wrong}"))
            return not wrong

    def _begun_here(self, client: redis.Redis, proofs: bytes) -> bool:
        """Whether the proof of everything that is recorded was begun on the present server process."""
        recorded = client.hget(proofs, "*")
        return recorded is not None and json.loads(recorded)["started_at"] > self.proofs.since

    def _time(self, client: redis.Redis) -> float:
        seconds, micros = client.time()
        return float(seconds) + float(micros) / 1e6
