"""Runs collected tests again and again, each time in a fork of this process with one edit in force.

Collecting takes longer than most tests, so it happens once; a fork starts servers of its own.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

import pytest

from relay_jobs.scripting import Script
from tests.safeguards.edits import PACKAGE, Edit, EditError, names_of_scripts, qualname_at

# What calls must a test have made to be asked about an edit: scripts by name, functions by "file:qualified name".
Calls = dict[str, set[str]]


@dataclass(frozen=True)
class Outcome:
    """What became of one edit: the first test that failed, '' if none did."""

    edit: Edit
    noticed_by: str
    asked: int
    seconds: float
    problem: str = ""

    @property
    def noticed(self) -> bool:
        """Whether a test failed."""
        return bool(self.noticed_by)


class Loop:
    """A pytest plugin: instead of one run of the tests, one run for each edit.

    Args:
        edits: each with the node ids to run (prefixes), or ``None`` for whatever calls what the edit changes.
        jobs: how many forks at once.
        limit: seconds that one fork may take; the edit counts as noticed then, for the tests hang.
        told: called with each outcome.
    """

    def __init__(
        self,
        edits: Sequence[tuple[Edit, Sequence[str] | None]],
        *,
        jobs: int = 1,
        limit: float = 90,
        told: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._edits, self._jobs, self._limit, self._told = edits, jobs, limit, told
        self.outcomes: list[Outcome] = []
        self.unfit: list[str] = []
        self._failed: list[str] = []
        self._kills: dict[str, Counter[str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every edit; the tests themselves first, unless each edit names its own."""
        if session.testsfailed:
            return False
        calls, seconds = ({}, {}) if all(names for _, names in self._edits) else self._baseline(session)
        running: dict[Connection, tuple[int, Edit, float, int]] = {}
        left = list(self._edits)
        while left or running:
            while left and len(running) < self._jobs:
                edit, names = left.pop(0)
                items = self._items(session, edit, names, calls, seconds)
                pid, end = _forked(lambda edit=edit, items=items: self._attempt(session, edit, items))
                running[end] = (pid, edit, time.monotonic(), len(items))
            self._collect(running)
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what has failed."""
        if report.failed:
            self._failed.append(report.nodeid)

    def _items(
        self, session: pytest.Session, edit: Edit, names: Sequence[str] | None, calls: Calls, seconds: dict[str, float]
    ) -> list[pytest.Item]:
        if names:
            return [item for item in session.items if any(item.nodeid.startswith(name) for name in names)]
        try:
            needed = edit_calls(edit)
        except EditError:
            return []  # told by the attempt itself
        kills = self._kills.setdefault(edit.file, Counter())
        chosen = [item for item in session.items if calls.get(item.nodeid, set()) & needed]
        return sorted(chosen, key=lambda item: (-kills[item.nodeid], seconds[item.nodeid]))

    def _collect(self, running: dict[Connection, tuple[int, Edit, float, int]]) -> None:
        ready = wait(list(running), timeout=1)
        now = time.monotonic()
        for end, (pid, edit, began, asked) in list(running.items()):
            if end not in ready and now - began < self._limit:
                continue
            problem = ""
            try:
                noticed_by, problem = end.recv() if end in ready else ("(the tests hang)", "")
            except EOFError:
                noticed_by = "(the tests' process ends)"
            _end(pid)
            end.close()
            del running[end]
            outcome = Outcome(edit, noticed_by, asked, now - began, problem)
            if outcome.noticed and not noticed_by.startswith("("):
                self._kills.setdefault(edit.file, Counter())[noticed_by] += 1
            self.outcomes.append(outcome)
            self._told(outcome)

    def _attempt(self, session: pytest.Session, edit: Edit, items: list[pytest.Item]) -> tuple[str, str]:
        try:
            edit.apply()
        except (EditError, SyntaxError) as error:
            return "", f"{type(error).__name__}: {error}"
        return self._first_failure(session, items), ""

    def _first_failure(self, session: pytest.Session, items: list[pytest.Item]) -> str:
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                session._setupstate.teardown_exact(None)
                return self._failed[0]
        return ""

    def _baseline(self, session: pytest.Session) -> tuple[Calls, dict[str, float]]:
        pid, end = _forked(lambda: self._measured(session))
        calls, seconds, self.unfit = end.recv()
        _end(pid)
        # What fails without any edit says nothing.
        return {name: set(made) for name, made in calls.items() if name not in self.unfit}, seconds

    def _measured(self, session: pytest.Session) -> tuple[dict[str, list[str]], dict[str, float], list[str]]:
        calls: dict[str, list[str]] = {}
        seconds: dict[str, float] = {}
        items = session.items
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            began = time.monotonic()
            with _observed() as made:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            calls[item.nodeid], seconds[item.nodeid] = sorted(made), time.monotonic() - began
        return calls, seconds, self._failed


class _observed:
    """Scripts and functions of the package that are called meanwhile, in every thread that begins then."""

    def __enter__(self) -> set[str]:
        root, made = str(PACKAGE), set[str]()
        runs = {Script.__call__.__code__, Script.timed.__code__}

        def profile(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(root):
                made.add(f"{code.co_filename[len(root) + 1 :]}:{code.co_qualname.split('.<')[0]}")
                if code in runs:
                    made.add(frame.f_locals["self"].name)

        threading.setprofile(profile)
        sys.setprofile(profile)
        return made

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def edit_calls(edit: Edit) -> set[str]:
    """What a test must call for the edit to matter to it."""
    if edit.path.suffix == ".lua":
        return names_of_scripts(edit.file)
    before, after = edit.texts()
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    first = next((number for number, (old, new) in enumerate(pairs, 1) if old != new), 1)
    return {f"{edit.file}:{qualname_at(edit.file, first)}"}


def _forked(act: Callable[[], Any]) -> tuple[int, Connection]:
    """The process that does it, and where it tells its answer."""
    mine, theirs = Pipe(duplex=False)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, mine
    os.setpgid(0, 0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    code = 1
    try:
        theirs.send(act())
        code = 0
    finally:
        os._exit(code)


def _end(pid: int) -> None:
    """Nothing that the fork has started outlives it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
