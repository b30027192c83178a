"""The command line as an operator uses it: a process of its own, shown before its output."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from demo.processes import DemoError
from demo.screen import Screen
from demo.world import CHECKOUT, World, child_environment

DONE, COULD_NOT_RUN, NEEDS_EYES = 0, 1, 3


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    body: dict[str, Any]
    errors: str
    seconds: float


@dataclass
class Operator:
    """Runs `relay-jobs`; the server's address is in the environment, as in a pod."""

    world: World
    redis_url: str
    screen: Screen

    def relay_jobs(self, *arguments: str, expect: tuple[int, ...] = (DONE,)) -> Answer:
        """Run a command, show it, and raise if its exit code is none of those expected."""
        self.screen.command(["relay-jobs", *arguments])
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "relay_jobs", *arguments, "--json"],
            env=child_environment(self.world.home, self.redis_url),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        answer = Answer(done.returncode, parse(done.stdout), done.stderr, time.monotonic() - begin)
        self.screen.output(answer.errors)
        if answer.code:
            self.screen.say(f"  exit code {answer.code}")
        if answer.code not in expect:
            raise DemoError(f"relay-jobs {' '.join(arguments)} ended with {answer.code}, expected {expect}")
        return answer


def parse(text: str) -> dict[str, Any]:
    """Return the one object of a `--json` output."""
    if not text.strip():
        return {}
    try:
        body = json.loads(text)
    except ValueError:
        raise DemoError(f"not one JSON object: {text[:300]!r}") from None
    return body if isinstance(body, dict) else {"answer": body}
