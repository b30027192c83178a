"""The page of safeguards in ``docs/``, made from the table."""

import ast
from functools import cache
from pathlib import Path

from tests.safeguards.safeguard import Safeguard
from tests.safeguards.table import TABLES, noticed

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "safeguards.md"

_HEAD = """\
# Safeguards

Each line is a check or an effect in the code that a promise hangs on, what would happen without it, and a test that
fails when it is taken out. `tests/safeguards` takes each of them out in turn, in a process of its own, and runs that
test; a safeguard that no test notices fails the build.

Numbers in the second column are the promises of the migration, which hold at every instant:

1. A copy is whole or absent.
2. No update is lost: what a writer was told is written is what readers see.
3. Nothing deleted or expired comes back.
4. Nobody sees a foreign job.
5. A checkpoint is as old as its effect, and knows when it is void.
6. The books balance.
7. A dry run writes nothing at all.
8. No step of the migration deletes a legacy key.
9. One run at a time, by a lease with a fencing token.
10. No job data in logs, errors, metrics or pages.

This page is made by `python -m tests.safeguards page`. `python -m tests.safeguards learn` looks for the tests anew, and
`make mutants` makes every small change of the scripts and functions, also those that nobody has thought of.
"""


def page() -> str:
    """The whole page."""
    known = noticed()
    parts = [_HEAD]
    for title, table in TABLES.items():
        parts.append(f"\n## {title}\n\n| safeguard | keeps | without it | noticed by |\n|---|---|---|---|\n")
        parts += [_row(safeguard, known.get(safeguard.name, [])) for safeguard in table]
    return "".join(parts)


def _row(safeguard: Safeguard, nodes: list[str]) -> str:
    tests = "<br>".join(_named(node) for node in nodes)
    return f"| {safeguard.name} | {safeguard.promise} | {safeguard.without} | {tests} |\n"


def _named(node: str) -> str:
    path, _, name = node.partition("::")
    name = name.split("[")[0]
    said = _docstring(path, name)
    return f"`{Path(path).stem}::{name}`" + (f": {said}" if said else "")


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def _docstring(path: str, name: str) -> str:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return ""
