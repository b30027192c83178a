"""Children in sessions of their own, and their certain end.

A process group is not enough: Airflow's supervisors put each task into a group of its own. They stay in the session,
so a child's session is what is ended. `setproctitle` overwrites the environment that other processes can see, so a
marker there would not be found again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import psutil  # type: ignore[import-untyped]

from demo.world import CHECKOUT


class DemoError(Exception):
    """The demo cannot go on, or did not end as it must; the text says why."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived; like KeyboardInterrupt it is no error that anything should handle."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Deferral:
    """Whether a signal must wait, and which one does."""

    depth: int = 0
    waiting: int = 0


_deferral = _Deferral()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal wait until the block's end: a child that was started must also be noted, or nobody would end it.

    Python handles signals in the main thread only, so in another thread there is nothing to let wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _deferral.depth += 1
    try:
        yield
    finally:
        _deferral.depth -= 1
    if _deferral.waiting and not _deferral.depth:
        raise Interrupted(_deferral.waiting)


def sessions_members(sessions: set[int]) -> list[int]:
    """Return the processes of the sessions that run from this checkout (a session id may be used again by others)."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(pid) not in sessions or pid == os.getpid():
                continue
            process = psutil.Process(pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and Path(process.cwd()).is_relative_to(CHECKOUT):
                found.append(pid)
    return found


def _signal_all(pids: Sequence[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def end_sessions(sessions: set[int], patience: float = 4.0) -> int:
    """End every process of the sessions: asked first, killed after `patience` seconds. Returns how many had to be."""
    _signal_all(sessions_members(sessions), signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not sessions_members(sessions):
            return 0
        time.sleep(0.1)
    killed = 0
    while left := sessions_members(sessions):
        killed += len(left)
        _signal_all(left, signal.SIGKILL)
        time.sleep(0.1)
    return killed


@dataclass
class Children:
    """The children of one demo, each in its own session and with a log file; recorded, so a later run can end them."""

    record: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a child whose Ctrl-C is ours to pass on; its output goes to `log`."""
        with uninterrupted(), self._lock, log.open("ab") as output:
            if self._closed:
                raise DemoError(f"{name} is not started any more: the demo ends")
            child = subprocess.Popen(
                command,
                env=dict(env),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.running[name] = child
            self.sessions.add(child.pid)
            self.record.write_text(json.dumps(sorted(self.sessions)))
        return child

    def run(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Start a child, wait for its end, and raise if that is no good one."""
        code = self.start(name, command, env, log).wait()
        self.running.pop(name, None)
        if code:
            raise DemoError(f"{name} ended with {code}; see {log}")

    def dead(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Return the children (of `names`, or all) that have ended by themselves, with their exit codes."""
        chosen = self.running if names is None else {n: self.running[n] for n in names if n in self.running}
        codes = {name: child.poll() for name, child in chosen.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self, names: Sequence[str], patience: float = 10.0) -> dict[str, int]:
        """Ask the named children to end, wait, end what is left of their sessions; return their exit codes."""
        chosen = {name: self.running.pop(name) for name in names if name in self.running}
        for child in chosen.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + patience
        for child in chosen.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.05, deadline - time.monotonic()))
        end_sessions({child.pid for child in chosen.values()}, 1.0)
        return {name: child.wait() for name, child in chosen.items()}

    def end(self) -> None:
        """End everything, in whatever state it is."""
        with self._lock:
            self._closed = True
        children = list(self.running.values())
        end_sessions(self.sessions)
        for child in children:
            child.wait()
        self.running.clear()
        self.record.unlink(missing_ok=True)


def end_leftovers(record: Path) -> int:
    """End what a demo left that was itself killed (SIGKILL cannot be handled). Returns how many sessions it had."""
    if not record.exists():
        return 0
    sessions = set(json.loads(record.read_text() or "[]"))
    left = len(sessions_members(sessions))
    end_sessions(sessions)
    record.unlink()
    return left


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[IO[str]]:
    """Hold the checkout's demo lock; the kernel frees it even after SIGKILL."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("a demo already runs in this checkout; end it first") from None
        yield handle


def ignore_signals() -> None:
    """Let nothing disturb the end that is being made."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)


def raise_on_signals() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; further ones are ignored while the end is made."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        ignore_signals()
        if _deferral.depth:
            _deferral.waiting = signum
        else:
            raise Interrupted(signum)

    for each in ENDINGS:
        signal.signal(each, interrupt)
