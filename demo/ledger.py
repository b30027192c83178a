"""What was acknowledged, kept outside the store: each writer appends to a file of its own, readers follow all files.

The order of lines from different files is not known, so every event only adds knowledge: a status moves up, a
deletion stays. A deletion is announced before it is sent; a reader that misses a job looks for that announcement.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

SEED, API, WORKER, OLD = "seed", "api", "worker", "old"
FILES = (SEED, API, WORKER, OLD)

RANK = {"pending": 0, "running": 1, "completed": 2, "failed": 2, "error": 2}

PRESENT, ANNOUNCED, DELETED = 0, 1, 2


@dataclass(slots=True)
class Known:
    """What is known of a job: a lower bound of its progress, as of the acknowledged events."""

    workspace: str = ""
    status: str = "pending"
    mark: str = ""
    """Names the outcome; empty while none was acknowledged by this demo."""
    expires_at_ms: int | None = None
    deletion: int = PRESENT
    print_: str = ""
    """Fingerprint of the hash as it was seeded; empty for a job of the live traffic."""
    touched: bool = False
    """Whether an event after the seeding changed it."""
    private: bool = False
    """Worked by an old process outside the queue."""


class Ledger:
    """The writer's side. Unbuffered, so that what a call has returned to its caller is on file before the next call."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file: BinaryIO = (folder / f"{name}.jsonl").open("ab", buffering=0)

    def _write(self, *event: object) -> None:
        self._file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def enqueued(self, job_id: str, workspace: str, expires_at_ms: int | None = None, *, private: bool = False) -> None:
        self._write("e", job_id, workspace, expires_at_ms, private)

    def moved(self, job_id: str, workspace: str, status: str, mark: str = "") -> None:
        self._write("s", job_id, workspace, status, mark)

    def deleting(self, job_id: str) -> None:
        self._write("a", job_id)

    def deleted(self, job_id: str) -> None:
        self._write("d", job_id)

    def seeded(self, rows: Iterable[tuple[str, str, str, int | None, str]]) -> None:
        """Add jobs that were there before: id, workspace, status, expiry, fingerprint."""
        lines = (json.dumps(("b", *row), ensure_ascii=False) for row in rows)
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        self._file.close()


@dataclass
class View:
    """The readers' side: everything that any writer had on file at the last `refresh`."""

    folder: Path
    jobs: dict[str, Known] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=400))
    by_workspace: dict[str, list[str]] = field(default_factory=dict)
    _offsets: dict[str, int] = field(default_factory=dict)
    _handles: dict[str, BinaryIO] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read what the writers added; a line that is not complete yet is left for the next time."""
        for name in FILES:
            if name not in self._handles:
                path = self.folder / f"{name}.jsonl"
                if not path.exists():
                    continue
                self._handles[name] = path.open("rb")
            handle = self._handles[name]
            handle.seek(self._offsets.get(name, 0))
            text = handle.read()
            end = text.rfind(b"\n") + 1
            self._offsets[name] = self._offsets.get(name, 0) + end
            for line in text[:end].splitlines():
                self.apply(json.loads(line))

    def apply(self, event: list[Any]) -> None:
        """Add one event; the order of events of different writers does not matter."""
        kind, job_id = event[0], event[1]
        known = self.jobs.get(job_id)
        if known is None:
            known = self.jobs[job_id] = Known()
            self.ids.append(job_id)
        if kind != "b":
            self.recent.append(job_id)
        if kind == "b":
            self._place(job_id, known, event[2])
            known.status, known.expires_at_ms, known.print_ = event[3:6]
        elif kind == "e":
            self._place(job_id, known, event[2])
            known.expires_at_ms, known.private = event[3:5]
        elif kind == "s":
            self._place(job_id, known, event[2])
            known.touched = True
            if RANK[event[3]] > RANK[known.status]:
                known.status, known.mark = event[3:5]
        else:
            known.deletion = max(known.deletion, ANNOUNCED if kind == "a" else DELETED)

    def _place(self, job_id: str, known: Known, workspace: str) -> None:
        if not known.workspace:
            known.workspace = workspace
            self.by_workspace.setdefault(workspace, []).append(job_id)

    def close(self) -> None:
        for handle in self._handles.values():
            handle.close()
