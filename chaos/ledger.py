"""What each process was about to do and what it was told, kept outside the server: one append-only file a process.

An intent is on file before its call, the answer after it; an intent without an answer is in doubt. Times are seconds of
the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

GRACE_SECONDS = 3.0
"""So long after its caller has given up or died, a command may still be on its way to the server."""

SEED = "seed.json"
ENDING = ".ops"
MAKERS = ("writer", "old")
"""Kinds of processes that make jobs."""


def now() -> float:
    """The clock of all notes."""
    return round(time.monotonic(), 6)


@dataclass(frozen=True, slots=True)
class Seeded:
    """A job that was there before; ``expires`` on the clock of the notes, ``leftover``: with a part of a copy."""

    job: str
    workspace: str
    status: str
    mark: str
    digest: str
    expires: float | None
    leftover: bool = False


@dataclass(frozen=True, slots=True)
class Op:
    """One call.

    Attributes:
        end: when its answer came; infinite if it is in doubt.
        latest: when it can have taken effect at the latest.
        answer: what it was told, ``None`` in doubt.
    """

    id: str
    actor: str
    kind: str
    job: str
    workspace: str
    start: float
    end: float = inf
    latest: float = inf
    answer: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def in_doubt(self) -> bool:
        """Whether nobody was told what became of it."""
        return self.answer is None


class Journal:
    """The writing side. Unbuffered: what is on file stays there when its process is killed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file: BinaryIO = (folder / f"{name}{ENDING}").open("ab", buffering=0)
        self._prefix, self._number = f"{name}.{os.getpid()}", 0
        self._write({"b": now()})

    def next_id(self) -> str:
        """The id of the next intent."""
        return f"{self._prefix}.{self._number}"

    def intent(self, kind: str, job: str = "", workspace: str = "", **facts: Any) -> str:
        """Note what is about to be done; its id."""
        name = self.next_id()
        self._number += 1
        self._write({"i": name, "k": kind, "j": job, "w": workspace, "f": facts, "t": now()})
        return name

    def answer(self, name: str, **answer: Any) -> None:
        """Note what was told."""
        self._write({"a": name, "t": now(), "r": answer})

    def doubt(self, name: str, why: str) -> None:
        """Note that the answer was lost."""
        self._write({"d": name, "t": now(), "why": why})

    def close(self) -> None:
        """Note nothing any more."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")


def read_ops(folder: Path) -> list[Op]:
    """All calls of all processes, by their start."""
    found = [op for path in folder.glob(f"*{ENDING}") for op in _read_file(path)]
    return sorted(found, key=lambda op: op.start)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            # A process that was killed in the middle of a line: its successor's first line follows on the same one.
            at = line.rfind(b'{"b"')
            if at >= 0:
                yield json.loads(line[at:])


def _read_file(path: Path) -> Iterator[Op]:
    opened: dict[str, dict[str, Any]] = {}
    for line in _lines(path):
        if "b" in line:
            yield from (_op(path.stem, intent, latest=line["b"] + GRACE_SECONDS) for intent in opened.values())
            opened.clear()
        elif "i" in line:
            opened[line["i"]] = line
        elif "a" in line:
            intent = opened.pop(line["a"])
            yield _op(path.stem, intent, end=line["t"], latest=line["t"], answer=line["r"])
        else:
            yield _op(path.stem, opened.pop(line["d"]), latest=line["t"] + GRACE_SECONDS)
    yield from (_op(path.stem, intent, latest=inf) for intent in opened.values())


def _op(actor: str, intent: dict[str, Any], **rest: Any) -> Op:
    return Op(
        id=intent["i"],
        actor=actor,
        kind=intent["k"],
        job=intent["j"],
        workspace=intent["w"],
        start=intent["t"],
        facts=intent["f"],
        **rest,
    )


def write_seed(folder: Path, rows: list[Seeded]) -> None:
    """Note the jobs that are there before."""
    values = [[r.job, r.workspace, r.status, r.mark, r.digest, r.expires, r.leftover] for r in rows]
    (folder / SEED).write_text(json.dumps(values))


def read_seed(folder: Path) -> list[Seeded]:
    """The jobs that were there before."""
    return [Seeded(*row) for row in json.loads((folder / SEED).read_text())]


@dataclass
class Roster:
    """Every job that anyone was ever about to make, as of the last `refresh`."""

    folder: Path
    workspaces: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=200))
    _offsets: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in read_seed(self.folder):
            self._add(row.job, row.workspace)

    def refresh(self) -> None:
        """Read what the others have added; a line that is not complete yet is left for the next time."""
        for path in (path for kind in MAKERS for path in self.folder.glob(f"{kind}-*{ENDING}")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                text = file.read()
            end = text.rfind(b"\n") + 1
            self._offsets[path] = self._offsets.get(path, 0) + end
            for line in text[:end].splitlines():
                if b'"k": "enqueue"' in line or b'"k": "put"' in line:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            made = json.loads(line)
        except ValueError:
            return
        if made.get("k") in {"enqueue", "put"}:
            self._add(made["j"], made["w"])
            self.recent.append(made["j"])

    def _add(self, job: str, workspace: str) -> None:
        if job not in self.workspaces:
            self.workspaces[job] = workspace
            self.ids.append(job)
