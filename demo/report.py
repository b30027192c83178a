"""What the walk remembers, and what it tells at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from demo.audit import Audit
from demo.screen import Screen
from demo.traffic import Traffic
from demo.verdicts import FAULTS, Fault

BOOKS = ("scanned", "migrated", "exists", "conflict", "invalid", "filtered", "gone", "errors")
PARITY = ("equal", "different", "missing", "extra", "quarantined", "errors")
READS = ("read", "listed", "foreign_try")
SHOWN_FAULTS = 10


def balanced(books: Mapping[str, Any]) -> bool:
    """Tell whether the counts of a pass add up; a dry run says what it would have migrated."""
    parts = sum(int(books.get(name, 0)) for name in (*BOOKS[1:], "would_migrate"))
    return int(books["scanned"]) == parts


@dataclass
class StepTime:
    """How long a step took, and what the readers did meanwhile."""

    number: str
    title: str
    seconds: float
    counters: Counter[str]


@dataclass
class Report:
    """Grows step by step. `problems` decides the exit code."""

    screen: Screen
    steps: list[StepTime] = field(default_factory=list)
    books: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    verifications: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, number: str, title: str, traffic: Traffic) -> Iterator[None]:
        """Time a step."""
        self.screen.section(number, title)
        begin, before = time.monotonic(), traffic.counters()
        yield
        meanwhile = traffic.counters()
        meanwhile.subtract(before)
        self.steps.append(StepTime(number, title, time.monotonic() - begin, meanwhile))

    def require(self, holds: object, what: str) -> None:
        """Note a problem if something does not hold."""
        if not holds:
            self.problems.append(what)
            self.screen.bad(what)

    def add_books(self, name: str, books: Mapping[str, Any]) -> None:
        self.books.append((name, books))
        self.require(balanced(books), f"the books of {name} do not balance: {dict(books)}")

    def add_verification(self, name: str, verdict: Mapping[str, Any]) -> None:
        self.verifications.append((name, verdict))

    def print_all(self, traffic: Traffic, audited: Audit) -> None:
        """Print what an operator wants to know."""
        self._print_books()
        self._print_verifications()
        self._print_steps()
        self._print_traffic(traffic)
        self._print_audit(audited)
        faults = [*traffic.faults(), *audited.faults]
        self._print_faults(faults)
        if faults:
            self.problems.append(f"{len(faults)} faults: {dict(Counter(fault.kind for fault in faults))}")

    def _print_books(self) -> None:
        rows = [
            [name, *(books.get(column, books.get("would_migrate", 0)) for column in BOOKS[:2])]
            + [books.get(column, 0) for column in BOOKS[2:]]
            + ["yes" if balanced(books) else "NO"]
            for name, books in self.books
        ]
        self.screen.table("Books", ["pass", *BOOKS, "balanced"], rows)

    def _print_verifications(self) -> None:
        rows = [[name, *(verdict.get(column, 0) for column in PARITY)] for name, verdict in self.verifications]
        self.screen.table("Verification", ["when", *PARITY], rows)

    def _print_steps(self) -> None:
        columns = ["step", "seconds", "reads", *FAULTS]
        rows = [
            [f"{step.number:>2}  {step.title}", f"{step.seconds:.1f}", sum(step.counters[name] for name in READS)]
            + [step.counters[kind] for kind in FAULTS]
            for step in self.steps
        ]
        total = sum(step.seconds for step in self.steps)
        self.screen.table("Steps, and what readers saw meanwhile", columns, [*rows, ["", f"{total:.1f}"]])

    def _print_traffic(self, traffic: Traffic) -> None:
        counters = traffic.counters()
        names = (
            "enqueue",
            "repeat",
            "claim",
            "update",
            "delete",
            "old_write",
            "read",
            "foreign_try",
            "page",
            "listed",
            "walk",
        )
        self.screen.table(
            "Traffic",
            ["", *(name.replace("_", " ") for name in names)],
            [["calls and items", *(counters[name] for name in names)]],
        )
        times = traffic.milliseconds()
        if times:
            middle, slow = times[len(times) // 2], times[int(len(times) * 0.99)]
            self.screen.say(
                f"reads of one job: median {middle:.1f} ms, 99 % within {slow:.1f} ms, longest {times[-1]:.0f} ms"
            )

    def _print_audit(self, audited: Audit) -> None:
        counts = audited.counts
        self.screen.say(
            f"audit without the library: {counts['jobs']:,} jobs in both schemas, "
            f"{counts['byte for byte']:,} of them byte for byte as they were found, {counts['deletions']:,} deletions, "
            f"{counts['waiting']:,} waiting jobs in the queue, {counts['others untouched']:,} other keys untouched: "
            f"{len(audited.faults)} faults"
        )

    def _print_faults(self, faults: list[Fault]) -> None:
        for fault in faults[:SHOWN_FAULTS]:
            self.screen.bad(f"{fault.kind}: {fault.job_id!r}: {fault.reason}")
        if len(faults) > SHOWN_FAULTS:
            self.screen.bad(f"… and {len(faults) - SHOWN_FAULTS} more, in the ledgers' folder")
