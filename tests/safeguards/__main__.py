"""Takes safeguards out, one at a time, and sees which test fails.

python -m tests.safeguards learn [NAME …]     find a test that notices, for all of them or for those named
python -m tests.safeguards check --out FILE   run the tests that are known to notice, each without its safeguard
python -m tests.safeguards page               write the table in docs/
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.safeguards.changes import changes_of, shown
from tests.safeguards.edits import Edit
from tests.safeguards.loop import Loop, Outcome
from tests.safeguards.page import PAGE, page
from tests.safeguards.table import SAFEGUARDS, noticed, remember

# Where a test that notices is looked for; the fast and steady ones.
TESTS = ("tests/unit", "tests/store", "tests/engines", "tests/support", "tests/api")
ONLY = "not fake and not redis7 and not properties"
# A few tests notice by most hash seeds of a server only: no failure is asked for again before it counts.
_ATTEMPTS = 3


def learn(names: Sequence[str], tests: Sequence[str], only: str) -> None:
    """Ask every test that calls what a safeguard changes, and write down the first that fails."""
    chosen = {name: SAFEGUARDS[name] for name in names or SAFEGUARDS}
    found = noticed()
    by_edit = {safeguard.edit: name for name, safeguard in chosen.items()}

    def told(outcome: Outcome) -> None:
        name = by_edit[outcome.edit]
        found[name] = [outcome.noticed_by] if outcome.noticed else []
        print(f"{name}: {outcome.noticed_by or outcome.problem or 'NO TEST NOTICES'}", file=sys.stderr, flush=True)

    _run([(safeguard.edit, None) for safeguard in chosen.values()], ["-k", only, *tests], told=told)
    remember({name: found.get(name, []) for name in SAFEGUARDS})


def check(out: Path) -> None:
    """Each safeguard without which its tests are asked; outcomes by name, as JSON."""
    known = noticed()
    by_edit = {safeguard.edit: name for name, safeguard in SAFEGUARDS.items() if known.get(name)}
    outcomes = dict.fromkeys(by_edit.values(), "")

    def told(outcome: Outcome) -> None:
        outcomes[by_edit[outcome.edit]] = outcome.problem or outcome.noticed_by

    for _ in range(_ATTEMPTS):
        left = [(edit, known[name]) for edit, name in by_edit.items() if not outcomes[name]]
        if left:
            _run(left, sorted({node for _, nodes in left for node in nodes}), jobs=2, told=told)
    out.write_text(json.dumps(outcomes), encoding="utf-8")


def mutants(files: Sequence[str], jobs: int, tests: Sequence[str], only: str) -> None:
    """Print each small change that every test passes which calls what it changes; some change nothing that matters."""

    def told(outcome: Outcome) -> None:
        if not outcome.noticed:
            told_by = outcome.problem or f"{outcome.asked} tests pass"
            print(f"{shown(outcome.edit)}\n    {told_by}", file=sys.stderr, flush=True)

    edits = [(edit, None) for file in files for edit in changes_of(file)]
    _run(edits, ["-k", only, *tests], jobs=jobs, told=told)


def _run(edits: Sequence[tuple[Edit, Sequence[str] | None]], args: Sequence[str], **options: object) -> None:
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    pytest.main([*plain, *args], plugins=[Loop(edits, **options)])  # type: ignore[arg-type]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    known = verbs.add_parser("learn")
    known.add_argument("names", nargs="*", metavar="NAME")
    verbs.add_parser("check").add_argument("--out", type=Path, required=True)
    verbs.add_parser("page")
    sweep = verbs.add_parser("mutants")
    sweep.add_argument("files", nargs="+", metavar="FILE", help="from the package's folder, e.g. lua/update_job.lua")
    sweep.add_argument("--jobs", type=int, default=1)
    for verb in (known, sweep):
        verb.add_argument("--tests", nargs="+", default=TESTS)
        verb.add_argument("-k", dest="only", default=ONLY)
    options = parser.parse_args()
    match options.verb:
        case "learn":
            learn(options.names, options.tests, options.only)
        case "check":
            check(options.out)
        case "page":
            PAGE.write_text(page(), encoding="utf-8")
        case "mutants":
            mutants(options.files, options.jobs, options.tests, options.only)


if __name__ == "__main__":
    main()
