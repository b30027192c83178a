"""Processes forked from one that has everything imported: each is its own, and starts in milliseconds.

What a command line or a traffic process costs is its imports, some 0.9 s of processor time; a run starts fifty.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from demo.processes import uninterrupted

# What typer imports at its first use is most of a command's time; a name that is gone one day is passed over.
_PRELOADED = ("relay_jobs.cli", "typer._adapters", "chaos.actors", "chaos.conductor")


def _be(body: Callable[..., None], words: tuple[str, ...], env: Mapping[str, str], log: Path) -> None:
    """Become a process of a session of its own, with its own environment and output, and work."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    body(*words)


@dataclass
class Processes:
    """All forked processes that run, by name; they all end with this one."""

    running: dict[str, BaseProcess] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))

    def start(
        self, name: str, body: Callable[..., None], words: Iterable[str], env: Mapping[str, str], log: Path
    ) -> BaseProcess | None:
        """Start a process; none any more once all are ending."""
        with uninterrupted(), self._lock:
            if self._closed:
                return None
            process = self._context.Process(
                target=_be, name=name, args=(body, tuple(words), dict(env), log), daemon=True
            )
            process.start()
            self.running[name] = process
        return process

    def forget(self, name: str) -> BaseProcess | None:
        """Take a process off the list, whatever its state."""
        with self._lock:
            return self.running.pop(name, None)

    def end(self) -> None:
        """Kill everything, stopped processes too."""
        with self._lock:
            self._closed = True
            processes = list(self.running.values())
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def orphaned() -> bool:
    """Whether the process that all this belongs to is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
