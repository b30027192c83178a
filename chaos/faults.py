"""Kinds of faults: the demo's, and those that only an operator on a failing server can meet."""

from __future__ import annotations

from demo.verdicts import DOUBLED, FAILED, FOREIGN, LOST, PARTIAL, REVIVED, STALE, Fault

UNEQUAL, BOOKS, VOID = "unequal", "books", "void proof"
KINDS = (PARTIAL, STALE, FOREIGN, LOST, REVIVED, DOUBLED, UNEQUAL, BOOKS, VOID, FAILED)

__all__ = [
    "BOOKS",
    "DOUBLED",
    "FAILED",
    "FOREIGN",
    "KINDS",
    "LOST",
    "PARTIAL",
    "REVIVED",
    "STALE",
    "UNEQUAL",
    "VOID",
    "Fault",
]
