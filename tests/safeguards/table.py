"""All safeguards, and what is known of the tests that notice when one is gone."""

import json
from pathlib import Path

from tests.safeguards import api_table, engine_table, ladder_table, pace_table, store_table

TABLES = {
    "The job store: which stage, which copy, whose job": store_table.RULES,
    "The job store: its calls": store_table.CALLS,
    "Passes: checkpoint, lease and books": engine_table.PASS,
    "Walks: politeness": pace_table.POLITENESS,
    "Verification and repair": engine_table.VERIFICATION,
    "The ladder: gates": ladder_table.GATES,
    "The ladder: moves and proofs": ladder_table.MOVES,
    "The HTTP API: who gets in, and to what": api_table.ADMISSION,
    "The HTTP API: what is taken": api_table.TAKEN,
    "The HTTP API: what is told": api_table.TOLD,
}
SAFEGUARDS = {safeguard.name: safeguard for table in TABLES.values() for safeguard in table}

_NOTICED = Path(__file__).with_name("noticed.json")


def noticed() -> dict[str, list[str]]:
    """Node ids of tests that fail, by the safeguard that is gone."""
    known: dict[str, list[str]] = json.loads(_NOTICED.read_text(encoding="utf-8")) if _NOTICED.exists() else {}
    return known


def remember(found: dict[str, list[str]]) -> None:
    """Write them down."""
    _NOTICED.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
