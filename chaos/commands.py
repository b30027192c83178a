"""The command line as the operator's own processes, which may be killed at any moment."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from chaos.ledger import now
from chaos.processes import Processes
from chaos.world import Run
from demo.processes import DemoError
from relay_jobs.cli import main

DONE, COULD_NOT_RUN, NEEDS_EYES, KILLED = 0, 1, 3, -9
_ENDED = "# ended with "
_ADVICE = re.compile(r"'relay-jobs ([^']+)'")


def relay_jobs(*words: str) -> None:
    """Be the command line, and note how it ended: one that was killed has not."""
    sys.argv = ["relay-jobs", *words, "--json"]
    try:
        main()
    except SystemExit as ended:
        print(f"{_ENDED}{ended.code or 0}", flush=True)


@dataclass(frozen=True)
class Answer:
    """What became of a command; ``code`` is negative if it was killed."""

    words: tuple[str, ...]
    code: int
    body: dict[str, Any]
    text: str
    start: float
    end: float

    @property
    def told(self) -> bool:
        """Whether it came to an end of its own that is not about the connection."""
        return self.code in {DONE, NEEDS_EYES} or self.refused

    @property
    def refused(self) -> bool:
        """Whether a gate or a lease was against it."""
        return self.code == COULD_NOT_RUN and self.body.get("error") in {"GateRefused", "Refused", "LeaseHeld"}

    @property
    def advice(self) -> list[str]:
        """Commands that the refusal names, in order."""
        return list(dict.fromkeys(_ADVICE.findall(self.body.get("message", ""))))


@dataclass
class Commands:
    """Runs commands; of each at most one at a time."""

    run: Run
    processes: Processes
    port: int
    counts: Counter[str] = field(default_factory=Counter)
    _under_way: dict[str, BaseProcess] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def relay_jobs(self, *words: str) -> Answer:
        """Run `relay-jobs` and wait for its end."""
        name = f"command-{self.counts.total():03d}-{words[0]}"
        self.counts[words[0]] += 1
        log = self._log(name)
        log.touch()
        start = now()
        with self._lock:
            child = self.processes.start(name, relay_jobs, words, self.run.environment(self.port), log)
            if child is None:
                raise DemoError("the run ends")
            self._under_way[words[0]] = child
        child.join()
        with self._lock:
            del self._under_way[words[0]]
            self.processes.forget(name)
        text = log.read_text(errors="replace")
        code = next((int(line.removeprefix(_ENDED)) for line in text.splitlines() if line.startswith(_ENDED)), KILLED)
        with log.open("a") as file:
            file.write(f"# relay-jobs {' '.join(words)}: {code}, from {start:.2f} to {now():.2f} s\n")
        return Answer(words, code, _body(text), text, start, now())

    def said(self, what: str) -> str:
        """What such a command has said so far, if one runs."""
        with self._lock:
            child = self._under_way.get(what)
        return self._log(child.name).read_text(errors="replace") if child else ""

    def _log(self, name: str) -> Path:
        return self.run.logs / f"{name}.log"

    def kill(self, what: str) -> bool:
        """SIGKILL such a command, if one runs."""
        with self._lock:
            child = self._under_way.get(what)
            if child is not None:
                child.kill()
            return child is not None


def _body(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return dict(json.loads(line))
            except ValueError:
                return {}
    return {}
