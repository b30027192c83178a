"""The traffic's processes as their parent sees them: started, stopped, woken, killed and followed by a successor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from chaos.actors import main
from chaos.processes import Processes
from chaos.world import ACTORS, OLD, Run


@dataclass
class Traffic:
    """All processes of the traffic."""

    run: Run
    processes: Processes
    port: int
    started: Counter[str] = field(default_factory=Counter)
    stopped: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self, *names: str) -> None:
        """Start processes that are not running."""
        with self._lock:
            for name in names or ACTORS:
                if name in self.processes.running:
                    continue
                self.started[name] += 1
                seed = f"{self.run.seed}-{self.started[name]}"
                words = (name, str(self.run.ledgers), seed)
                self.processes.start(name, main, words, self.run.environment(self.port), self.run.logs / f"{name}.log")

    def pick(self, kind: str) -> str | None:
        """The running process of a kind that was started least often."""
        names = [name for name in (*ACTORS, OLD) if name.startswith(f"{kind}-") and name in self.processes.running]
        return min(names, key=lambda name: self.started[name], default=None)

    def kill(self, name: str) -> None:
        """SIGKILL a process, and start its successor."""
        with self._lock:
            child = self._gone(name)
            if child is not None:
                child.kill()
                child.join()
                self.start(name)

    def stop(self, name: str) -> None:
        """SIGSTOP a process."""
        with self._lock:
            if child := self.processes.running.get(name):
                _signal(child, signal.SIGSTOP)
                self.stopped.add(name)

    def wake(self, name: str) -> None:
        """SIGCONT a process."""
        with self._lock:
            self.stopped.discard(name)
            if child := self.processes.running.get(name):
                _signal(child, signal.SIGCONT)

    def end(self, *names: str, patience: float = 8.0) -> None:
        """Let processes finish the call they are at; kill those that do not."""
        with self._lock:
            gone = [child for name in names if (child := self._gone(name))]
            for child in gone:
                _signal(child, signal.SIGTERM)
                _signal(child, signal.SIGCONT)
        deadline = time.monotonic() + patience
        for child in gone:
            child.join(max(0.05, deadline - time.monotonic()))
            if child.exitcode is None:
                child.kill()
                child.join()

    def dead(self) -> list[str]:
        """Processes that have ended by themselves, which none of them should."""
        with self._lock:
            running = [(name, self.processes.running.get(name)) for name in (*ACTORS, OLD)]
            ended = [name for name, child in running if child is not None and child.exitcode is not None]
            return [name for name in ended if self._gone(name)]

    def _gone(self, name: str) -> BaseProcess | None:
        self.stopped.discard(name)
        return self.processes.forget(name)


def _signal(child: BaseProcess, signum: int) -> None:
    if child.pid is not None and child.exitcode is None:
        os.kill(child.pid, signum)
