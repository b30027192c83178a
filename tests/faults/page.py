"""The page of faults in ``docs/``, made from the table that the tests run."""

from pathlib import Path

from tests.faults.fault import Cell
from tests.faults.plants import FAULTS
from tests.faults.table import EXPECTED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"

STAGES = ("dual_write", "new_first", "new_only", "sealed")

_COLUMNS = {
    "verify": "`verify` finds",
    "repair": "`verify --repair`",
    "backfill": "backfill, dry run",
    "preflight": "`preflight` counts",
    "gate": "next gate",
    "get_job": "`get_job` gives",
    "list_jobs": "`list_jobs` shows",
    "claim": "`claim` gives",
}

_HEAD = """\
# Faults

What each check makes of a fault. Each of them is planted by the tests beside equal jobs, on Valkey and Redis, in every
stage from `dual_write` on, and the checks have to show what stands here and nothing else. This page is made from the
table of those tests by `python -m tests.faults`.

- **`verify` finds**: the count that the fault is in, with the reason. What is not named is 0. `-` is nothing.
- **`verify --repair`**: `mended` if the next verification is clean, and which copy it took for the right one; `stays`
  if it cannot be mended, with the reason.
- **backfill, dry run**: the outcome of the job; both say the same. `-` is `exists`; `not met` is a job that a pass over
  the legacy copies does not come across.
- **next gate**: whether the next rung up opens after a verification of the fault. From `dual_write` that is
  `new_first`, which takes missing copies as not made yet; from `new_first` it is `new_only`.
- **`get_job`, `list_jobs`, `claim`**: what a process with the library is given. `the copy that is read` is the one that
  the stage reads. The queue entry is one of before `sealed`: it names no workspace, and needs the legacy copy.

Cells that differ by stage name the stages. Who is told: `verify` ends with exit code 3 if missing, different, extra or
errors are not 0 or a quarantined record is not acknowledged; the other counts are said, and close no gate.

"""


def page() -> str:
    """The whole page."""
    head = " | ".join(["planted", *_COLUMNS.values()])
    parts = [_HEAD, f"| {head} |\n|{'---|' * (len(_COLUMNS) + 1)}\n"]
    for fault in FAULTS:
        row = EXPECTED[fault.name]
        parts.append(f"| {' | '.join([fault.name, *(_cell(row[column]) for column in _COLUMNS)])} |\n")
    parts.append("\n## What no check finds\n\n")
    parts += [f"- {fault.name}: {fault.note}.\n" for fault in FAULTS if fault.note]
    return "".join(parts)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return "<br>".join(
        f"{', '.join(f'`{stage}`' for stage in stages.split())}: {text}" for stages, text in cell.items()
    )
